"""The ``heimdex`` command on a gateway: what it prints, and what it ends with."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import threading
import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from rich.cells import cell_len
from structlog.testing import capture_logs

from contracts import flow
from contracts.catalog import StageRun, StageUpdate
from contracts.codec import decode
from contracts.ids import new_id, row_id
from contracts.ports import Scope
from heimdex.cli import main
from heimdex.events.v1.events_pb2 import SearchFeedback
from heimdex.search.v1 import search_service_pb2 as search_pb2
from tests.component.gateway.door import Door, scene_row, until
from tests.component.gateway.test_people import RED, photo
from tests.unit.search.fakes import said


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
def run(door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Run the command in a thread of its own, as a program whose output goes into a pipe."""
    monkeypatch.setenv("HEIMDEX_HOME", str(tmp_path / "no-stack"))
    monkeypatch.setenv("HEIMDEX_ENDPOINT", f"127.0.0.1:{door.port}")
    monkeypatch.setenv("HEIMDEX_TOKEN", door.signer.token())

    def work(arguments: tuple[str, ...]) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with monkeypatch.context() as called, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            called.setattr(sys, "argv", ["heimdex", *arguments])
            try:
                main.main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Ended(code, out.getvalue(), err.getvalue())

    async def begin(*arguments: str | Path) -> Ended:
        return await asyncio.to_thread(work, tuple(map(str, arguments)))

    with capture_logs():  # the gateway is in this process, and its log would be among the output
        yield begin


async def library(door: Door) -> str:
    """Index a video that every channel finds; return its id."""
    rows = await door.index(b"film", "고양이가 잔다", "개가 짖는다")
    found = [row_id(row.scene_id, row.revision) for row in rows]
    door.stores.text.hits = [said(found[0], 9.0), said(found[1], 1.0, coverage=0.1)]
    door.stores.dense.cosines = {found[0]: 0.95, found[1]: 0.8}
    return rows[0].video_id


async def test_search_as_json_is_what_programs_read(door: Door, run: Run) -> None:
    video_id = await library(door)
    best = door.stores.text.hits[0].row_id
    door.stores.vision.cosines, door.stores.vision.best_views = {best: 0.9}, {best: 1}
    ended = await run("search", "고양이", "--json")
    assert ended.code == 0, ended.err
    *hits, summary = ended.json
    assert [hit["type"] for hit in hits] == ["hit", "hit"]
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert {hit["video_id"] for hit in hits} == {video_id}
    assert (hits[0]["start_s"], hits[0]["end_s"], hits[0]["transcript"]) == (0.0, 1.0, "고양이가 잔다")
    assert [hit["frame_s"] for hit in hits] == [0.1, None], "the other is not found by what is seen"
    assert sum(hits[0]["contributions"].values()) == pytest.approx(hits[0]["score"], abs=1e-5)  # type: ignore[attr-defined]
    assert (summary["type"], summary["total_hits"], summary["match_quality"]) == ("summary", 2, "SUPPORTED")


async def test_search_for_people_shows_hits_with_their_reasons(door: Door, run: Run) -> None:
    await library(door)
    ended = await run("search", "고양이", "--limit", "1")
    assert ended.code == 0
    assert "film.mp4 [0:00.0–0:01.0]" in ended.out
    assert "lexical" in ended.out
    assert "고양이가 잔다" in ended.out
    assert "2 hits in" in ended.out


