"""Vision: the frames of a scene -> what it looks like, and each tag once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.models.vision.fake import FakeVisionEncoder
from contracts.ports import MAX_VIEWS, Float32, Tag, UInt8
from processors.embeddings.stage import normalised
from processors.frames.stage import SampledFrame
from processors.pictures import Picture, by_scene, pictures
from processors.vision import artifact
from processors.vision.artifact import Seen
from processors.vision.stage import MAX_TAGS, merge, see, views

DIM = 8
RED, BLUE = (220, 30, 30), (30, 60, 220)


def _picture(scene: int, at_ms: int, rgb: tuple[int, int, int]) -> Picture:
    return Picture(f"f-{at_ms}", scene, at_ms, lambda: np.full((20, 20, 3), rgb, np.uint8))


def test_a_scene_has_a_view_for_each_of_its_looks() -> None:
    shares: list[float] = []
    shown = [_picture(0, 0, RED), _picture(2, 5000, RED), _picture(2, 7000, BLUE), _picture(2, 9000, BLUE)]
    sights = see(shown, FakeVisionEncoder(), progress=shares.append)
    assert [sight.index for sight in sights] == [0, 2]
    assert [tag.tag for tag in sights[0].tags] == ["red"]
    assert [tag.tag for tag in sights[1].tags] == ["blue", "red"], "of equals, what more frames show"
    queries = FakeVisionEncoder().encode_queries(["빨강", "파랑"])
    (red,) = sights[0].views
    assert queries @ red.vector == pytest.approx([1.0, 0.0], abs=1e-6)
    most, least = sights[1].views
    assert queries @ most.vector == pytest.approx([0.0, 1.0], abs=1e-6)
    assert queries @ least.vector == pytest.approx([1.0, 0.0], abs=1e-6)
    assert (red.at_ms, most.at_ms, least.at_ms) == (0, 7000, 5000)
    assert shares[-1] == 1.0


def _look(*values: float) -> Float32:
    vector = np.zeros(DIM, np.float32)
    vector[: len(values)] = values
    return vector / np.float32(np.linalg.norm(vector))


def test_what_is_seen_for_a_moment_is_a_view_of_its_own_however_long_the_rest_is() -> None:
    speaker, cat = _look(1), _look(0, 1)
    scene = np.stack([speaker] * 6 + [cat] + [speaker] * 5)
    most, least = views(scene, range(0, 24_000, 2000))
    assert most.vector @ speaker == pytest.approx(1)
    assert least.vector @ cat == pytest.approx(1)
    assert (most.at_ms, least.at_ms) == (0, 12_000)


def test_of_more_looks_than_there_may_be_the_most_alike_become_one() -> None:
    looks = [_look(1), _look(0, 1), _look(0, 1, 1), _look(0, 0, 0, 1)]  # the middle two are 0.7 alike
    seen = views(np.stack(looks), [0, 1, 2, 3])
    assert [view.at_ms for view in seen] == [1, 0, 3]
    assert seen[0].vector == pytest.approx(_look(0, 1 + 2**-0.5, 2**-0.5), abs=1e-6)


def test_the_time_is_that_of_the_frame_nearest_to_the_mean() -> None:
    (view,) = views(np.stack([_look(1, 0.3), _look(1), _look(1, -0.2)]), [500, 700, 900])
    assert view.at_ms == 700


def test_frames_without_direction_stand_for_nothing() -> None:
    nothing = np.zeros(DIM, np.float32)
    (view,) = views(np.stack([nothing, _look(1), nothing]), [0, 1, 2])
    assert (view.vector.tolist(), view.at_ms) == (_look(1).tolist(), 1)
    assert views(np.stack([nothing]), [0]) == ()


@st.composite
def _frames(draw: st.DrawFn) -> Float32:
    """Return frames of up to five looks, each somewhat like it."""
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    looks = seed.standard_normal((draw(st.integers(1, 5)), DIM))
    shown = looks[seed.integers(0, len(looks), draw(st.integers(1, 12)))]
    frames = shown + draw(st.floats(0, 1)) * seed.standard_normal(shown.shape)
    unit: Float32 = (frames / np.linalg.norm(frames, axis=1, keepdims=True)).astype(np.float32)
    return unit


@given(_frames())
def test_views_are_few_of_length_one_and_always_the_same(frames: Float32) -> None:
    at_ms = [500 + 2000 * n for n in range(len(frames))]
    seen = views(frames, at_ms)
    assert 1 <= len(seen) <= min(MAX_VIEWS, len(frames))
    assert len({view.at_ms for view in seen}) == len(seen)
    assert {view.at_ms for view in seen} <= set(at_ms)
    for view in seen:
        assert np.linalg.norm(view.vector) == pytest.approx(1, abs=1e-5)
        assert view.vector.dtype == np.float32
    again = views(frames.copy(), at_ms)
    assert [(view.vector.tolist(), view.at_ms) for view in again] == [(v.vector.tolist(), v.at_ms) for v in seen]


@given(_frames(), st.floats(0.05, 0.2))
def test_a_still_scene_has_one_view_the_mean(frames: Float32, moves: float) -> None:
    still = frames[0] + np.float32(moves) * frames  # 0.8 alike and more, each pair of them
    still = (still / np.linalg.norm(still, axis=1, keepdims=True)).astype(np.float32)
    (view,) = views(still, range(len(still)))
    assert view.vector == pytest.approx(normalised(still.mean(axis=0)), abs=1e-6)
    assert view.at_ms == int((still @ view.vector).argmax())


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
    sights = see([_picture(0, 0, RED), _picture(0, 9, BLUE)], FakeVisionEncoder(), progress=lambda _: None)
    assert len(sights[0].views) == 2
    again = artifact.decode(artifact.encode(Seen("fake", 12, sights)))
    assert (again.model_version, again.dim) == ("fake", 12)
    assert [(view.vector.tolist(), view.at_ms) for view in again.sights[0].views] == [
        (view.vector.tolist(), view.at_ms) for view in sights[0].views
    ]
    assert [(tag.tag, tag.names) for tag in again.sights[0].tags] == [
        ("blue", ("파랑", "파란", "푸른", "blue")), ("red", ("빨강", "빨간", "붉은", "red")),
    ]  # fmt: skip
