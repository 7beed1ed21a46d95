"""Ports: the seams between Heimdex and the outside; adapters implement them, tests bring memory forms.

Every port has one conformance suite in ``tests/contract`` (those of models in ``tests/models``: ``test_port_*``) that
runs on each of its adapters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from contracts.vocabulary import COMMITTED, Vocabulary

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

# --------------------------------------------------------------------------------------------- objects


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of one object.

    Attributes:
        key: ASCII, no leading slash.
        size_bytes: >= 0.
        etag: opaque, unquoted; changes with the content.
    """

    key: str
    size_bytes: int
    etag: str
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A presigned request: the client must send exactly ``headers``.

    Attributes:
        method: PUT or GET.
        expires_at_ms: Unix milliseconds, UTC.
    """

    url: str
    method: str
    headers: Mapping[str, str]
    expires_at_ms: int


class Objects(Protocol):
    """Strongly consistent object storage with conditional writes (one bucket).

    Errors: ``NotFound`` (permanent), ``PreconditionFailed`` (a condition did not hold, permanent),
    ``DependencyUnavailable`` (transient).
    """

    async def head(self, key: str) -> ObjectInfo | None:
        """Return what is known of ``key``; None if it does not exist."""
        ...

    async def get(self, key: str, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Return the whole object. Raises NotFound, PreconditionFailed."""
        ...

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        if_none_match: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Write the whole object; with ``if_none_match`` only if absent, with ``if_match`` only over that ETag."""
        ...

    async def download(self, key: str, path: Path, *, if_match: str | None = None) -> ObjectInfo:
        """Write the object to ``path`` (atomic rename); bounded memory."""
        ...

    async def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        """Write a file's bytes to ``key``; bounded memory."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield every object whose key starts with ``prefix``, in key order."""
        ...

    async def purge(self, prefix: str) -> int:
        """Remove every version and delete marker of every key under ``prefix`` and abort its multipart
        uploads; return how many versions went.
        """
        ...

    async def sign_get(self, key: str, *, ttl_s: int, content_type: str | None = None) -> SignedUrl:
        """Presign a GET; ``content_type`` replaces the stored one."""
        ...

    async def sign_put(self, key: str, *, ttl_s: int, size_bytes: int, sha256_hex: str, content_type: str) -> SignedUrl:
        """Presign one single PUT: If-None-Match: *, Content-Length, Content-Type and SHA-256 are signed in."""
        ...

    async def create_multipart(self, key: str, *, content_type: str, checksums: bool = True) -> str:
        """Open a multipart upload; return its id. ``checksums``: whether every part comes with its SHA-256, or none."""
        ...

    async def sign_part(
        self, key: str, multipart_id: str, number: int, *, ttl_s: int, size_bytes: int, sha256_hex: str | None
    ) -> SignedUrl:
        """Presign part ``number`` (>= 1)."""
        ...

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[Part]:
        """Return received parts in order of number; NotFound when the upload is gone."""
        ...

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> ObjectInfo:
        """Join the parts. NotFound when the upload is gone (completed or aborted before)."""
        ...

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Drop a multipart upload; absent is no error."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One received part of a multipart upload (number >= 1)."""

    number: int
    etag: str
    size_bytes: int


# ------------------------------------------------------------------------------------------------- bus


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record, as bytes.

    Attributes:
        value: protobuf message; None is a tombstone.
        headers: CloudEvents headers and our own, in order; values are bytes.
    """

    topic: str
    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = -1
    offset: int = -1


class Producer(Protocol):
    """Sends records, acks=all, idempotent."""

    async def send(self, record: Record) -> None:
        """Return after the broker acknowledged. Raises DependencyUnavailable (transient)."""
        ...


Handler = Callable[[Record], Awaitable[None]]
"""Takes one record; a normal return acknowledges it. Only CancelledError may escape."""


class Consumer(Protocol):
    """Consumer group: delivers records in partition order, one in flight a partition, at least once."""

    async def run(self) -> None:
        """Deliver until ``stop``."""
        ...

    async def stop(self) -> None:
        """End gracefully: the record in flight stays unacknowledged."""
        ...

    def healthy(self) -> bool:
        """False when the consumer has died or no longer makes progress."""
        ...


# ---------------------------------------------------------------------------------------------- stores


MAX_VIEWS = 3
"""Most vectors of a scene. A cut begins another scene, so few change their looks more than twice; and Milvus Lite,
which reads every row of a tenant, has at most three times as many to read."""


@dataclass(frozen=True, slots=True)
class VectorRow:
    """One vector of a scene in a collection; a scene is found by the best of its vectors.

    Attributes:
        row_id: ``{scene_id}:{revision}``, the same for all of a scene's.
        vector: float32, shape (dim,), L2-normalised.
        view: which of the scene's vectors, in [0, MAX_VIEWS); 0 is that of most of the scene.
    """

    row_id: str
    tenant_id: str
    video_id: str
    scene_id: str
    revision: int
    start_ms: int
    end_ms: int
    vector: Float32
    view: int = 0


Views = Mapping[int, Float32]
"""Vectors of a scene, float32 (dim,), by ``VectorRow.view``."""


class Scored(NamedTuple):
    """A scene's row, the cosine of the best of its vectors, [-1, 1], its video, and which of its vectors that is."""

    row_id: str
    score: float
    video_id: str
    view: int = 0