async def test_scenes_like_another_are_shown_as_those_of_a_search(door: Door, run: Run) -> None:
    one, *_ = await door.index(b"one", "고양이가 잔다")
    two, *_ = await door.index(b"two", "고양이가 존다", file_name="two.mp4")
    door.stores.dense.cosines = {row_id(row.scene_id, row.revision): 0.5 for row in (one, two)}
    door.stores.dense.videos = {row_id(row.scene_id, row.revision): row.video_id for row in (one, two)}
    hit, summary = (await run("similar", one.scene_id, "--limit", "1", "--json")).json
    assert (hit["scene_id"], hit["transcript"]) == (two.scene_id, "고양이가 존다")
    assert (summary["type"], summary["total_hits"]) == ("summary", 1)
    shown = await run("similar", one.scene_id)
    assert (shown.code, "고양이가 존다" in shown.out, "1 hit in" in shown.out) == (0, True, True)
    weighed, _ = (await run("similar", one.scene_id, "--weights", "text=1,vision=0,tags=0", "--json")).json
    assert weighed["contributions"] == {"dense": 1.0, "tags": 0.0}
    assert (await run("similar", one.scene_id, "--weights", "dense=1")).code == 2
    assert (await run("similar", "scn_00000000000000000000000000")).code == 3
    assert (await run("similar", one.scene_id, "--limit", "201")).code == 2


async def test_what_an_answer_is_can_be_chosen(door: Door, run: Run) -> None:
    await library(door)
    options = ("--group-by", "video", "--max-per-video", "1", "--fusion", "rrf", "--weights", "text=0.5, vision=0")
    hit, summary = (await run("search", "고양이", *options, "--facets", "tags,videos", "--json")).json
    assert hit["contributions"]["vision"] == 0.0  # type: ignore[index]
    assert (summary["total_hits"], summary["total_is_lower_bound"]) == (1, False)
    assert str(summary["query_id"]).startswith("qry_")
    assert summary["facets"] == {
        "tags": [{"value": "cat", "label": "고양이", "count": 1}],
        "videos": [{"value": hit["video_id"], "label": "film.mp4", "count": 1}],
    }
    assert summary["parsed"] == {
        "words": "고양이", "meaning": "고양이", "phrases": [], "excluded": [], "people": [], "read_as": "",
    }  # fmt: skip
    assert set(summary["timings_s"]) == {"lexical", "dense", "vision", "tags"}  # type: ignore[call-overload]


async def test_a_search_is_narrowed(door: Door, run: Run) -> None:
    video_id = await library(door)
    narrow = ("--tag", "cat", "--language", "ko", "--uploaded-from", "2020-01-01", "--from", "0.5", "--to", "60")
    ended = await run("search", "고양이 -개", *narrow, "--json")
    assert ended.code == 0, ended.err
    asked = door.stores.text.queries[-1]
    assert (asked.text, asked.tags, asked.scope) == ("고양이", ("cat",), Scope((video_id,), 500, 60_000))
    assert ended.json[-1]["parsed"]["excluded"] == ["개"]  # type: ignore[index]
    assert (await run("search", "고양이", "--uploaded-to", "2020-01-01", "--json")).json[-1]["total_hits"] == 0
    assert (await run("search", "고양이", "--uploaded-to", "yesterday")).code == 2
    assert (await run("search", "고양이", "--from", "5", "--to", "4")).code == 2
    assert (await run("search", "고양이", "--not-person", "nobody")).code == 3


async def test_a_query_may_begin_with_what_is_left_out(door: Door, run: Run) -> None:
    await library(door)
    for arguments in (
        ("-개 고양이", "--json"),
        ("--json", "--limit", "5", "-개 고양이"),
        ("--json", "--", "-개 고양이"),
        ("-h개 -개 고양이", "--json"),
    ):
        ended = await run("search", *arguments)
        assert ended.code == 0, ended.err
        assert "개" in ended.json[-1]["parsed"]["excluded"]  # type: ignore[index]
    assert "heimdex search [OPTIONS] [query]" in (await run("search", "-h")).out
    mistyped = await run("search", "-개 고양이", "--limt", "5")
    assert (mistyped.code, "No such option: --limt" in mistyped.err) == (2, True)
    assert (await run("search", "--limt=5")).code == 2
    assert (await run("search", "고양이", "-개 강아지")).code == 2, "one query"
    assert "is no tag id" in (await run("search", "--tag", "-개", "고양이")).err, (
        "the value of an option stays its value"
    )


