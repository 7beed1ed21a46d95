"""Pictures: the sampled frames as stages see them; each is loaded when its turn comes and forgotten after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from contracts.ports import UInt8
from processors.frames.stage import SampledFrame


@dataclass(frozen=True, slots=True)
class Picture:
    """A sampled frame: blob name, scene, time, and how to get its RGB uint8 (h, w, 3) pixels."""

    name: str
    scene_index: int
    at_ms: int
    load: Callable[[], UInt8]


def pictures(
    frames: Sequence[SampledFrame], paths: Mapping[str, Path], read: Callable[[Path], UInt8]
) -> tuple[Picture, ...]:
    """Return sampled frames as pictures, read from the files that ``paths`` names by blob."""
    return tuple(
        Picture(frame.blob, frame.scene_index, frame.at_ms, partial(read, paths[frame.blob])) for frame in frames
    )


def by_scene(pictures: Sequence[Picture]) -> Iterator[tuple[int, tuple[Picture, ...]]]:
    """Yield each scene's position and pictures, both in order."""
    ordered = sorted(pictures, key=lambda picture: (picture.scene_index, picture.at_ms, picture.name))
    for index, group in groupby(ordered, key=lambda picture: picture.scene_index):
        yield index, tuple(group)
