"""Vision: the frames of a scene -> one vector and each tag once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapters.models.vision.fake import FakeVisionEncoder
from contracts.ports import Tag, UInt8
from processors.frames.stage import SampledFrame
from processors.pictures import Picture, by_scene, pictures
from processors.vision import artifact
from processors.vision.artifact import Seen
from processors.vision.stage import MAX_TAGS, merge, see

RED, BLUE = (220, 30, 30), (30, 60, 220)


def _picture(scene: int, at_ms: int, rgb: tuple[int, int, int]) -> Picture:
    return Picture(f"f-{at_ms}", scene, at_ms, lambda: np.full((20, 20, 3), rgb, np.uint8))


def test_a_scene_is_the_mean_of_its_frames() -> None:
    shares: list[float] = []
    shown = [_picture(0, 0, RED), _picture(2, 5000, RED), _picture(2, 7000, BLUE)]
    sights = see(shown, FakeVisionEncoder(), progress=shares.append)
    assert [sight.index for sight in sights] == [0, 2]
    assert [tag.tag for tag in sights[0].tags] == ["red"]
    assert [tag.tag for tag in sights[1].tags] == ["blue", "red"], "of equals, by name"
    queries = FakeVisionEncoder().encode_queries(["빨강", "파랑"])
    assert queries @ sights[0].vector == pytest.approx([1.0, 0.0], abs=1e-6)
    assert queries @ sights[1].vector == pytest.approx([2**-0.5, 2**-0.5], abs=1e-6)
    assert shares[-1] == 1.0


def test_pictures_are_loaded_a_batch_at_a_time() -> None:
    held: list[int] = []

    def load() -> UInt8:
        held.append(1)
        return np.zeros((4, 4, 3), np.uint8)

    seen_after: list[int] = []
    shown = [Picture(f"f-{n:02d}", 0, n, load) for n in range(40)]
    see(shown, FakeVisionEncoder(), progress=lambda _: seen_after.append(len(held)))
    assert seen_after == [16, 32, 40]


def test_no_pictures_no_sights() -> None:
    assert see([], FakeVisionEncoder(), progress=lambda _: None) == ()


def test_tags_are_merged_best_first() -> None:
    cat, low, dog, sofa = Tag("cat", ("고양이",), 0.9), Tag("cat", (), 0.4), Tag("dog", (), 0.6), Tag("sofa", (), 0.6)
    assert merge([(low, sofa), (cat, dog), (sofa,)]) == (cat, sofa, dog), "of equals, what more frames show"
    assert len(merge([[Tag(f"t{n:02d}", (), 0.5) for n in range(30)]])) == MAX_TAGS


def test_pictures_come_in_order_of_scene_and_time() -> None:
    frames = [
        SampledFrame(f"f-{n}", scene, at, 2, 2, False, 0.0) for n, (scene, at) in enumerate([(1, 9), (0, 5), (1, 7)])
    ]
    read: list[Path] = []

    def load(path: Path) -> UInt8:
        read.append(path)
        return np.zeros((2, 2, 3), np.uint8)

    shown = pictures(frames, {frame.blob: Path("dir", frame.blob) for frame in frames}, load)
    assert [(index, [p.at_ms for p in group]) for index, group in by_scene(shown)] == [(0, [5]), (1, [7, 9])]
    assert read == [], "nothing is read before its turn"
    shown[0].load()
    assert read == [Path("dir", "f-0")]


def test_sights_travel() -> None:
    sights = see([_picture(0, 0, RED)], FakeVisionEncoder(), progress=lambda _: None)
    again = artifact.decode(artifact.encode(Seen("fake", 12, sights)))
    assert (again.model_version, again.dim) == ("fake", 12)
    assert np.array_equal(again.sights[0].vector, sights[0].vector)
    assert [(tag.tag, tag.names) for tag in again.sights[0].tags] == [("red", ("빨강", "빨간", "붉은", "red"))]
