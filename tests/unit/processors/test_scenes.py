"""Scenes: cuts -> spans that partition the video, none too short, none too long."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.media import Span
from processors.scenes import artifact
from processors.scenes.stage import to_spans

LIMITS = {"min_ms": 600, "max_ms": 60_000}


def _edges(spans: tuple[Span, ...]) -> list[int]:
    return [0, *(span.end_ms for span in spans)]


@pytest.mark.parametrize(
    ("cuts_s", "duration_ms", "edges"),
    [
        ((), 5000, [0, 5000]),
        ((2.0, 3.5), 5000, [0, 2000, 3500, 5000]),
        ((3.5, 2.0), 5000, [0, 2000, 3500, 5000]),
        ((2.0, 2.3, 2.7), 5000, [0, 2000, 2700, 5000]),  # a flash starts no scene, the end of one does
        ((0.4, 4.7), 5000, [0, 5000]),  # too near to either end
        ((-1.0, 0.0, 5.0, 9.0), 5000, [0, 5000]),
        ((), 100, [0, 100]),
        ((), 150_000, [0, 50_000, 100_000, 150_000]),
        ((70.0,), 100_000, [0, 35_000, 70_000, 100_000]),
    ],
)
def test_cuts_become_scenes(cuts_s: tuple[float, ...], duration_ms: int, edges: list[int]) -> None:
    spans = to_spans(cuts_s, duration_ms, **LIMITS)
    assert _edges(spans) == edges
    assert artifact.decode(artifact.encode(spans)) == spans


@given(st.lists(st.floats(-10, 700, allow_nan=False), max_size=60), st.integers(1, 700_000))
def test_scenes_cover_the_video(cuts_s: list[float], duration_ms: int) -> None:
    spans = to_spans(cuts_s, duration_ms, **LIMITS)
    assert [span.index for span in spans] == list(range(len(spans)))
    assert spans[0].start_ms == 0
    assert spans[-1].end_ms == duration_ms
    assert all(before.end_ms == after.start_ms for before, after in pairwise(spans))
    lengths = [span.end_ms - span.start_ms for span in spans]
    assert max(lengths) <= 60_000
    assert min(lengths) >= 600 or len(spans) == 1