async def test_an_answer_goes_on_where_it_ended(door: Door, run: Run) -> None:
    await library(door)
    first, summary = (await run("search", "고양이", "--limit", "1", "--json")).json
    token = str(summary["next_page_token"])
    second, *_ = (await run("search", "고양이", "--limit", "1", "--page-token", token, "--json")).json
    assert (first["rank"], second["rank"]) == (1, 2)
    assert first["scene_id"] != second["scene_id"]
    assert (await run("search", "고양이", "--page-token", "nonsense")).code == 2


async def test_a_tag_is_shown_with_the_id_that_it_is_searched_by(door: Door, run: Run) -> None:
    await library(door)
    shown = (await run("search", "고양이", "--facets", "tags")).out
    assert "seen: 고양이 (cat)" in shown
    assert "tags: 고양이 (cat) 2" in shown
    hit, *_ = (await run("search", "고양이", "--tag", "cat", "--json")).json
    assert hit["tag_ids"] == ["cat"]
    scene, *_ = (await run("scenes", "film.mp4", "--json")).json
    assert scene["tag_ids"] == ["cat"]
    assert "고양이 (cat)" in (await run("scenes", "film.mp4")).out
    assert "고양이 (cat)" in (await run("scene", str(scene["scene_id"]))).out
    by_name = await run("search", "고양이", "--tag", "고양이")
    assert by_name.code == 2
    assert "filter.tags[0]: is no tag id such as espresso; ids stand in brackets behind" in by_name.err


async def test_the_nearest_there_is_comes_apart(door: Door, run: Run) -> None:
    await library(door)
    door.stores.text.hits = []
    door.stores.dense.cosines = dict.fromkeys(door.stores.dense.cosines, 0.12)
    lines = (await run("search", "뷁쀍쒫", "--weak", "--json")).json
    assert [line["type"] for line in lines] == ["weak", "weak", "summary"]
    assert "nothing found; the nearest there is:" in (await run("search", "뷁쀍쒫", "--weak")).out
    assert [line["type"] for line in (await run("search", "뷁쀍쒫", "--json")).json] == ["summary"]


async def test_a_picture_is_searched_by_alone_and_beside_a_query(door: Door, run: Run, tmp_path: Path) -> None:
    (scene,) = await door.index(b"film", "고양이가 잔다")
    door.stores.vision.cosines = {row_id(scene.scene_id, scene.revision): 0.9}
    picture = tmp_path / "사진.png"
    picture.write_bytes(photo(RED))
    for query in ((), ("고양이",)):
        ended = await run("search", *query, "--image", picture, "--json")
        assert ended.code == 0, ended.err
        *hits, summary = ended.json
        assert ([hit["scene_id"] for hit in hits], summary["total_hits"]) == ([scene.scene_id], 1)
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    wrong = await run("search", "--image", text)
    assert (wrong.code, "image_upload_id: is no readable" in wrong.err) == (2, True)
    assert (await run("search", "--image", tmp_path / "absent.png")).code == 3


