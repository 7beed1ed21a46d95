"""Catalogue port: the truth in SQL. Each method is one short transaction (<= 20 ms, no network await inside).

One writer per column: the methods are grouped by who calls them. Every read is within one tenant.
Times are Unix milliseconds, UTC. Records handed in are written to the outbox in the same transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from contracts.ports import EVERYWHERE, Record, Scope
from contracts.vocabulary import COMMITTED, Vocabulary


class VideoState(StrEnum):
    """States of a video, by the names of ``heimdex.video.v1.VideoState``.

    UPLOADING, COMPLETING, VALIDATING, PROCESSING, INDEXED; FAILED from VALIDATING and PROCESSING; INDEXED and FAILED
    back to PROCESSING when it is processed again; ABORTED and EXPIRED from UPLOADING; DELETING, then DELETED from any.
    """

    UPLOADING = "uploading"
    COMPLETING = "completing"
    VALIDATING = "validating"
    PROCESSING = "processing"
    INDEXED = "indexed"
    FAILED = "failed"
    ABORTED = "aborted"
    EXPIRED = "expired"
    DELETING = "deleting"
    DELETED = "deleted"


QUERIES_KEPT_MS = 30 * 86_400_000
"""How long texts of queries are kept. As long as ``contracts.flow.ANALYSED_MS``: an event and its text go together."""

UPLOAD_URL_LIFE_S = 15 * 60
"""How long a signed URL brings bytes, also after its upload was closed."""

PROCESSED = frozenset({VideoState.INDEXED, VideoState.FAILED})
"""States at the end of the flow: nobody is at work, and a further revision may begin."""

FINAL = frozenset({
    VideoState.INDEXED, VideoState.FAILED, VideoState.ABORTED, VideoState.EXPIRED, VideoState.DELETED,
})  # fmt: skip


class UploadState(StrEnum):
    """States of an upload; names are those of ``heimdex.upload.v1.UploadState``."""

    OPEN = "open"
    COMPLETING = "completing"
    COMPLETED = "completed"
    ABORTED = "aborted"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A mutating call: the same key with another ``body_sha256`` within 24 h is REQUEST_ID_REUSED."""

    tenant_id: str
    principal: str
    method: str
    request_id: str
    body_sha256: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and what is switched on for it; unknown tenants have the defaults."""

    tenant_id: str
    faces_enabled: bool = False
    gallery_version: int = 0
    queries_kept: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody typed into a search, under the id of its answer: personal data."""

    query_id: str
    tenant_id: str
    text: str
    create_ms: int


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload; ``video_id`` only for videos, ``multipart_id`` only above the part size."""

    upload_id: str
    tenant_id: str
    purpose: str  # VIDEO | PERSON_PHOTO | QUERY_IMAGE
    state: UploadState
    object_key: str
    size_bytes: int
    content_type: str
    sha256: str
    file_name: str
    create_ms: int
    expire_ms: int
    video_id: str = ""
    multipart_id: str = ""
    part_size_bytes: int = 0
    part_sha256: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage of one revision; ``state`` PENDING | RUNNING | RETRYING | ENDED, ``outcome`` '' until ended.

    ``metadata`` goes with ``reason``: (name, value), by name.
    """

    stage: str
    state: str
    outcome: str = ""
    attempt: int = 0
    progress: float = 0.0
    start_ms: int = 0
    end_ms: int = 0
    elapsed_ms: int = 0
    reason: str = ""
    message: str = ""
    manifest_key: str = ""
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def broken(self) -> bool:
        """Whether it ended without a result: REJECTED or FAILED."""
        return self.outcome in {"REJECTED", "FAILED"}


