"""Vision: sampled frames -> one vector and the tags of each scene. Pure; the encoder comes in as a port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.ports import Float32, Progress, Tag, VisionEncoder
from processors.embeddings.stage import normalised
from processors.pictures import Picture, by_scene

MAX_TAGS = 20
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen in a scene: float32 (dim,) vector, L2-normalised; tags best first."""

    index: int
    vector: Float32
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
        vector = normalised(np.mean(np.stack(vectors[part]), axis=0))
        sights.append(Sight(index, vector, merge(tags[part])))
    return tuple(sights)


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
