"""Vision: sampled frames -> the vectors and the tags of each scene. Pure; the encoder comes in as a port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.ports import MAX_VIEWS, Float32, Progress, Tag, VisionEncoder
from processors.embeddings.stage import normalised
from processors.pictures import Picture, by_scene

MAX_TAGS = 20
_BATCH = 16
_ALIKE = 0.8
"""Cosine from which two looks are one. Source: with the small encoder, frames 2 s apart of one shot, camera and people
moving, are 0.83 to 1.00 alike, and a cat, a coffee, a camera and a motorcycle 0.03 to 0.29."""


@dataclass(frozen=True, slots=True)
class View:
    """What frames that look alike have in common: float32 (dim,), L2-normalised; and when the nearest was taken."""

    vector: Float32
    at_ms: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen in a scene.

    Attributes:
        views: at most MAX_VIEWS, that of most frames first; none where no frame's vector has a direction.
        tags: best first.
    """

    index: int
    views: tuple[View, ...]
    tags: tuple[Tag, ...]


def see(pictures: Sequence[Picture], encoder: VisionEncoder, *, progress: Progress) -> tuple[Sight, ...]:
    """Return what is seen in each scene that has pictures, in order.

    Raises: ModelUnavailable (transient), BadArtifact (permanent) when a picture is none.
    """
    ordered = [picture for _, group in by_scene(pictures) for picture in group]
    vectors: list[Float32] = []
    tags: list[tuple[Tag, ...]] = []
    for start in range(0, len(ordered), _BATCH):
        rows, found = encoder.encode_images([picture.load() for picture in ordered[start : start + _BATCH]])
        vectors += list(rows)
        tags += found
        progress(min(1.0, (start + _BATCH) / len(ordered)))
    sights, at = [], 0
    for index, group in by_scene(pictures):
        part = slice(at, at + len(group))
        at += len(group)
        seen = views(np.stack(vectors[part]), [picture.at_ms for picture in group])
        sights.append(Sight(index, seen, merge(tags[part])))
    return tuple(sights)


def views(vectors: Float32, at_ms: Sequence[int]) -> tuple[View, ...]:
    """Return what a scene looks like: frames that look alike are one view, and never more than MAX_VIEWS are left.

    The two most alike become one, again and again: so what is seen for a moment stays a view of its own, however long
    the rest is. Frames of which each pair is alike always become one.

    Args:
        vectors: float32 (n, dim), in order of time, each of length 1 or 0; those of 0 stand for nothing.
        at_ms: when each was taken.
    """
    groups = [[frame] for frame in np.flatnonzero(np.any(vectors, axis=1)).tolist()]
    while len(groups) > 1:
        means = np.stack([_mean(vectors, group) for group in groups])
        cosines = np.where(np.tri(len(groups), dtype=bool), -np.inf, means @ means.T)
        first, second = divmod(int(cosines.argmax()), len(groups))
        if cosines[first, second] < _ALIKE and len(groups) <= MAX_VIEWS:
            break
        groups[first] = sorted(groups[first] + groups.pop(second))
    groups.sort(key=lambda group: (-len(group), group[0]))
    return tuple(_view(vectors, group, at_ms) for group in groups)


def _view(vectors: Float32, group: Sequence[int], at_ms: Sequence[int]) -> View:
    mean = _mean(vectors, group)
    nearest = int((vectors[group] @ mean).argmax())
    return View(mean, at_ms[group[nearest]])


def _mean(vectors: Float32, group: Sequence[int]) -> Float32:
    return normalised(np.mean(vectors[group], axis=0))


def merge(frames: Iterable[Sequence[Tag]]) -> tuple[Tag, ...]:
    """Return each tag once with its best score, best first; of equals, what more frames show, then by name."""
    best: dict[str, Tag] = {}
    count: dict[str, int] = {}
    for tag in (tag for frame in frames for tag in frame):
        count[tag.tag] = count.get(tag.tag, 0) + 1
        if tag.tag not in best or tag.score > best[tag.tag].score:
            best[tag.tag] = tag
    order = sorted(best.values(), key=lambda tag: (-tag.score, -count[tag.tag], tag.tag))
    return tuple(order[:MAX_TAGS])