class Nearness(NamedTuple):
    """The cosine of the best of a scene's vectors, [-1, 1], and which of them that is."""

    cosine: float
    view: int = 0

    @classmethod
    def best(cls, cosines: Mapping[int, float]) -> Self:
        """Return the best of a scene's cosines, which are by view; of equals the first."""
        view = max(sorted(cosines), key=cosines.__getitem__)
        return cls(cosines[view], view)

    @classmethod
    def of(cls, views: Views, vector: Float32) -> Self:
        """Return how near a scene is to ``vector`` (dim,), of length 1."""
        return cls.best({view: float(own @ vector) for view, own in views.items()})


@dataclass(frozen=True, slots=True)
class Scope:
    """Which scenes of a tenant are looked at; all of them where nothing is said.

    Attributes:
        video_ids: of any of these videos.
        start_from_ms: that begin there in their video or later, in milliseconds.
        start_to_ms: that begin before.
    """

    video_ids: tuple[str, ...] = ()
    start_from_ms: int | None = None
    start_to_ms: int | None = None

    def holds(self, video_id: str, start_ms: int) -> bool:
        """Return whether a scene is within it."""
        return (
            (not self.video_ids or video_id in self.video_ids)
            and (self.start_from_ms is None or start_ms >= self.start_from_ms)
            and (self.start_to_ms is None or start_ms < self.start_to_ms)
        )


EVERYWHERE = Scope()