async def test_nothing_found_is_no_failure(run: Run) -> None:
    ended = await run("search", "뷁", "--json")
    assert ended.code == 0
    assert [line["type"] for line in ended.json] == ["summary"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("search", ""), 2),
        (("search", "가" * 10_000), 2),
        (("search", "고양이", "--limit", "-1"), 2),
        (("search", "고양이", "--limit", "1000000"), 2),
        (("search", "고양이", "--limit", "many"), 2),
        (("search", "고양이", "--limit", "99999999999999999999"), 2),
        (("search", "고양이", "--max-per-video", "99999999999999999999"), 2),
        (("search", "고양이", "--from", "nan"), 2),
        (("search", "고양이", "--from", "-1"), 2),
        (("search", "고양이", "--to", "nan"), 2),
        (("search", "고양이", "--to", "inf"), 2),
        (("search", "고양이", "--to", "1e300"), 2),
        (("search", "고양이", "--from", "2", "--to", "1"), 2),
        (("search", "고양이", "--min-confidence", "nan"), 2),
        (("search", "고양이", "--min-confidence", "-inf"), 2),
        (("search", "고양이", "--weights", "text=nan"), 2),
        (("search", "고양이", "--weights", "text=1e300"), 2),
        (("search", "고양이", "--uploaded-from", "2024-02-30"), 2),
        (("similar", "scn_00000000000000000000000000", "--limit", "-1"), 2),
        (("similar", "scn_00000000000000000000000000", "--limit", "99999999999999999999"), 2),
        (("suggest", "고", "--limit", "99999999999999999999"), 2),
        (("scene", "scn_00000000000000000000000000", "--neighbours", "99999999999999999999"), 2),
        (("feedback", "qry_00000000000000000000000000", "opened", "--rank", "99999999999999999999"), 2),
        (("search", "고양이", "--group-by", "tag"), 2),
        (("search", "고양이", "--fusion", "best"), 2),
        (("search", "고양이", "--max-per-video", "-1"), 2),
        (("search", "고양이", "--weights", "text"), 2),
        (("search", "고양이", "--weights", "dense=0.5"), 2),
        (("search", "고양이", "--weights", "text=2"), 2),
        (("search", "고양이", "--facets", "people,moods"), 2),
        (("search", "고양이", "--video", "no such film.mp4"), 3),
        (("search", "고양이", "--person", "아무개"), 3),
        (("scene", "scn_00000000000000000000000000"), 3),
        (("scenes", "no such film.mp4"), 3),
        (("delete", "vid_00000000000000000000000000"), 3),
        (("reprocess", "vid_00000000000000000000000000"), 3),
        (("people", "remove", "아무개"), 3),
        (("upload", "no such film.mp4"), 3),
        (("people", "add", "민지", "no such photo.jpg"), 3),
        (("people", "add", "민지", "/"), 2),
        (("nonsense",), 2),
    ],
)
async def test_what_fails_says_why_in_one_line_and_with_its_code(
    run: Run, arguments: tuple[str, ...], code: int
) -> None:
    ended = await run(*arguments)
    assert (ended.code, ended.out) == (code, "")
    said_ = [line for line in ended.err.splitlines() if not line.startswith(("Usage:", "Try "))]
    assert len([line for line in said_ if line.strip()]) == 1, ended.err


