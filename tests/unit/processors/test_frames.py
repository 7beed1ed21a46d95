"""Frames: where to look in a scene, which frame to keep, and which stands for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Rejected
from contracts.media import Frame, Look, Span
from contracts.ports import UInt8
from processors.frames import artifact
from processors.frames.stage import MAX_SIDE_PX, SampledFrame, Seen, at_ms, choose, keep, keyframe, samples

GOOD, BLURRED, BLACK = Look(120.0, 50.0, 400.0), Look(120.0, 50.0, 10.0), Look(2.0, 1.0, 900.0)
SPAN = Span(0, 10_000, 20_000)


@dataclass
class Shown:
    """A frame of a film whose looks are known."""

    at_s: float
    looks: Look = GOOD

    def look(self) -> Look:
        return self.looks

    def picture(self, max_side_px: int) -> UInt8:
        assert max_side_px == MAX_SIDE_PX
        return np.full((9, 16, 3), int(self.at_s), np.uint8)


def _kept(frames: Iterator[Frame], spans: Sequence[Span], every_s: float = 2.0) -> tuple[SampledFrame, ...]:
    written: dict[str, UInt8] = {}
    planned = samples(spans, every_s=every_s, max_per_scene=12)
    shares: list[float] = []
    kept = keep(frames, planned, spans, written.__setitem__, shares.append)
    assert list(written) == [frame.blob for frame in kept]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    return kept


def _film(spans: Sequence[Span], every_s: float = 2.0) -> Iterator[Shown]:
    for sample in samples(spans, every_s=every_s, max_per_scene=12):
        for time_s in sample.candidates_s:
            yield Shown(time_s)


@pytest.mark.parametrize(
    ("span", "wanted_s"),
    [
        (Span(0, 0, 1000), [0.5]),
        (Span(0, 0, 4000), [2.0]),
        (Span(0, 0, 4500), [0.25, 2.25, 4.25]),
        (Span(0, 10_000, 20_000), [11.0, 13.0, 15.0, 17.0, 19.0]),
    ],
)
def test_a_scene_is_sampled_around_its_middle(span: Span, wanted_s: list[float]) -> None:
    assert [s.at_s for s in samples([span], every_s=2.0, max_per_scene=12)] == pytest.approx(wanted_s)


def test_a_long_scene_has_no_more_samples_but_wider_steps() -> None:
    found = samples([Span(0, 0, 60_000)], every_s=2.0, max_per_scene=12)
    assert len(found) == 11
    steps = np.diff([sample.at_s for sample in found])
    assert steps == pytest.approx([60 / 11] * 10)
    assert found[5].at_s == 30.0
    assert len(samples([Span(0, 0, 60_000)], every_s=2.0, max_per_scene=1)) == 1


@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=20))
def test_candidates_rise_within_their_scenes(lengths: list[int]) -> None:
    edges = np.cumsum([0, *lengths]).tolist()
    spans = [Span(i, start, end) for i, (start, end) in enumerate(pairwise(edges))]
    planned = samples(spans, every_s=2.0, max_per_scene=12)
    times = [time_s for sample in planned for time_s in sample.candidates_s]
    assert times == sorted(times)
    assert {sample.scene_index for sample in planned} == set(range(len(spans)))
    for sample in planned:
        span = spans[sample.scene_index]
        assert all(span.start_ms / 1000 <= time_s < span.end_ms / 1000 for time_s in sample.candidates_s)


@pytest.mark.parametrize(
    ("looks", "best"),
    [
        ([GOOD, GOOD, GOOD], 1),  # the nearest
        ([GOOD, BLURRED, BLURRED], 0),
        ([BLACK, BLURRED, BLACK], 1),  # noise in the dark is sharp
        ([BLACK, BLACK, BLACK], 1),
        ([Look(120.0, 50.0, 390.0), BLURRED, GOOD], 0),  # about as sharp, and the earlier of two as near
    ],
)
def test_the_kept_frame_is_sharp_shows_something_and_is_near(looks: list[Look], best: int) -> None:
    candidates = [Seen(at_s, look) for at_s, look in zip((14.8, 15.0, 15.2), looks, strict=True)]
    assert choose(candidates, 15.0, SPAN) == best


def test_a_frame_of_the_scene_before_is_kept_only_where_there_is_no_other() -> None:
    before = Seen(9.9, Look(120.0, 50.0, 900.0))
    assert choose([before, Seen(10.2, BLURRED)], 10.0, SPAN) == 1
    assert choose([before], 10.0, SPAN) == 0
    assert at_ms(9.9, SPAN) == 10_000
    assert at_ms(20.0, SPAN) == 19_999


def test_the_keyframe_is_near_the_middle_unless_it_is_bad() -> None:
    kept = [Seen(11.0, GOOD), Seen(15.0, GOOD), Seen(19.0, GOOD)]
    assert keyframe(kept, SPAN) == 1
    assert keyframe([kept[0], Seen(15.0, BLACK), kept[2]], SPAN) == 0
    assert keyframe([Seen(11.0, BLURRED), Seen(15.0, BLURRED), kept[2]], SPAN) == 2


def test_every_scene_has_frames_and_one_keyframe() -> None:
    spans = (Span(0, 0, 700), SPAN, Span(2, 20_000, 22_000))
    spans = (spans[0], Span(1, 700, 20_000), spans[2])
    kept = _kept(_film(spans), spans)
    assert [frame.blob for frame in kept] == [f"frame-{number:06d}.jpg" for number in range(len(kept))]
    assert {frame.scene_index for frame in kept if frame.keyframe} == {0, 1, 2}
    assert sum(frame.keyframe for frame in kept) == 3
    assert [frame.at_ms for frame in kept] == sorted(frame.at_ms for frame in kept)
    assert {(frame.width_px, frame.height_px) for frame in kept} == {(16, 9)}
    assert artifact.encode(artifact.decode(artifact.encode(kept))) == artifact.encode(kept)


def test_a_still_frame_is_kept_once_a_scene() -> None:
    spans = (Span(0, 0, 10_000), Span(1, 10_000, 20_000))
    still = Shown(0.0)
    kept = _kept((still for _ in _film(spans)), spans)
    assert [(frame.scene_index, frame.at_ms, frame.keyframe) for frame in kept] == [(0, 0, True), (1, 10_000, True)]


def test_a_file_of_which_nothing_decodes_is_damaged() -> None:
    with pytest.raises(Rejected) as caught:
        _kept(iter(()), (SPAN,))
    assert caught.value.reason == "CORRUPT_VIDEO"
