"""Lines and marks -> runs that join to the transcript."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Internal
from heimdex.scene.v1 import scene_pb2
from indexer.search.transcripts import Line, Told, joined, runs, told

SPOKEN = (Line(0, 900, "우주선이 달에"), Line(900, 2000, "착륙했습니다"))


def test_a_mark_over_two_lines_is_cut_at_the_line() -> None:
    assert [(r.text, r.highlighted, r.start_ms) for r in runs(SPOKEN, [(5, 10)])] == [
        ("우주선이 ", False, 0),
        ("달에 ", True, 0),
        ("착륙", True, 900),
        ("했습니다", False, 900),
    ]


def test_a_scene_tells_what_is_said_and_the_names_of_its_tags() -> None:
    scene = scene_pb2.Scene(
        transcript=[scene_pb2.TranscriptLine(text="고양이가 잔다", end_offset=Duration(seconds=1, nanos=500_000_000))],
        tags=[scene_pb2.Tag(tag="cat", names=["고양이", "cat"]), scene_pb2.Tag(tag="great_white_shark")],
    )
    assert told(scene.SerializeToString()) == Told(
        (Line(0, 1500, "고양이가 잔다"),), (("고양이", "cat", "cat"), ("great white shark",))
    )


def test_nothing_said_is_no_run() -> None:
    assert runs(()) == ()


def test_a_body_that_is_no_scene_is_a_defect() -> None:
    with pytest.raises(Internal):
        told(b"\xff\xff\xff")


@given(
    st.lists(st.text(min_size=1, max_size=8), max_size=4),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=4),
)
def test_runs_join_to_the_transcript(texts: list[str], marks: list[tuple[int, int]]) -> None:
    spoken = tuple(Line(i, i + 1, text) for i, text in enumerate(texts))
    ranges: list[tuple[int, int]] = []
    for start, length in sorted(marks):
        if not ranges or start > ranges[-1][1]:
            ranges.append((start, start + length))
    cut = runs(spoken, ranges)
    transcript = joined(spoken)
    assert "".join(run.text for run in cut) == transcript
    marked = sum(len(run.text) for run in cut if run.highlighted)
    assert marked == sum(max(0, min(end, len(transcript)) - start) for start, end in ranges if start < len(transcript))