async def test_a_bad_token_and_an_absent_gateway_have_their_codes(
    run: Run, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEIMDEX_TOKEN", door.signer.token(ttl_s=-60))
    expired = await run("videos")
    assert (expired.code, "heimdex token" in expired.err) == (4, True)
    monkeypatch.delenv("HEIMDEX_ENDPOINT")
    nowhere = await run("videos")
    assert (nowhere.code, "heimdex up" in nowhere.err) == (5, True)


async def test_columns_align_in_hangul_and_markup_is_text(run: Run, door: Door) -> None:
    for name in ("고양이.mp4", "[bold]cat.mp4", "a-rather-long-name.mp4"):
        await door.upload(name.encode(), file_name=name)
    ended = await run("videos")
    rows = [line for line in ended.out.splitlines() if ".mp4" in line]
    assert "[bold]cat.mp4" in ended.out
    names = ("a-rather", "[bold]cat", "고양이")
    starts = {cell_len(row[: row.index(name)]) for row, name in zip(rows, names, strict=True)}
    assert len(starts) == 1, ended.out
    assert all("vid_" in row for row in rows), "ids stay whole in a pipe"


async def test_scenes_of_a_video_by_its_name(run: Run, door: Door) -> None:
    await library(door)
    ended = await run("scenes", unicodedata.normalize("NFD", "film.mp4"), "--json")
    assert [line["transcript"] for line in ended.json] == ["고양이가 잔다", "개가 짖는다"]
    one = await run("scene", str(ended.json[0]["scene_id"]))
    assert "고양이가 잔다" in one.out
    assert "keyframe: memory://" in one.out


async def test_a_scene_is_shown_with_its_neighbours_and_what_plays_it(run: Run, door: Door) -> None:
    rows = await door.index(b"film", "하나", "둘", "셋")
    ended = await run("scene", rows[1].scene_id, "--neighbours", "1", "--media")
    assert ended.code == 0, ended.err
    assert f"before: [0:00.0–0:01.0] {rows[0].scene_id}  하나" in ended.out
    assert f"after: [0:02.0–0:03.0] {rows[2].scene_id}  셋" in ended.out
    assert "#t=1,2" in ended.out
    scene, before, after, media = (await run("scene", rows[1].scene_id, "--neighbours", "5", "--media", "--json")).json
    assert [line["type"] for line in (scene, before, after, media)] == ["scene", "neighbour", "neighbour", "media"]
    assert (before["transcript"], after["transcript"]) == ("하나", "셋")
    assert str(media["playback_url"]).endswith("#t=1,2")
    assert (await run("scene", rows[1].scene_id, "--neighbours", "11")).code == 2


@pytest.mark.parametrize(("outcome", "code"), [("OK", 0), ("REJECTED", 6)])
async def test_upload_and_watch_ends_with_what_became_of_the_video(
    run: Run, door: Door, tmp_path: Path, outcome: str, code: int
) -> None:
    film = tmp_path / "영상.mp4"
    film.write_bytes(b"frames")
    watching = asyncio.ensure_future(run("upload", film, "--watch", "--json"))
    video_id = await door.validating()
    if outcome == "OK":
        ended = [StageUpdate("team", video_id, 1, StageRun(noun, "ENDED", "OK", attempt=1)) for noun in flow.STAGES]
        await door.commit([scene_row("team", video_id, 0, "하나")])
    else:
        run_ = StageRun("validate", "ENDED", outcome, attempt=1, reason="NOT_A_VIDEO", message="no container we take")
        ended = [StageUpdate("team", video_id, 1, run_)]
    await door.catalog.apply_updates(ended, door.clock.now_ms())
    done = await watching
    assert done.code == code, done.err
    (line,) = done.json
    assert (line["type"], line["file_name"], line["video_id"]) == ("upload", "영상.mp4", video_id)
    assert line["state"] == ("indexed" if outcome == "OK" else "failed")
    if outcome == "REJECTED":
        assert line["error"] == {"reason": "NOT_A_VIDEO", "message": "no container we take", "metadata": {}}
    else:
        again = await run("upload", film, "--watch")
        assert again.code == 0
        assert "already there" in again.out


async def test_a_video_is_processed_again_by_its_name(run: Run, door: Door) -> None:
    video_id = await library(door)
    begun = await run("reprocess", "film.mp4")
    assert (begun.code, begun.out) == (0, f"film.mp4 {video_id} validating\n")
    under_way = await run("reprocess", video_id)
    assert (under_way.code, under_way.out) == (2, "")
    assert "it can be processed again when it is indexed or has failed" in under_way.err
    run_ = StageRun("validate", "ENDED", "REJECTED", attempt=1, reason="NOT_A_VIDEO", message="no video")
    await door.catalog.apply_updates([StageUpdate("team", video_id, 2, run_)], 5)
    again = asyncio.ensure_future(run("reprocess", video_id, "--watch", "--json"))
    async with asyncio.timeout(10):
        while (await door.catalog.get_video("team", video_id)).revision < 3:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    await door.catalog.apply_updates([StageUpdate("team", video_id, 3, run_)], 6)
    failed = await again
    assert (failed.code, [video["state"] for video in failed.json]) == (6, ["failed"])


async def test_a_folder_is_its_videos(run: Run, door: Door, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("b.mp4", "a.mkv", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    ended = await run("upload", folder, "--json")
    assert [(line["file_name"], line["state"]) for line in ended.json] == [
        ("a.mkv", "validating"), ("b.mp4", "validating"),
    ]  # fmt: skip
    (folder / "a.mkv").unlink()
    (folder / "b.mp4").unlink()
    assert (await run("upload", folder)).code == 2


async def test_a_file_that_is_not_there_keeps_no_other_from_going(run: Run, door: Door, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"frames")
    ended = await run("upload", tmp_path / "absent.mp4", film, "--json")
    assert ended.code == 3
    absent, sent = ended.json
    assert absent["error"] == {"message": f"no such file: {tmp_path / 'absent.mp4'}"}
    assert (sent["file_name"], sent["state"]) == ("film.mp4", "validating")
    said_so = await run("upload", tmp_path / "absent.mp4", film)
    assert said_so.err == f"heimdex: no such file: {tmp_path / 'absent.mp4'}\n"


async def test_somebody_is_added_listed_and_removed(run: Run, door: Door, tmp_path: Path) -> None:
    good, bad = tmp_path / "민지.png", tmp_path / "wall.png"
    good.write_bytes(photo(RED))
    bad.write_bytes(photo())
    off = await run("people", "add", "민지", good)
    assert (off.code, "--faces on" in off.err) == (2, True)
    await door.catalog.set_faces("team", True)
    none = await run("people", "add", "민지", bad)
    assert (none.code, "wall.png: no face" in none.err) == (2, True)
    added = await run("people", "add", "민지", good, bad)
    assert added.code == 0
    assert "민지.png: accepted" in added.out
    assert "wall.png: no face" in added.out
    (person,) = (await run("people", "--json")).json
    assert (person["display_name"], person["matched"]) == ("민지", False)
    (listed,) = [line for line in (await run("people")).out.splitlines() if line.startswith("per_")]
    assert listed.split() == [person["person_id"], "민지", "0", "(still", "looking)", "1"], "photos that were accepted"
    removed = await run("people", "remove", unicodedata.normalize("NFD", "민지"))
    assert removed.code == 0
    assert (await run("people", "--json")).out == ""


async def test_what_is_being_typed_is_completed(run: Run, door: Door) -> None:
    await door.index(b"film", "김치찌개", "김치찌개")
    ended = await run("suggest", "ㄱㅊㅉ", "--json")
    assert (ended.code, ended.json) == (0, [{"text": "김치찌개", "kind": "word", "scene_count": 2}])
    shown = await run("suggest", unicodedata.normalize("NFD", "김치"))
    assert shown.out.splitlines()[-1].split() == ["김치찌개", "word", "2"]
    assert (await run("suggest", "비행기")).out == "nothing goes on like that\n"
    assert (await run("suggest", "비행기", "--json")).out == ""
    assert (await run("suggest", "비", "--limit", "21")).code == 2


async def test_ctrl_c_says_how_to_go_on(run: Run, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    pressed = threading.Event()

    def interrupted(*_: object, **__: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    monkeypatch.setattr("heimdex.client.Client.list_videos", interrupted)
    ended = await run("videos")
    await until(pressed.is_set)
    assert (ended.code, "run the same command again" in ended.err) == (130, True)


async def test_feedback_goes_by_the_ids_that_a_search_has_printed(door: Door, run: Run) -> None:
    await library(door)
    hit, *_, summary = (await run("search", "고양이", "--json")).json
    query_id, scene_id = str(summary["query_id"]), str(hit["scene_id"])
    done = await run("feedback", query_id, "played", "--scene", scene_id, "--rank", "1")
    assert (done.code, done.out) == (0, ""), done.err
    assert (await run("feedback", query_id, "not-found")).code == 0
    topic = "heimdex-search-feedback-v1"
    told = [decode(row.record) for row in await door.catalog.pending() if row.record.topic == topic]
    played, missing = (cast("SearchFeedback", event) for event in told)
    assert (played.query_id, played.kind, played.scene_id, played.rank) == (
        query_id, search_pb2.FEEDBACK_KIND_PLAYED, scene_id, 1,
    )  # fmt: skip
    assert (missing.kind, missing.scene_id) == (search_pb2.FEEDBACK_KIND_NOT_FOUND, "")


async def test_feedback_that_cannot_be_is_one_line_and_its_exit_code(run: Run) -> None:
    query_id = new_id("qry")
    assert (await run("feedback", query_id, "liked")).code == 2
    assert (await run("feedback", query_id, "opened")).code == 2
    missing = await run("feedback", query_id, "opened", "--scene", new_id("scn"))
    assert (missing.code, missing.err.count("\n")) == (3, 1)


# ------------------------------------------------------------------------------------------- administration


@pytest.fixture
def as_admin(run: Run, door: Door, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HEIMDEX_TOKEN", door.signer.token(roles=["admin"]))
    return run


@pytest.fixture
def words(tmp_path: Path) -> tuple[Path, Path]:
    """Files of words and of synonyms, as an editor on Windows writes them."""
    dictionary, synonyms = tmp_path / "words.txt", tmp_path / "synonyms.txt"
    dictionary.write_text("\ufeff# ours\r\n에어팟\r\n\r\n주문상세내역 주문 상세 내역\r\n", encoding="utf-8")
    synonyms.write_text("# groups\n갓생, 모범생활\n", encoding="utf-8")
    return dictionary, synonyms


async def test_words_are_set_shown_promoted_and_left_again(as_admin: Run, door: Door, words: tuple[Path, Path]) -> None:
    dictionary, synonyms = words
    made = await as_admin("vocabulary", "set", "--dictionary", dictionary, "--synonyms", synonyms)
    assert (made.code, made.out) == (0, "generation 2 pending\n")
    await door.catalog.begin_build(2)
    await door.catalog.record_build(2, videos_done=3, videos_total=3, after_video_id="vid_3")
    await door.catalog.finish_build(2)
    promoted = await as_admin("generations", "promote", "2")
    assert (promoted.code, promoted.out) == (0, "generation 2 active 3/3\n")
    shown = await as_admin("vocabulary", "show", "--json")
    assert shown.json == [
        {
            "type": "vocabulary",
            "generation": 2,
            "dictionary": ["에어팟", "주문상세내역 주문 상세 내역"],
            "synonyms": [["갓생", "모범생활"]],
        }
    ]
    read = await as_admin("vocabulary", "show")
    assert read.out.splitlines() == [
        "# generation 2 (active)", "# dictionary: 2", "에어팟", "주문상세내역 주문 상세 내역", "# synonyms: 1",
        "갓생, 모범생활",
    ]  # fmt: skip
    await as_admin("generations", "promote", "1")
    assert (await as_admin("vocabulary", "show")).out.startswith("# generation 1 (active)\n# dictionary: 0\n")
    listed = await as_admin("generations", "--json")
    assert [(each["generation"], each["state"], each["created_by"]) for each in listed.json] == [
        (1, "active", ""), (2, "retired", "team/ann"),
    ]  # fmt: skip
    assert (await as_admin("generations", "drop", "2")).code == 0
    assert "dropping" in (await as_admin("generations")).out


async def test_a_file_that_is_not_given_leaves_its_words_and_an_empty_one_takes_them_away(
    as_admin: Run, door: Door, words: tuple[Path, Path], tmp_path: Path
) -> None:
    dictionary, synonyms = words
    await as_admin("vocabulary", "set", "--dictionary", dictionary, "--synonyms", synonyms, "--promote")
    await door.catalog.begin_build(2)
    await door.catalog.finish_build(2)
    dictionary.write_text("뉴진스\n", encoding="utf-8")
    await as_admin("vocabulary", "set", "--dictionary", dictionary)
    shown = await as_admin("vocabulary", "show", "--generation", "3", "--json")
    assert (shown.json[0]["dictionary"], shown.json[0]["synonyms"]) == (["뉴진스"], [["갓생", "모범생활"]])
    await as_admin("generations", "drop", "3")
    nothing = tmp_path / "nothing.txt"
    nothing.touch()
    await as_admin("vocabulary", "set", "--synonyms", nothing)
    shown = await as_admin("vocabulary", "show", "--generation", "4", "--json")
    assert (len(cast("list[str]", shown.json[0]["dictionary"])), shown.json[0]["synonyms"]) == (2, [])


async def test_a_wrong_word_is_named_by_its_line_in_the_file(as_admin: Run, words: tuple[Path, Path]) -> None:
    dictionary, synonyms = words
    synonyms.write_text("# groups\n\n갓생, 모범 생활\n홀로\n", encoding="utf-8")
    refused = await as_admin("vocabulary", "set", "--dictionary", dictionary, "--synonyms", synonyms)
    assert (refused.code, refused.out) == (2, "")
    assert f"{synonyms}:3: has a space within a word; {synonyms}:4: has 1 words" in refused.err


async def test_a_build_is_watched_to_its_end(as_admin: Run, door: Door, words: tuple[Path, Path]) -> None:
    dictionary, _ = words

    async def builder() -> None:
        async with asyncio.timeout(10):
            while len(await door.catalog.all_generations()) < 2:
                pass
        await door.catalog.begin_build(2)
        await door.catalog.finish_build(2)

    watched, _ = await asyncio.gather(as_admin("vocabulary", "set", "--dictionary", dictionary, "--watch"), builder())
    assert watched.code == 0
    assert watched.out.splitlines()[-1] == "generation 2 ready next: heimdex generations promote 2"


async def test_a_build_that_fails_names_the_line_and_ends_the_command(
    as_admin: Run, door: Door, words: tuple[Path, Path]
) -> None:
    _, synonyms = words

    async def builder() -> None:
        async with asyncio.timeout(10):
            while len(await door.catalog.all_generations()) < 2:
                pass
        await door.catalog.fail_build(2, reason="INVALID_FIELD", message="vocabulary.synonyms[0].words[1]: is cut")

    watched, _ = await asyncio.gather(as_admin("vocabulary", "set", "--synonyms", synonyms, "--watch"), builder())
    assert watched.code == 2
    assert watched.out.splitlines()[-1] == f"generation 2 failed {synonyms}:2: is cut"


@pytest.mark.parametrize(
    "arguments",
    [("vocabulary", "show"), ("generations",), ("generations", "promote", "1"), ("generations", "drop", "1")],
)
async def test_administration_needs_the_role(run: Run, arguments: tuple[str, ...]) -> None:
    refused = await run(*arguments)
    assert refused.code == 4
    assert "heimdex token --admin" in refused.err


async def test_what_makes_no_sense_is_said_before_anything_is_asked(as_admin: Run, tmp_path: Path) -> None:
    assert (await as_admin("vocabulary", "set")).code == 2
    assert (await as_admin("vocabulary", "set", "--dictionary", tmp_path / "none.txt")).code == 3
    (tmp_path / "film.mp4").write_bytes(b"\xff\xfe\x00")
    assert "no text in UTF-8" in (await as_admin("vocabulary", "set", "--synonyms", tmp_path / "film.mp4")).err
    assert (await as_admin("generations", "promote", "7")).code == 3
    assert (await as_admin("generations", "drop", "1")).code == 2


@pytest.mark.parametrize("arguments", [("--home", "", "videos"), ("videos", "--home", "")])
async def test_an_empty_home_is_none(
    run: Run, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = await run(*arguments)
    assert (ended.code, ended.err) == (0, ""), "the environment still says where to call"
