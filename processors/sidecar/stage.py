"""Sidecar: what every stage has found -> everything known of each scene, in one record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from contracts import ids
from contracts.errors import BadArtifact
from contracts.media import Span
from contracts.ports import Float32, Tag
from processors.affect.stage import Affect
from processors.asr.stage import SpokenUtterance
from processors.embeddings.stage import SceneVector
from processors.vision.stage import Sight, View


class Kind(Enum):
    """Where a tag comes from."""

    VISION = "vision"
    AFFECT = "affect"


@dataclass(frozen=True, slots=True)
class SceneTag:
    """A tag and where it comes from."""

    tag: Tag
    kind: Kind


@dataclass(frozen=True, slots=True)
class Keyframe:
    """The picture that stands for a scene, by the key of its JPEG."""

    object_key: str
    at_ms: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What the stages have found; empty where one had nothing to give.

    Attributes:
        lines: of every scene, in order.
        keyframes: by scene position.
        face_frames: sampled frames with a face, by scene position.
    """

    lines: Sequence[Sequence[SpokenUtterance]]
    vectors: Sequence[SceneVector] = ()
    keyframes: Mapping[int, Keyframe] = field(default_factory=dict)
    sights: Sequence[Sight] = ()
    affects: Sequence[Affect] = ()
    face_frames: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """Everything known of one scene.

    Attributes:
        text_vector: float32 (dim,), L2-normalised; None where nothing is said.
        views: what it looks like, that of most frames first.
    """

    scene_id: str
    span: Span
    lines: tuple[SpokenUtterance, ...]
    tags: tuple[SceneTag, ...]
    keyframe: Keyframe | None
    face_frame_count: int
    text_vector: Float32 | None
    views: tuple[View, ...]


def join(video_id: str, spans: Sequence[Span], found: Findings) -> tuple[SceneRecord, ...]:
    """Return every scene exactly once, in order.

    Raises: BadArtifact (permanent) when the scenes are not numbered from 0, or something was found in another one.
    """
    if [span.index for span in spans] != list(range(len(spans))):
        raise BadArtifact("the scenes are not numbered in order")
    if len(found.lines) != len(spans):
        raise BadArtifact(f"{len(spans)} scenes have {len(found.lines)} transcripts")
    text = {vector.index: vector.vector for vector in found.vectors}
    sights = {sight.index: sight for sight in found.sights}
    affects = {affect.index: affect for affect in found.affects}
    for indices in (text, sights, affects, found.keyframes, found.face_frames):
        _check(indices, len(spans))
    return tuple(
        SceneRecord(
            scene_id=ids.scene_id(video_id, span.start_ms, span.end_ms),
            span=span,
            lines=tuple(found.lines[span.index]),
            tags=_tags(sights.get(span.index), affects.get(span.index)),
            keyframe=found.keyframes.get(span.index),
            face_frame_count=found.face_frames.get(span.index, 0),
            text_vector=text.get(span.index),
            views=sights[span.index].views if span.index in sights else (),
        )
        for span in spans
    )


def _tags(sight: Sight | None, affect: Affect | None) -> tuple[SceneTag, ...]:
    """Return all tags, best first; of equals, what is seen comes before what is felt."""
    tags = [SceneTag(tag, Kind.VISION) for tag in (sight.tags if sight else ())]
    tags += [SceneTag(tag, Kind.AFFECT) for tag in (affect.tags if affect else ())]
    return tuple(sorted(tags, key=lambda tag: -tag.tag.score))


def _check(indices: Iterable[int], count: int) -> None:
    for index in indices:
        if not 0 <= index < count:
            raise BadArtifact(f"something was found in scene {index} of {count}")