@dataclass(frozen=True, slots=True)
class Video:
    """A video with the stage runs of its current revision, in the order of the flow."""

    video_id: str
    tenant_id: str
    state: VideoState
    file_name: str
    size_bytes: int
    sha256: str
    create_ms: int
    update_ms: int
    revision: int = 0
    searchable_revision: int = 0
    scene_count: int = 0
    content_type: str = ""
    browser_playable: bool = False
    duration_ms: int = 0
    width_px: int = 0
    height_px: int = 0
    language: str = ""
    index_ms: int = 0
    error_reason: str = ""
    error_message: str = ""
    source_key: str = ""
    source_etag: str = ""
    plan_key: str = ""
    stages: tuple[StageRun, ...] = ()


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A run of a video through the flow that is to begin.

    Attributes:
        revision: its number, from 1: one more than the last.
        plan_key: where its plan lies, which nobody changes any more.
        specs: noun -> spec; of stages with several, joined by commas.
        records: what begins the work: VIDEO_UPLOADED.
    """

    revision: int
    plan_key: str
    specs: Mapping[str, str]
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class ScenePerson:
    """Somebody in a scene; confidence in [0, 1]."""

    person_id: str
    display_name: str
    confidence: float


class Appearance(NamedTuple):
    """A scene of people who were asked for: its video, and {person_id: confidence} of those in it."""

    video_id: str
    people: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SceneRow:
    """One scene of the searchable revision, as answers need it.

    Attributes:
        body: serialised ``heimdex.scene.v1.Scene`` without people.
    """

    scene_id: str
    tenant_id: str
    video_id: str
    revision: int
    index: int
    start_ms: int
    end_ms: int
    body: bytes
    people: tuple[ScenePerson, ...] = ()


@dataclass(frozen=True, slots=True)
class Footage:
    """What shows a scene of the searchable revision.

    Attributes:
        body: as ``SceneRow.body``.
        source_key: of the video's file; ``content_type`` and ``browser_playable`` are the file's.
        video_ms: length of the video, 0 while it is not known.
    """

    scene_id: str
    start_ms: int
    end_ms: int
    body: bytes
    source_key: str
    content_type: str
    browser_playable: bool
    video_ms: int


@dataclass(frozen=True, slots=True)
class Photo:
    """An enrolment photo: its verdict, and its vector (float32 bytes) when accepted."""

    upload_id: str
    file_name: str
    verdict: str
    object_key: str = ""
    vector: bytes = b""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody enrolled."""

    person_id: str
    tenant_id: str
    display_name: str
    aliases: tuple[str, ...]
    photos: tuple[Photo, ...]
    create_ms: int
    model_version: str = ""
    scene_count: int = 0
    matched: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A person found in a scene."""

    scene_id: str
    person_id: str
    confidence: float


@dataclass(frozen=True, slots=True)
class StageUpdate:
    """What one stage fact or progress says; merged by max of (attempt, state rank)."""

    tenant_id: str
    video_id: str
    revision: int
    run: StageRun
    counts: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """A dead letter as the topic tells it; the record itself stays there for its retention."""

    consumer: str
    source_topic: str
    source_partition: int
    source_offset: int
    tenant_id: str
    video_id: str
    revision: int
    reason: str
    message: str
    attempts: int
    event_ms: int


class GenerationState(StrEnum):
    """States of a generation; names are those of ``heimdex.admin.v1.GenerationState``.

    PENDING -> BUILDING -> READY -> ACTIVE <-> RETIRED; PENDING and BUILDING also -> FAILED. All but ACTIVE, PENDING and
    BUILDING among them, -> DROPPING -> DROPPED.
    """

    PENDING = "PENDING"
    BUILDING = "BUILDING"
    READY = "READY"
    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"
    FAILED = "FAILED"
    DROPPING = "DROPPING"
    DROPPED = "DROPPED"


WRITTEN = frozenset({
    GenerationState.BUILDING, GenerationState.READY, GenerationState.ACTIVE, GenerationState.RETIRED,
})  # fmt: skip
"""States in which every commit writes to a generation, so that going over to it, or back, loses nothing."""

MAX_GENERATIONS = 4
"""Generations at once, those being dropped left out: each is a text index of the whole library, which every commit
writes to."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Concrete collections, index, versions and words that a query reads; ``state`` as ``GenerationState``."""

    generation: int
    state: str
    text_collection: str
    vision_collection: str
    text_index: str
    text_model: str
    vision_model: str
    ranking: str
    vocabulary: Vocabulary = COMMITTED

    @property
    def models(self) -> tuple[str, str]:
        """What made the vectors, of text and of vision."""
        return (self.text_model, self.vision_model)


@dataclass(frozen=True, slots=True)
class Build:
    """A generation and how it has come about.

    Attributes:
        update_ms: of the last change of state.
        created_by: ``tenant/user``; empty for the first one, which nobody has asked for.
        promote_when_ready: whether it becomes ACTIVE when it is built.
        videos_done: that are in it already, of ``videos_total`` when the build began; those that were committed
            meanwhile are in it anyway.
        after_video_id: goes on after that one.
        error_reason: of a FAILED one, an ``ErrorReason``.
    """

    generation: Generation
    create_ms: int = 0
    update_ms: int = 0
    created_by: str = ""
    promote_when_ready: bool = False
    videos_done: int = 0
    videos_total: int = 0
    after_video_id: str = ""
    error_reason: str = ""
    error_message: str = ""


