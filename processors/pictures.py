"""Pictures: the sampled frames as stages see them; each is loaded when its turn comes and forgotten after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from contracts.ports import UInt8


@dataclass(frozen=True, slots=True)
class Picture:
    """A sampled frame: blob name, scene, time, and how to get its RGB uint8 (h, w, 3) pixels."""

    name: str
    scene_index: int
    at_ms: int
    load: Callable[[], UInt8]


def by_scene(pictures: Sequence[Picture]) -> Iterator[tuple[int, tuple[Picture, ...]]]:
    """Yield each scene's position and pictures, both in order."""
    ordered = sorted(pictures, key=lambda picture: (picture.scene_index, picture.at_ms, picture.name))
    for index, group in groupby(ordered, key=lambda picture: picture.scene_index):
        yield index, tuple(group)
