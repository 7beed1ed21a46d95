"""What the command prints: columns that align in Hangul, text that is no markup, JSON lines of the agreed fields."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.cells import cell_len
from rich.console import Console

from heimdex.cli import output
from heimdex.cli.search import emit, hits_table
from heimdex.scene.v1.scene_pb2 import Keyframe, Scene, ScenePerson, Tag
from heimdex.search.v1 import search_service_pb2 as pb

HIT_FIELDS = {
    "type", "video_id", "file_name", "scene_id", "start_s", "end_s", "score", "confidence", "match_quality",
    "contributions", "transcript", "people", "tags",
}  # fmt: skip


def printed(table: object, width: int = 100) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width).print(table)
    return file.getvalue().splitlines()


def test_columns_align_in_every_script() -> None:
    table = output.table("name", "file")
    for name, file in (("민지", "고양이.mp4"), ("Ann", "cat.mp4"), ("👩‍👩‍👧", "가족.mp4")):
        output.add_row(table, name, file)
    rows = [line for line in printed(table) if ".mp4" in line]
    starts = {cell_len(row[: row.index(file)]) for row, file in zip(rows, ("고양이", "cat", "가족"), strict=True)}
    assert len(starts) == 1


def test_what_people_have_written_is_no_markup() -> None:
    table = output.table("file")
    output.add_row(table, "[bold]a[/bold] :smile: [x.mp4")
    assert "[bold]a[/bold] :smile: [x.mp4" in "\n".join(printed(table))


def test_ids_are_whole_in_a_narrow_terminal() -> None:
    table = output.table("video", "state", "file", whole=2)
    video_id = "vid_" + "0" * 26
    output.add_row(table, video_id, "validating", "고양이 " * 40)
    lines = printed(table, width=80)
    assert [line for line in lines if line.startswith(f"{video_id}  validating  고양이")]
    assert max(cell_len(line) for line in lines) <= 80


@pytest.mark.parametrize(("text", "shown"), [("asr", "asr   |"), ("영상", "영상  |"), ("가나다라", "가나다라|")])
def test_padding_counts_columns(text: str, shown: str) -> None:
    assert output.padded(text, 6) + "|" == shown


def test_positions() -> None:
    assert output.clock(Duration(seconds=61, nanos=960_000_000)) == "1:02.0"
    assert output.seconds(Duration(seconds=1, nanos=234_567_890)) == 1.235
    scene = Scene(start_offset=Duration(seconds=1), end_offset=Duration(seconds=2, nanos=500_000_000))
    assert output.span(scene) == "[0:01.0–0:02.5]"


def answer() -> pb.SearchScenesResponse:
    scene = Scene(
        scene_id="scn_1",
        video_id="vid_1",
        file_name=unicodedata.normalize("NFC", "고양이.mp4"),
        start_offset=Duration(seconds=4),
        end_offset=Duration(seconds=6, nanos=500_000_000),
        tags=[Tag(tag="cat", names=["고양이", "cat"], score=0.5)],
        people=[ScenePerson(person_id="per_1", display_name="민지", confidence=0.9)],
        keyframe=Keyframe(object_key="t/x/1.jpg"),
    )
    hit = pb.SceneHit(
        rank=1,
        scene=scene,
        score=0.5,
        confidence=0.75,
        match_quality=pb.MATCH_QUALITY_SUPPORTED,
        contributions=[pb.Contribution(channel=pb.CHANNEL_VISION, similarity=1.0, weight=0.5, points=0.5)],
        transcript=[pb.TextRun(text="고양이", highlighted=True), pb.TextRun(text="가 잔다")],
        matched_tags=scene.tags,
        matched_people=scene.people,
    )
    missing = pb.DegradedChannel(channel=pb.CHANNEL_LEXICAL, cause=pb.DEGRADED_CAUSE_LATE)
    summary = pb.SearchSummary(total_hits=7, match_quality=pb.MATCH_QUALITY_SUPPORTED, degraded=[missing])
    return pb.SearchScenesResponse(kind=pb.FRAME_KIND_DONE, hits=[hit], summary=summary)


def test_a_tag_is_its_names_and_its_id() -> None:
    assert output.tag("cat", "고양이") == "고양이 (cat)"
    assert output.tag("cat", "고양이", "kitten") == "고양이, kitten (cat)"
    assert output.tag("cat", "고양이", "cat") == "고양이 (cat)"
    assert output.tag("cat", "cat") == output.tag("cat") == "cat"


def test_search_json_is_hits_and_then_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    emit("고양이", answer())
    hit, summary = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert hit.keys() >= HIT_FIELDS
    assert (hit["type"], hit["video_id"], hit["scene_id"], hit["file_name"]) == ("hit", "vid_1", "scn_1", "고양이.mp4")
    assert (hit["start_s"], hit["end_s"], hit["score"], hit["confidence"]) == (4.0, 6.5, 0.5, 0.75)
    assert (hit["match_quality"], hit["contributions"]) == ("SUPPORTED", {"vision": 0.5})
    assert (hit["transcript"], hit["people"], hit["tags"]) == ("고양이가 잔다", ["민지"], ["고양이", "cat"])
    assert hit["tag_ids"] == ["cat"]
    assert (hit["matched_tag_ids"], hit["matched_people"], hit["marked"]) == (["cat"], ["민지"], ["고양이"])
    assert (summary["type"], summary["total_hits"], summary["match_quality"]) == ("summary", 7, "SUPPORTED")
    assert summary["degraded"] == [{"channel": "lexical", "cause": "late"}]


def test_nothing_found_is_a_summary_alone(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = pb.SearchSummary(match_quality=pb.MATCH_QUALITY_NONE)
    emit("뷁", pb.SearchScenesResponse(kind=pb.FRAME_KIND_DONE, summary=nothing))
    (summary,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (summary["type"], summary["match_quality"], summary["total_hits"]) == ("summary", "NONE", 0)


def test_the_current_list_is_a_table() -> None:
    shown = "\n".join(printed(hits_table(answer())))
    assert "고양이.mp4" in shown
    assert "고양이가 잔다" in shown