class VectorIndex(Protocol):
    """Vectors by cosine, one collection a (modality, model version), always within one tenant."""

    async def ensure(self, collection: str, dim: int) -> None:
        """Create the collection if it is absent; PreconditionFailed when it has another dimension."""
        ...

    async def upsert(self, collection: str, rows: Sequence[VectorRow]) -> None:
        """Write rows; the same row_id and view replaces."""
        ...

    async def flush(self, collection: str) -> None:
        """Make all that was written searchable and quick."""
        ...

    async def search(
        self, collection: str, tenant_id: str, vectors: Float32, *, limit: int, scope: Scope = EVERYWHERE
    ) -> Sequence[Sequence[Scored]]:
        """Return, per query row of ``vectors`` (float32 (n, dim)), up to ``limit`` scenes of the scope, best first."""
        ...

    async def similarities(
        self, collection: str, tenant_id: str, vector: Float32, row_ids: Sequence[str]
    ) -> Mapping[str, Nearness]:
        """Return how near each known scene of ``row_ids`` is to ``vector`` (dim,)."""
        ...

    async def views(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, Views]:
        """Return the vectors of each known scene, L2-normalised."""
        ...

    async def delete(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> None:
        """Remove all vectors of scenes; absent ids are no error."""
        ...

    async def delete_video(self, collection: str, tenant_id: str, video_id: str) -> None:
        """Remove every row of a video."""
        ...

    async def count(self, collection: str, tenant_id: str, video_id: str | None = None) -> int:
        """Return how many vectors a tenant (or one of its videos) has."""
        ...


@dataclass(frozen=True, slots=True)
class TextRow:
    """One scene in the text index.

    Attributes:
        transcript: NFC; empty when nothing is said.
        tags: normalised tag ids (``cat``) with their names in every language (``고양이``) in ``tag_names``.
    """

    row_id: str
    tenant_id: str
    video_id: str
    scene_id: str
    revision: int
    start_ms: int
    end_ms: int
    transcript: str
    tags: tuple[str, ...] = ()
    tag_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextQuery:
    """One lexical query.

    Attributes:
        text: NFC free text, may be empty when ``phrases`` or ``tags`` is not.
        phrases: each must occur literally (analysed, slop 0-3).
        tags: ids; a row must have all of them, and then needs no word of ``text``.
    """

    tenant_id: str
    text: str
    phrases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    scope: Scope = EVERYWHERE
    limit: int = 50


class TextHit(NamedTuple):
    """One lexical hit: BM25 of the transcript, tag score, idf coverage in [0, 1], and its video."""

    row_id: str
    bm25: float
    tag_score: float
    coverage: float
    video_id: str


class Suggested(NamedTuple):
    """A word that is said, or the name of a tag, as it is written, and how many scenes have it."""

    text: str
    is_tag: bool
    scenes: int


class TextIndex(Protocol):
    """Korean-analysed text by BM25, always within one tenant."""

    async def ensure(self, index: str, vocabulary: Vocabulary = COMMITTED) -> None:
        """Create the index with its analysers if it is absent. One that is there keeps the words it was made with.

        Raises: InvalidRequest (permanent) when the analysers can do nothing with some of the words.
        """
        ...

    async def upsert(self, index: str, rows: Sequence[TextRow]) -> None:
        """Write rows with external versions (revision): a stale replay is dropped, never an error."""
        ...

    async def refresh(self, index: str) -> None:
        """Make all that was written searchable."""
        ...

    async def search(self, index: str, queries: Sequence[TextQuery]) -> Sequence[Sequence[TextHit]]:
        """Answer several queries in one round trip; each list best first.

        It joins up to ``limit`` rows by what is said and as many by tags; of the other a row has nothing then.
        """
        ...

    async def holding(self, index: str, tenant_id: str, row_ids: Sequence[str], texts: Sequence[str]) -> frozenset[str]:
        """Return which of the tenant's rows hold any of the texts, each as a phrase: said, or as the name of a tag."""
        ...

    async def highlight(self, index: str, text: str, transcripts: Sequence[str]) -> Sequence[Sequence[tuple[int, int]]]:
        """Return, per transcript, half-open code-point ranges that ``text`` matches, merged and ascending."""
        ...

    async def suggest(
        self, index: str, tenant_id: str, beginnings: Sequence[str], *, limit: int
    ) -> Sequence[Sequence[Suggested]]:
        """Return, per beginning, up to ``limit`` words of two characters and more that go on so, those of most scenes
        first, in one round trip. Case and spaces do not matter; 김칮 goes on as 김치찌개; nothing but consonants
        (ㄱㅊㅉㄱ) are the initials of a word.
        """
        ...

    async def delete(self, index: str, row_ids: Sequence[tuple[str, str]]) -> None:
        """Remove rows given as (row_id, video_id); absent ids are no error."""
        ...

    async def delete_video(self, index: str, tenant_id: str, video_id: str) -> None:
        """Remove every row of a video."""
        ...

    async def count(self, index: str, tenant_id: str, video_id: str | None = None) -> int:
        """Return how many rows a tenant (or one of its videos) has."""
        ...

    async def drop(self, index: str) -> None:
        """Remove the index with all that is in it; absent is no error."""
        ...


# ---------------------------------------------------------------------------------------------- models


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word: seconds from the start of the audio, ``end_s`` exclusive; probability in [0, 1]."""

    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech.

    Attributes:
        start_s: seconds from the start of the audio, inclusive, from the first word.
        end_s: seconds, exclusive; > start_s.
        text: NFC, never blank.
        confidence: [0, 1], exp of the mean log probability.
        no_speech_probability: [0, 1].
        words: in order of start; their texts joined give ``text`` but for white space.
    """

    start_s: float
    end_s: float
    text: str
    confidence: float
    no_speech_probability: float
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """All speech of one audio track; ``language`` is BCP-47 (``ko``), empty when nothing was said."""

    language: str
    language_probability: float
    utterances: tuple[Utterance, ...]


Progress = Callable[[float], None]
"""Reports the finished share in [0, 1]; never raises."""


@runtime_checkable
class SpeechModel(Protocol):
    """Speech to text. Load is lazy; instances are used from one thread."""

    @property
    def version(self) -> str:
        """Names weights, quantisation and decoding settings; enters the spec."""
        ...

    def recognise(self, samples: Float32, *, language: str | None, progress: Progress) -> Transcript:
        """Transcribe mono 16 kHz float32 samples in [-1, 1], shape (n,); empty for silence or music.

        Args:
            language: BCP-47, or None to detect.

        Raises:
            ModelUnavailable: weights are missing or the runtime failed (transient).
        """
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Text to vectors; queries and passages share one space."""

    @property
    def version(self) -> str:
        """Name weights and settings; enters the spec."""
        ...

    @property
    def dim(self) -> int:
        """Length of each vector."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """Return float32 (n, dim), L2-normalised, in the order of ``texts``; (0, dim) for none."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """As ``encode_passages``, for queries."""
        ...


@dataclass(frozen=True, slots=True)
class Tag:
    """A visual or affective label: ``tag`` is an ASCII id, ``names`` what people search by (ko, en …)."""

    tag: str
    names: tuple[str, ...]
    score: float


@runtime_checkable
class VisionEncoder(Protocol):
    """Images and texts in one space, with tags of what is seen."""

    @property
    def version(self) -> str:
        """Name weights and settings; enters the spec."""
        ...

    @property
    def dim(self) -> int:
        """Length of each vector."""
        ...

    def encode_images(self, images: Sequence[UInt8]) -> tuple[Float32, Sequence[tuple[Tag, ...]]]:
        """Encode RGB uint8 (h, w, 3) images: float32 (n, dim) L2-normalised, and each image's tags, best first."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """Encode texts into the image space: float32 (n, dim), L2-normalised."""
        ...


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one image.

    Attributes:
        box: x, y, width, height in pixels of the image.
        score: detection score in [0, 1].
        vector: float32 (dim,), L2-normalised where the model says so.
        sharpness: variance of the Laplacian of the crop scaled to 112 px; >= 0, low is blurred.
    """

    box: tuple[float, float, float, float]
    score: float
    vector: Float32
    sharpness: float


@runtime_checkable
class FaceModel(Protocol):
    """Faces and who they may be; thresholds belong to the model."""

    @property
    def version(self) -> str:
        """Name weights and settings; enters the spec."""
        ...

    @property
    def dim(self) -> int:
        """Length of each vector."""
        ...

    @property
    def min_face_px(self) -> int:
        """Smallest side of a box that is embedded."""
        ...

    @property
    def min_sharpness(self) -> float:
        """Photos below this sharpness are BLURRED."""
        ...

    def find(self, image: UInt8) -> tuple[Face, ...]:
        """Return the faces of an RGB uint8 (h, w, 3) image, largest first."""
        ...

    def similarity(self, a: Float32, b: Float32) -> Float32:
        """Compare float32 (n, dim) with (m, dim): (n, m) in [0, 1]; >= 0.5 is the same person."""
        ...


@runtime_checkable
class AffectModel(Protocol):
    """What a face feels like."""

    @property
    def version(self) -> str:
        """Name weights and settings; enters the spec."""
        ...

    def read(self, image: UInt8, boxes: Sequence[tuple[float, float, float, float]]) -> Sequence[Mapping[str, float]]:
        """Return per box the probability of each of angry, disgust, fear, happy, sad, surprise, neutral."""
        ...


# ----------------------------------------------------------------------------------------- inference


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """A query in both spaces: float32 (text dim,) and (vision dim,)."""

    text: Float32
    vision: Float32


class QueryEncoder(Protocol):
    """The encoders of queries, in a process of their own; callers are micro-batched.

    Raises: DependencyUnavailable (transient), LimitExceeded (queue full).
    """

    async def encode(self, text: str) -> QueryVectors:
        """Encode one NFC query."""
        ...


class PhotoReader(Protocol):
    """Faces of enrolment photos, in the inference process."""

    async def faces(self, image: bytes) -> Sequence[tuple[Face, int, int]]:
        """Decode an image file and return its faces with the image's width and height, largest first.

        Raises: InvalidRequest (not an image, permanent), DependencyUnavailable (transient).
        """
        ...


class ImageEncoder(Protocol):
    """Pictures that are searched by, in the inference process."""

    async def encode_image(self, image: bytes, *, version: str) -> Float32:
        """Decode an image file and return its vector in the space of images: float32 (vision dim,), L2-normalised.

        Args:
            version: of the vectors that are searched.

        Raises: InvalidRequest (not an image, permanent), DependencyUnavailable (transient), also for another version.
        """
        ...


class Clock(Protocol):
    """Time, so that tests own it."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def now_ms(self) -> int:
        """Unix milliseconds, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Alarm(Protocol):
    """A call that is to come."""

    def cancel(self) -> object:
        """Let it not come; it may have."""
        ...


class AlarmClock(Clock, Protocol):
    """A clock that also calls back: for time limits that cost no task each."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call from the event loop after so many seconds."""
        ...
