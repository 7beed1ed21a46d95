"""Affect: sampled frames -> what the faces of each scene feel like. Pure; both models come in as ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts.ports import AffectModel, Progress, Tag, UInt8
from processors.pictures import Picture, by_scene

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""

Detect = Callable[[UInt8], Sequence[Box]]

_SEVERAL = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """When a reading counts: probability in [0, 1], smallest side of the face in pixels, and names by emotion.

    An emotion without names makes no tag (``neutral``).
    """

    min_probability: float
    min_face_px: float
    names: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Affect:
    """What a scene feels like: tags best first, never none."""

    index: int
    tags: tuple[Tag, ...]


def read_affect(
    pictures: Sequence[Picture], detect: Detect, model: AffectModel, rule: Rule, *, progress: Progress
) -> tuple[Affect, ...]:
    """Return the scenes whose faces clearly show something, in order.

    An emotion is a scene's tag when at least two of its sampled frames agree, or its only one says so: one frame of a
    talking face shows anything.

    Raises: ModelUnavailable (transient), BadArtifact (permanent) when a picture is none.
    """
    scenes = []
    done = 0
    for index, group in by_scene(pictures):
        frames = []
        for picture in group:
            frames.append(_read(picture.load(), detect, model, rule))
            done += 1
            progress(done / len(pictures))
        tags = agree(frames, rule)
        if tags:
            scenes.append(Affect(index, tags))
    return tuple(scenes)


def agree(frames: Sequence[Mapping[str, float]], rule: Rule) -> tuple[Tag, ...]:
    """Return the tags on which enough frames agree, best first; the score is their mean probability."""
    needed = min(_SEVERAL, len(frames))
    readings: dict[str, list[float]] = {}
    for frame in frames:
        for emotion, probability in frame.items():
            readings.setdefault(emotion, []).append(probability)
    tags = [
        Tag(emotion, rule.names[emotion], sum(values) / len(values))
        for emotion, values in readings.items()
        if len(values) >= needed
    ]
    return tuple(sorted(tags, key=lambda tag: (-tag.score, tag.tag)))


def _read(image: UInt8, detect: Detect, model: AffectModel, rule: Rule) -> Mapping[str, float]:
    """Return the emotions that some face of a frame clearly shows, with the highest probability."""
    boxes = [box for box in detect(image) if min(box[2:]) >= rule.min_face_px]
    clear: dict[str, float] = {}
    for reading in model.read(image, boxes) if boxes else ():
        for emotion, probability in reading.items():
            if emotion in rule.names and probability >= rule.min_probability:
                clear[emotion] = max(clear.get(emotion, 0.0), probability)
    return clear
