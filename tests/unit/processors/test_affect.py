"""Affect: what several frames agree on is what a scene feels like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from contracts.ports import UInt8
from processors.affect import artifact
from processors.affect.artifact import Felt
from processors.affect.stage import Box, Rule, agree, read_affect
from processors.pictures import Picture

RULE = Rule(0.6, 48.0, {"happy": ("웃는 얼굴", "smile"), "sad": ("슬픈 얼굴",)})
LARGE, SMALL = (0.0, 0.0, 50.0, 60.0), (0.0, 0.0, 60.0, 40.0)


@dataclass
class Says:
    """Reads what the first pixel of the picture stands for."""

    moods: Sequence[Mapping[str, float]]
    version: str = "says"

    def read(self, image: UInt8, boxes: Sequence[Box]) -> Sequence[Mapping[str, float]]:
        return [self.moods[int(image[0, 0, 0])] for _ in boxes]


def _pictures(scene: int, *moods: int) -> list[Picture]:
    return [
        Picture(f"f-{scene}-{n}", scene, scene * 1000 + n, lambda mood=mood: np.full((2, 2, 3), mood, np.uint8))  # type: ignore[misc]
        for n, mood in enumerate(moods)
    ]


def test_a_tag_needs_two_frames_or_the_only_one() -> None:
    model = Says(({"happy": 0.9, "sad": 0.1}, {"happy": 0.7, "sad": 0.3}, {"happy": 0.5, "sad": 0.5}, {"neutral": 1.0}))
    shown = [*_pictures(0, 0), *_pictures(1, 0, 1, 3), *_pictures(2, 0, 2, 3), *_pictures(3, 3)]
    shares: list[float] = []
    scenes = read_affect(shown, lambda _: [LARGE], model, RULE, progress=shares.append)
    assert [(s.index, [(t.tag, round(t.score, 3)) for t in s.tags]) for s in scenes] == [
        (0, [("happy", 0.9)]), (1, [("happy", 0.8)]),
    ]  # fmt: skip
    assert scenes[0].tags[0].names == ("웃는 얼굴", "smile")
    assert shares == pytest.approx([n / 8 for n in range(1, 9)])


def test_small_faces_and_empty_frames_say_nothing() -> None:
    model = Says(({"happy": 1.0},))
    assert read_affect(_pictures(0, 0, 0), lambda _: [SMALL], model, RULE, progress=lambda _: None) == ()
    assert read_affect(_pictures(0, 0, 0), lambda _: [], model, RULE, progress=lambda _: None) == ()


def test_tags_are_best_first() -> None:
    frames = [{"happy": 0.7, "sad": 0.9}, {"sad": 0.8, "happy": 0.6}]
    assert [(tag.tag, round(tag.score, 2)) for tag in agree(frames, RULE)] == [("sad", 0.85), ("happy", 0.65)]
    assert agree([], RULE) == ()


def test_what_is_felt_travels() -> None:
    model = Says(({"happy": 0.75},))
    scenes = read_affect(_pictures(0, 0), lambda _: [LARGE], model, RULE, progress=lambda _: None)
    felt = Felt("says", scenes)
    assert artifact.decode(artifact.encode(felt)) == felt
