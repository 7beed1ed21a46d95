"""Flow: THE topology, as data: stages, control consumers and topics. Read this first.

Topic creation, deployment, docs, metrics and law tests derive from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from google.protobuf.message import Message

from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2, events_pb2

DAY_MS = 86_400_000

ANALYSED_MS = 30 * DAY_MS
"""How long what people searched for, and what became of it, is kept: as long as the texts of queries
(``contracts.catalog.QUERIES_KEPT_MS``), and enough to compare a week with the same week of the month before.
Nobody but analysts reads it, so nothing is redriven from it."""


class AfterFailure(Enum):
    """What REJECTED or FAILED does to the video."""

    FAIL_VIDEO = "fail the video"
    CONTINUE = "continue"


class Cleanup(Enum):
    """Kafka's cleanup policy."""

    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic.

    Attributes:
        name: ``heimdex-<event-in-kebab>-v<n>``.
        message: what the value holds.
        key: which id is the key; every ``video_id`` topic has the same partition count.
        retention_ms: -1 is for ever.
        readers: who may read it.
    """

    name: str
    message: type[Message]
    key: str = "video_id"
    cleanup: Cleanup = Cleanup.DELETE
    retention_ms: int = 7 * DAY_MS
    readers: str = "heimdex, analysts"


@dataclass(frozen=True, slots=True)
class Deadline:
    """Longest time of one try: ``base_s + per_second * duration`` of the video, in seconds.

    ``of_limit`` uses the configured maximum duration instead, where the video's is not known yet.
    """

    base_s: float
    per_second: float
    of_limit: bool = False

    def seconds(self, duration_s: float, *, limit_s: float, factor: float = 1.0) -> float:
        """Return the deadline for a video of ``duration_s`` seconds, scaled by the profile's ``factor``."""
        return (self.base_s + self.per_second * (limit_s if self.of_limit else duration_s)) * factor


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the flow; its noun is the folder, the group, the metrics, the span and the test.

    Attributes:
        number: its value in ``heimdex.common.v1.Stage``.
        waits_for: facts that are joined on (video_id, revision).
        emits: the fact of its ending.
        artifact: message of ``artifact.pb``; None for commit, whose result is rows.
        model: whether it takes the process-wide model slot.
        deadline: of one try; several times what it takes on two busy cores.
        schema_version: of artifact and settings; enters the spec: raise it when the work changes.
    """

    noun: str
    number: common_pb2.Stage.ValueType
    waits_for: tuple[type[Message], ...]
    emits: type[Message]
    after_failure: AfterFailure
    artifact: type[Message] | None
    deadline: Deadline
    model: bool = False
    schema_version: int = 1

    @property
    def group(self) -> str:
        """Consumer group and Faust app id."""
        return f"heimdex-{self.noun}"

    @property
    def redo_topic(self) -> str:
        """Extra input of this stage alone, fed by control ``retry``."""
        return f"heimdex-{self.noun}-redo-v1"


@dataclass(frozen=True, slots=True)
class Control:
    """One consumer or sweeper that is not a stage."""

    noun: str
    takes: tuple[str, ...]
    gives: str

    @property
    def group(self) -> str:
        """Consumer group."""
        return f"heimdex-{self.noun}"


def kebab(message: type[Message]) -> str:
    """Return ``VideoUploaded`` as ``video-uploaded``."""
    name = message.DESCRIPTOR.name
    return "".join(f"-{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def topic_name(message: type[Message]) -> str:
    """Return the topic of a message: ``heimdex-video-uploaded-v1``."""
    return f"heimdex-{kebab(message)}-v1"


_E = events_pb2
_A = artifact_pb2
_C = common_pb2
_FAIL, _GO_ON = AfterFailure.FAIL_VIDEO, AfterFailure.CONTINUE
_LIGHT = Deadline(60, 0.3)

STAGES: Mapping[str, Stage] = MappingProxyType({
    stage.noun: stage
    for stage in (
        Stage("validate", _C.STAGE_VALIDATE, (_E.VideoUploaded,), _E.VideoValidated, _FAIL, _A.MediaInfo,
              Deadline(60, 0.3, of_limit=True)),
        Stage("audio", _C.STAGE_AUDIO, (_E.VideoValidated,), _E.AudioExtracted, _GO_ON, _A.AudioTrack, _LIGHT),
        Stage("asr", _C.STAGE_ASR, (_E.AudioExtracted,), _E.SpeechTranscribed, _GO_ON, _A.SpeechTranscript,
              Deadline(120, 3), model=True),
        Stage("scenes", _C.STAGE_SCENES, (_E.VideoValidated,), _E.ScenesDetected, _FAIL, _A.SceneCuts,
              Deadline(60, 1)),
        Stage("align", _C.STAGE_ALIGN, (_E.SpeechTranscribed, _E.ScenesDetected), _E.TranscriptAligned, _FAIL,
              _A.AlignedTranscript, _LIGHT),
        Stage("embeddings", _C.STAGE_EMBEDDINGS, (_E.TranscriptAligned,), _E.TextEmbedded, _GO_ON,
              _A.TextVectors, _LIGHT, model=True),
        Stage("frames", _C.STAGE_FRAMES, (_E.ScenesDetected,), _E.FramesSampled, _GO_ON, _A.FrameSamples,
              Deadline(60, 1)),
        Stage("vision", _C.STAGE_VISION, (_E.FramesSampled,), _E.FramesEmbedded, _GO_ON, _A.VisionVectors,
              Deadline(120, 3), model=True, schema_version=2),
        Stage("affect", _C.STAGE_AFFECT, (_E.FramesSampled,), _E.AffectTagged, _GO_ON, _A.AffectTags,
              Deadline(120, 4), model=True),
        Stage("faces", _C.STAGE_FACES, (_E.FramesSampled,), _E.FacesEmbedded, _GO_ON, _A.FaceTracks,
              Deadline(120, 4), model=True),
        Stage("sidecar", _C.STAGE_SIDECAR, (_E.TextEmbedded, _E.FramesEmbedded, _E.AffectTagged, _E.FacesEmbedded),
              _E.SidecarBuilt, _FAIL, _A.Sidecar, _LIGHT, schema_version=2),
        Stage("commit", _C.STAGE_COMMIT, (_E.SidecarBuilt,), _E.VideoIndexed, _FAIL, None, _LIGHT),
    )
})  # fmt: skip

STAGE_BY_NUMBER: Mapping[int, Stage] = MappingProxyType({int(s.number): s for s in STAGES.values()})
STAGE_BY_EVENT: Mapping[type[Message], Stage] = MappingProxyType({s.emits: s for s in STAGES.values()})

DEAD_LETTER = topic_name(_E.DeadLetter)

RETRY_TIERS: Mapping[str, float] = MappingProxyType(
    {
        "heimdex-retry-10s-v1": 10.0,
        "heimdex-retry-2m-v1": 120.0,
        "heimdex-retry-15m-v1": 900.0,
    }
)
"""Tier topic -> delay in seconds; try n waits in tier n. Each is FIFO in due time."""

CONTROL: Mapping[str, Control] = MappingProxyType({
    c.noun: c
    for c in (
        Control("relay", (), "every fact that starts in the catalogue"),
        Control("tracker", (*(topic_name(s.emits) for s in STAGES.values()), topic_name(_E.StageProgressed),
                            DEAD_LETTER), "catalogue, watch log"),
        Control("people", (topic_name(_E.FacesEmbedded), topic_name(_E.VideoIndexed), topic_name(_E.PersonEnrolled),
                           topic_name(_E.PersonDeleted)), "scene_people, scene facts"),
        Control("eraser", (topic_name(_E.VideoDeletionRequested),), "tombstones, VIDEO_ERASED"),
        Control("retry", tuple(RETRY_TIERS), "heimdex-<stage>-redo-v1"),
        Control("reconciler", (), "re-emission of missing inputs, sweeps"),
        Control("builder", (), "text indices of generations"),
    )
})  # fmt: skip


def _event(message: type[Message], **settings: object) -> Topic:
    return Topic(topic_name(message), message, **settings)  # type: ignore[arg-type]


TOPICS: Mapping[str, Topic] = MappingProxyType({
    topic.name: topic
    for topic in (
        _event(_E.VideoUploaded),
        *(_event(stage.emits) for stage in STAGES.values()),
        _event(_E.StageProgressed, retention_ms=DAY_MS, readers="heimdex"),
        Topic("heimdex-scene-v1", _E.SceneFact, "scene_id", Cleanup.COMPACT, -1, "operators (all tenants)"),
        _event(_E.PersonEnrolled, key="person_id"),
        _event(_E.PersonDeleted, key="person_id"),
        _event(_E.VideoDeletionRequested),
        _event(_E.VideoErased),
        _event(_E.SearchPerformed, key="query_id", retention_ms=ANALYSED_MS, readers="analysts"),
        _event(_E.SearchFeedback, key="query_id", retention_ms=ANALYSED_MS, readers="analysts"),
        Topic(DEAD_LETTER, _E.DeadLetter, readers="operators"),
        *(Topic(name, _E.VideoUploaded, readers="heimdex") for name in RETRY_TIERS),
        *(Topic(stage.redo_topic, stage.waits_for[0], readers="heimdex") for stage in STAGES.values()),
    )
})  # fmt: skip
"""Every topic. Retry tiers and redo topics carry the stage's own input, whatever its message: see ``ce_type``."""


def upstream(noun: str) -> tuple[Stage, ...]:
    """Return the stages whose facts ``noun`` waits for; empty for ``validate``."""
    return tuple(STAGE_BY_EVENT[m] for m in STAGES[noun].waits_for if m in STAGE_BY_EVENT)


def ancestors(noun: str) -> tuple[Stage, ...]:
    """Return every stage that ``noun`` rests on, in the order of the flow, without itself."""
    seen: set[str] = set()
    todo = [s.noun for s in upstream(noun)]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [s.noun for s in upstream(name)]
    return tuple(s for s in STAGES.values() if s.noun in seen)