class Searchable(NamedTuple):
    """A video that may be shown, and its searchable revision."""

    tenant_id: str
    video_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class WatchEntry:
    """A change of a video: per-video ``sequence`` ascending without gap, until pruned."""

    tenant_id: str
    video_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record to send; ``row`` orders those of one key."""

    row: int
    record: Record


class Catalog(Protocol):
    """The catalogue.

    Errors: NotFound, AlreadyExists, PreconditionFailed (permanent), DependencyUnavailable (transient).
    """

    # ---- anyone -----------------------------------------------------------------------------------
    async def ready(self) -> None:
        """Raise DependencyUnavailable when the schema version is wrong (``heimdex migrate`` heals) or SQL is down."""
        ...

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return the tenant, with defaults when unknown."""
        ...

    async def set_faces(self, tenant_id: str, enabled: bool) -> Tenant:  # noqa: FBT001  # a verb's one flag
        """Operator verb: switch faces on or off."""
        ...

    async def keep_queries(self, tenant_id: str, kept: bool) -> Tenant:  # noqa: FBT001  # a verb's one flag
        """Operator verb: begin to keep the texts of queries, or end it and forget those that were kept."""
        ...

    async def replay(self, call: Idempotency) -> str | None:
        """Return the resource id that this call made before; AlreadyExists(REQUEST_ID_REUSED) for another body."""
        ...

    # ---- gateway: uploads -------------------------------------------------------------------------
    async def create_upload(self, upload: Upload, call: Idempotency, *, allow_duplicate: bool) -> Upload:
        """Insert an upload, for videos the video too (UPLOADING). AlreadyExists(video, id) when the tenant has a live
        video (COMPLETING to INDEXED, or FAILED but searchable) with that sha256 and not ``allow_duplicate``; a replay
        returns the first upload.
        """
        ...

    async def get_upload(self, tenant_id: str, upload_id: str) -> Upload:
        """Return an upload. NotFound."""
        ...

    async def begin_completion(self, tenant_id: str, upload_id: str) -> Upload:
        """OPEN -> COMPLETING (video too); COMPLETING and COMPLETED are returned as they are; else PreconditionFailed
        (UPLOAD_CLOSED).
        """
        ...

    async def reopen_upload(self, tenant_id: str, upload_id: str) -> None:
        """COMPLETING -> OPEN, when the bytes are not there or not right."""
        ...

    async def finish_completion(
        self,
        tenant_id: str,
        upload_id: str,
        *,
        etag: str,
        begins: NewRevision | None = None,
    ) -> Upload:
        """COMPLETING -> COMPLETED; a video ``begins``: VALIDATING, stage runs (PENDING), outbox. Safe to repeat."""
        ...

    async def abort_upload(self, tenant_id: str, upload_id: str, call: Idempotency) -> Upload:
        """OPEN -> ABORTED (video too); ABORTED is returned; COMPLETED is PreconditionFailed."""
        ...

    async def expire_uploads(self, now_ms: int, *, limit: int = 100) -> Sequence[Upload]:
        """OPEN past its time -> EXPIRED (video too); return closed uploads whose bytes are to be swept; they come again
        until ``mark_swept``.
        """
        ...

    # ---- gateway: videos and scenes ---------------------------------------------------------------
    async def get_video(self, tenant_id: str, video_id: str) -> Video:
        """Return a video. NotFound, also 30 days after its deletion."""
        ...

    async def list_videos(
        self, tenant_id: str, *, states: Sequence[VideoState], limit: int, before: tuple[int, str] | None
    ) -> Sequence[Video]:
        """Return videos, newest first, after the cursor (create_ms, video_id)."""
        ...

    async def request_deletion(
        self, tenant_id: str, video_id: str, call: Idempotency, records: Sequence[Record]
    ) -> Video:
        """-> DELETING with outbox; DELETING and DELETED are returned as they are without a second record."""
        ...

    async def begin_revision(self, tenant_id: str, video_id: str, call: Idempotency, new: NewRevision | None) -> Video:
        """INDEXED or FAILED -> VALIDATING: ``new``, with its stage runs (PENDING) and outbox; what is searchable stays.

        A call that was made before returns the video as it stands; for others, without ``new`` or where the video has
        gone on since it was made: PreconditionFailed (VIDEO_STATE). NotFound.
        """
        ...

    async def get_scene(self, tenant_id: str, scene_id: str) -> SceneRow:
        """Return a scene of the searchable revision of a video that is not being deleted. NotFound."""
        ...

    async def list_scenes(
        self, tenant_id: str, video_id: str, *, limit: int, after_index: int = -1
    ) -> Sequence[SceneRow]:
        """Return scenes of the searchable revision in order."""
        ...

    async def neighbours(self, tenant_id: str, scene_id: str, *, before: int, after: int) -> Sequence[SceneRow]:
        """Return up to so many scenes before and after one, of its own revision, in order, itself left out. NotFound
        as ``get_scene``.
        """
        ...

    async def footage(self, tenant_id: str, scene_ids: Sequence[str]) -> Mapping[str, Footage]:
        """Return what shows scenes, by scene id; those that ``get_scene`` does not find are left out."""
        ...

    # ---- gateway: watch ---------------------------------------------------------------------------
    async def data_version(self) -> int:
        """Return a number that changes when anything was committed by anyone (cheap; for the one poller)."""
        ...

    async def changes(self, after_row: int, *, limit: int = 500) -> Sequence[tuple[int, WatchEntry]]:
        """Return watch log entries of all tenants after a log row, ascending: (row, entry)."""
        ...

    async def last_change(self) -> int:
        """Return the newest log row, 0 for none."""
        ...

    async def video_sequence(self, tenant_id: str, video_id: str) -> int:
        """Return the newest sequence of a video, 0 for none."""
        ...

    # ---- gateway: people; search ------------------------------------------------------------------
    async def create_person(self, person: Person, call: Idempotency, records: Sequence[Record]) -> Person:
        """Insert a person and photos, raise the gallery version, outbox. PreconditionFailed (UPLOAD_CLOSED) when an
        upload was swept, or has served an enrolment before.
        """
        ...

    async def get_person(self, tenant_id: str, person_id: str) -> Person:
        """Return a person with scene_count. NotFound."""
        ...

    async def list_people(
        self, tenant_id: str, *, limit: int, after: tuple[str, str] | None = None
    ) -> Sequence[Person]:
        """Return people by (display_name, person_id)."""
        ...

    async def delete_person(
        self, tenant_id: str, person_id: str, call: Idempotency, records: Sequence[Record]
    ) -> Sequence[str]:
        """Erase a person, vectors and matches, and close the photos' uploads, so that they are swept in any case;
        return the object keys of photos to purge, accepted or refused. NotFound.
        """
        ...

    async def people_names(self, tenant_id: str) -> Sequence[tuple[str, str]]:
        """Return (person_id, name) for every display name and alias, of each person the display name first."""
        ...

    async def people_scene_counts(self, tenant_id: str, person_ids: Sequence[str]) -> Mapping[str, int]:
        """Return person_id -> searchable scenes with that person; those without any are left out."""
        ...

    async def scenes_of_people(
        self, tenant_id: str, person_ids: Sequence[str], *, limit: int = 1000, scope: Scope = EVERYWHERE
    ) -> Mapping[str, Appearance]:
        """Return who of these is in which searchable scene within ``scope``, by row_id, surest first; at most ``limit``
        scenes.
        """
        ...

    async def rows_with_people(
        self, tenant_id: str, person_ids: Sequence[str], row_ids: Sequence[str]
    ) -> frozenset[str]:
        """Return which of these rows have any of these people."""
        ...

    async def videos_matching(
        self,
        tenant_id: str,
        *,
        video_ids: Sequence[str] = (),
        languages: Sequence[str] = (),
        uploaded_from_ms: int | None = None,
        uploaded_to_ms: int | None = None,
        limit: int = 1000,
    ) -> Sequence[str]:
        """Return searchable videos that are not being deleted, newest first, at most ``limit``.

        Args:
            video_ids: of these; empty for all.
            languages: in any of these, as lower-case primary subtags (``ko`` is also ``ko-KR``); empty for all.
            uploaded_from_ms: created then or later.
            uploaded_to_ms: created before.
        """
        ...

    async def hydrate(self, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, SceneRow]:
        """Return the scenes that may be shown now: right tenant, searchable revision, not being deleted."""
        ...

    async def record_searches(self, records: Sequence[Record], queries: Sequence[Query]) -> None:
        """Outbox ``records``, and keep those ``queries`` whose tenants keep them; one that is kept changes nothing."""
        ...

    async def record_feedback(
        self, tenant_id: str, scene_id: str, call: Idempotency, records: Sequence[Record]
    ) -> None:
        """Outbox ``records``; a replay changes nothing. NotFound as ``get_scene``; no scene is looked for when
        ``scene_id`` is empty.
        """
        ...

    # ---- generations ------------------------------------------------------------------------------
    async def active_generation(self) -> Generation:
        """Return the generation that queries read. DependencyUnavailable when there is none yet."""
        ...

    async def building_generations(self) -> Sequence[Generation]:
        """Return generations under construction (new plans cover them too)."""
        ...

    async def all_generations(self) -> Sequence[Generation]:
        """Return every generation whose stores may hold rows, by number: all but DROPPED ones."""
        ...

    async def dropped_generations(self) -> frozenset[int]:
        """Return the numbers of DROPPED generations; a number is never used again."""
        ...

    async def ensure_generation(self, generation: Generation) -> Generation:
        """Insert as ACTIVE if there is no active one; return the active one."""
        ...

    # ---- gateway: administration ------------------------------------------------------------------
    async def create_generation(
        self,
        vocabulary: Vocabulary,
        call: Idempotency,
        *,
        created_by: str,
        promote_when_ready: bool,
        text_index: Callable[[int], str],
    ) -> Build:
        """Insert a PENDING generation like the active one, with the next number, these words and an index of its own.

        Args:
            text_index: number -> name of the index.

        Raises: PreconditionFailed (GENERATION_STATE) while another is PENDING or BUILDING, or where there are
            MAX_GENERATIONS.
        """
        ...

    async def get_generation(self, generation: int) -> Build:
        """Return a generation. NotFound, also when it is DROPPED."""
        ...

    async def list_generations(self) -> Sequence[Build]:
        """Return every generation but DROPPED ones, by number."""
        ...

    async def promote_generation(self, generation: int, call: Idempotency) -> Build:
        """READY or RETIRED -> ACTIVE, and what was ACTIVE -> RETIRED; ACTIVE is returned as it is. NotFound;
        PreconditionFailed (GENERATION_STATE) in another state.
        """
        ...

    async def drop_generation(self, generation: int, call: Idempotency) -> None:
        """-> DROPPING: nobody writes to it any longer, and the builder removes its index. NotFound; PreconditionFailed
        (GENERATION_STATE) when it is ACTIVE.
        """
        ...

    # ---- builder ----------------------------------------------------------------------------------
    async def begin_build(self, generation: int) -> None:
        """PENDING -> BUILDING: from here on each commit writes to it, so its index must be there. Another state stays.

        A video is either searchable before this, or its commit writes to the generation.
        """
        ...

    async def record_build(self, generation: int, *, videos_done: int, videos_total: int, after_video_id: str) -> bool:
        """Note how far a build is; return False, and note nothing, when it is BUILDING no longer."""
        ...

    async def finish_build(self, generation: int) -> Build:
        """BUILDING -> READY, or at once ACTIVE where that was asked for. Another state stays."""
        ...

    async def fail_build(self, generation: int, *, reason: str, message: str) -> None:
        """PENDING or BUILDING -> FAILED. Another state stays."""
        ...

    async def finish_drop(self, generation: int) -> None:
        """DROPPING -> DROPPED: its index is gone. Another state stays."""
        ...

    async def searchable_videos(self, after: str, *, limit: int) -> Sequence[Searchable]:
        """Return videos of all tenants that may be shown, with an id after ``after``, by id."""
        ...

    async def searchable_revisions(self, video_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the searchable revision of those videos that may be shown."""
        ...

    async def count_searchable(self) -> int:
        """Return how many videos of all tenants may be shown."""
        ...

    # ---- commit -----------------------------------------------------------------------------------
    async def commit_revision(
        self,
        tenant_id: str,
        video_id: str,
        revision: int,
        *,
        scenes: Sequence[SceneRow],
        language: str,
        now_ms: int,
        records: Sequence[Record],
        generations: Collection[int] = (),
    ) -> tuple[str, ...] | None:
        """Write the scene rows, flip ``searchable_revision``, outbox ``records`` (scene facts, VIDEO_INDEXED,
        tombstones of scenes that are gone); return row ids of older revisions to remove after a grace. None when the
        video is being deleted. A revision that is searchable already changes nothing and returns ().

        Args:
            generations: numbers of those that have the rows.

        Raises: DependencyUnavailable (transient) when there is another WRITTEN one of the same models by now.
        """
        ...

    async def video_scene_ids(self, tenant_id: str, video_id: str) -> Sequence[str]:
        """Return every scene id ever recorded for a video."""
        ...

    # ---- tracker ----------------------------------------------------------------------------------
    async def apply_updates(self, updates: Sequence[StageUpdate], now_ms: int) -> int:
        """Merge stage rows, derive video states, append the watch log; return how many changed anything. Late facts
        of older revisions or of deleted videos are ignored.
        """
        ...

    async def record_dead_letters(self, letters: Sequence[DeadLetterEntry]) -> None:
        """Note dead letters, to be listed; the same one again changes nothing."""
        ...

    # ---- people matcher ---------------------------------------------------------------------------
    async def gallery(self, tenant_id: str) -> tuple[int, Sequence[Person]]:
        """Return (gallery_version, people with accepted photo vectors)."""
        ...

    def videos_with_faces(self, tenant_id: str) -> AsyncIterator[tuple[Video, str]]:
        """Yield (video, manifest key of its ``faces`` run) for videos whose faces ended OK; pages, no open cursor."""
        ...

    async def write_matches(
        self,
        tenant_id: str,
        video_id: str,
        revision: int,
        *,
        gallery_version: int,
        matches: Sequence[Match],
        now_ms: int,
    ) -> Sequence[str]:
        """Replace the matches of a revision unless a newer gallery wrote them; re-emit (outbox) the facts of searchable
        scenes that changed; return their ids.
        """
        ...

    async def mark_matched(self, tenant_id: str, person_id: str) -> None:
        """Record that every video present at enrolment has been looked through."""
        ...

    async def forget_person(self, tenant_id: str, person_id: str, now_ms: int, *, limit: int = 200) -> Sequence[str]:
        """Remove up to ``limit`` match rows of a person who was erased and re-emit the facts of those scenes; return
        the ids of the videos touched: call again until there are none.
        """
        ...

    # ---- eraser -----------------------------------------------------------------------------------
    async def finish_erasure(self, tenant_id: str, video_id: str, now_ms: int, records: Sequence[Record]) -> None:
        """Remove scenes, matches, stage rows; -> DELETED with outbox (tombstones, VIDEO_ERASED). Safe to repeat."""
        ...

    # ---- relay ------------------------------------------------------------------------------------
    async def acquire_lease(self, name: str, holder: str, now_ms: int, ttl_ms: int) -> bool:
        """Take or renew a named lease row; False when another holds it."""
        ...

    async def pending(self, *, limit: int = 200) -> Sequence[OutboxRow]:
        """Return unsent outbox rows in order."""
        ...

    async def mark_sent(self, rows: Sequence[int], now_ms: int) -> None:
        """Mark rows as sent."""
        ...

    # ---- reconciler -------------------------------------------------------------------------------
    async def stalled(self, before_ms: int, *, limit: int = 50) -> Sequence[Video]:
        """Return VALIDATING, PROCESSING and DELETING videos without change since ``before_ms``."""
        ...

    async def root_traceparent(self, video_id: str, revision: int) -> str:
        """Return the trace that began a revision; empty when there was none."""
        ...

    async def nudge(self, video_id: str, now_ms: int, records: Sequence[Record]) -> None:
        """Re-emit ``records`` for a stalled video and note when: it is not ``stalled`` again before that."""
        ...

    async def mark_swept(self, upload_ids: Sequence[str]) -> None:
        """Note that the bytes of closed uploads are gone."""
        ...

    async def reopen_stuck(self, before_ms: int) -> int:
        """COMPLETING since before ``before_ms`` -> OPEN: whoever completed them is gone; return how many."""
        ...

    async def erased_unswept(self, before_ms: int, *, limit: int = 50) -> Sequence[Video]:
        """Return videos deleted before ``before_ms`` that were not looked through once more since."""
        ...

    async def mark_erased_swept(self, video_ids: Sequence[str]) -> None:
        """Note that deleted videos were looked through once more."""
        ...

    async def indexed_between(self, after: str, before_ms: int, *, limit: int = 20) -> Sequence[Video]:
        """Return INDEXED and FAILED videos without change since ``before_ms`` with an id after ``after``, in order."""
        ...

    async def prune(self, now_ms: int) -> int:
        """Drop sent outbox rows after 7 days, idempotency after 24 h, watch log beyond the last 500 a video, deleted
        videos and the texts of queries after 30 days; return how many rows went.
        """
        ...

    async def emit(self, records: Sequence[Record]) -> None:
        """Write records to the outbox by themselves (re-emission)."""
        ...
