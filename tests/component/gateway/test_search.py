"""Search over gRPC: frames, pages, deadlines, what is refused, and what becomes of it when parts are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from contracts.catalog import Generation, Idempotency, Person, Photo, SceneRow
from contracts.errors import DependencyUnavailable
from contracts.ids import row_id
from gateway.interceptors.admission import Admission
from gateway.interceptors.auth import Auth
from gateway.interceptors.errors import Errors
from gateway.search_pages import LIFE_S
from heimdex.client import AsyncClient, InvalidArgument
from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceStub
from tests.component.gateway.door import CLOCK, GENERATION, Door, open_door, refused, until
from tests.unit.search.fakes import said

DONE, PARTIAL, UPDATE = pb.FRAME_KIND_DONE, pb.FRAME_KIND_PARTIAL, pb.FRAME_KIND_UPDATE
PERSON_ID = "per_00000000000000000000000000"


async def library(door: Door, count: int = 4) -> list[SceneRow]:
    """Index a video; every channel finds its scenes, the first one best."""
    rows = list(await door.index(b"film", *(f"{n} 고양이가 잔다" for n in range(count))))
    found = [row_id(row.scene_id, row.revision) for row in rows]
    door.stores.text.hits = [said(row, 9.0 - n / count) for n, row in enumerate(found)]
    door.stores.dense.cosines = {row: 0.95 - n / count / 10 for n, row in enumerate(found)}
    door.stores.vision.cosines = {row: 0.6 - n / count / 10 for n, row in enumerate(found)}
    return rows


async def enrol(door: Door, name: str) -> None:
    person = Person(PERSON_ID, "team", name, (), (Photo("upl_1", "a.jpg", "ACCEPTED", "k", b"1234"),), 1)
    await door.catalog.create_person(person, Idempotency("team", "ann", "EnrolPerson", "r", "0"), [])


async def frames(door: Door, query: str = "고양이", *, user: str = "ann", tenant: str = "team", **fields: Any) -> Any:
    request = pb.SearchScenesRequest(query=query, max_scenes_per_video=0, **fields)
    call = door.search.SearchScenes(request, metadata=door.auth(tenant, user))
    return [frame async for frame in call]


async def done(door: Door, query: str = "고양이", **fields: Any) -> pb.SearchScenesResponse:
    last: pb.SearchScenesResponse = (await frames(door, query, **fields))[-1]
    assert last.kind == DONE
    return last


async def test_frames_get_better_and_done_is_last(door: Door) -> None:
    await library(door)
    door.stores.encoder.door.close()
    call = door.search.SearchScenes(pb.SearchScenesRequest(query="고양이"), metadata=door.auth())
    first = await call.read()
    assert first.kind == PARTIAL
    assert list(first.answered) == [pb.CHANNEL_LEXICAL, pb.CHANNEL_TAGS]
    assert len(first.hits) == 4
    assert not first.HasField("summary")
    assert not first.next_page_token
    door.stores.vision.door.close()
    door.stores.encoder.door.opened.set()
    assert (await call.read()).kind == UPDATE
    door.stores.vision.door.opened.set()
    assert (await call.read()).kind == DONE
    assert await call.read() is grpc.aio.EOF


async def test_a_hit_says_everything_about_itself(door: Door) -> None:
    rows = await library(door)
    answer = await done(door, delivery=pb.DELIVERY_FINAL_ONLY)
    assert [hit.rank for hit in answer.hits] == [1, 2, 3, 4]
    hit = answer.hits[0]
    assert (hit.scene.scene_id, hit.scene.video_id) == (rows[0].scene_id, rows[0].video_id)
    assert not hit.scene.transcript, "said once, in runs"
    assert "".join(run.text for run in hit.transcript) == "0 고양이가 잔다"
    assert [run.text for run in hit.transcript if run.highlighted] == ["고양이"]
    assert hit.transcript[0].end_offset.ToMilliseconds() == 1000
    assert hit.match_quality == pb.MATCH_QUALITY_SUPPORTED
    assert hit.score == pytest.approx(sum(part.points for part in hit.contributions), abs=1e-6)
    assert {part.channel for part in hit.contributions} == {
        pb.CHANNEL_LEXICAL, pb.CHANNEL_DENSE, pb.CHANNEL_VISION, pb.CHANNEL_TAGS,
    }  # fmt: skip
    assert sum(part.weight for part in hit.contributions) == pytest.approx(1.0)
    said_of_all = answer.summary
    assert (said_of_all.total_hits, said_of_all.match_quality) == (4, pb.MATCH_QUALITY_SUPPORTED)
    assert (said_of_all.ranking, said_of_all.generation) == (GENERATION.ranking, GENERATION.generation)
    assert not said_of_all.degraded
    assert not hit.scene.keyframe.url


async def test_keyframes_are_signed_when_asked_for(door: Door) -> None:
    await library(door)
    for frame in await frames(door, include_urls=True):
        assert all(hit.scene.keyframe.object_key in hit.scene.keyframe.url for hit in frame.hits)


async def test_people_named_are_told(door: Door) -> None:
    await library(door)
    await enrol(door, "민지")
    answer = await done(door, "민지가 우는 장면")
    assert [(p.person_id, p.display_name) for p in answer.summary.people] == [(PERSON_ID, "민지")]


async def test_only_scenes_of_somebody_need_no_query(door: Door) -> None:
    await library(door)
    answer = await done(door, "", filter=pb.SearchFilter(person_ids=[PERSON_ID]))
    assert not answer.hits  # nobody was matched
    assert door.stores.encoder.texts == []


async def test_nothing_indexed_is_an_answer(door: Door) -> None:
    (answer,) = await frames(door)
    assert (answer.kind, list(answer.hits), answer.next_page_token) == (DONE, [], "")
    assert (answer.summary.total_hits, answer.summary.match_quality) == (0, pb.MATCH_QUALITY_NONE)
    assert not answer.summary.degraded


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"query": ""}, "query"),
        ({"query": "   "}, "query"),
        ({"query": "가" * 10_000}, "query"),
        ({"query": "bell\a"}, "query"),
        ({"query": "@아무개"}, "query"),
        ({"page_size": -1}, "page_size"),
        ({"page_size": 201}, "page_size"),
        ({"page_size": 1_000_000}, "page_size"),
        ({"delivery": 9}, "delivery"),
        ({"page_token": "x"}, "page_token"),
        ({"filter": pb.SearchFilter(min_confidence=1.5)}, "filter.min_confidence"),
        ({"filter": pb.SearchFilter(min_confidence=-0.1)}, "filter.min_confidence"),
        ({"filter": pb.SearchFilter(min_confidence=float("nan"))}, "filter.min_confidence"),
        ({"filter": pb.SearchFilter(video_ids=["vid_00000000000000000000000000", "x"])}, "filter.video_ids[1]"),
        ({"filter": pb.SearchFilter(video_ids=["x"] * 101)}, "filter.video_ids"),
        ({"filter": pb.SearchFilter(person_ids=["vid_00000000000000000000000000"])}, "filter.person_ids[0]"),
        ({"filter": pb.SearchFilter(person_ids=[PERSON_ID] * 11)}, "filter.person_ids"),
    ],
)
async def test_searches_that_cannot_be_asked_for(door: Door, fields: dict[str, Any], path: str) -> None:
    wrong = await refused(frames(door, **fields))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == [path]
    assert not door.stores.text.queries
    assert not door.stores.encoder.texts


async def test_the_largest_page_and_the_default_one(door: Door) -> None:
    await library(door, count=30)
    assert len((await done(door, page_size=0)).hits) == 20
    assert len((await done(door, page_size=200)).hits) == 30


# ---- pages ------------------------------------------------------------------------------------------------


async def test_pages_go_through_the_frozen_list_once(door: Door) -> None:
    await library(door, count=11)
    first = await done(door, page_size=4)
    asked = len(door.stores.text.queries)
    pages = [first]
    while pages[-1].next_page_token:
        answers = await frames(door, page_size=5, page_token=pages[-1].next_page_token)
        assert [frame.kind for frame in answers] == [DONE]
        pages += answers
    assert [hit.rank for page in pages for hit in page.hits] == list(range(1, 12))
    whole = await done(door, page_size=200)
    shown = [hit for page in pages for hit in page.hits]
    assert [hit.scene.scene_id for hit in shown] == [hit.scene.scene_id for hit in whole.hits]
    for hit, same in zip(shown, whole.hits, strict=True):
        assert hit.score == pytest.approx(same.score, abs=1e-4)
        assert hit.score == pytest.approx(sum(part.points for part in hit.contributions), abs=1e-6)
        assert hit.confidence == pytest.approx(same.confidence, abs=1e-4)
        assert hit.match_quality == same.match_quality
        assert [run.text for run in hit.transcript if run.highlighted] == ["고양이"]
    for page in pages[1:]:
        assert (page.summary.total_hits, page.summary.match_quality) == (11, pb.MATCH_QUALITY_SUPPORTED)
        assert list(page.answered) == list(first.answered)
    assert len(door.stores.text.queries) == asked + 1, "later pages ask no channel again"


async def test_a_later_page_leaves_out_what_may_not_be_shown_any_more(door: Door) -> None:
    rows = await library(door)
    token = (await done(door, page_size=1)).next_page_token
    await door.catalog.request_deletion(
        "team", rows[0].video_id, Idempotency("team", "ann", "DeleteVideo", "r", "0"), []
    )
    page = await done(door, page_token=token)
    assert not page.hits
    assert not page.next_page_token


async def test_a_page_token_is_of_one_search_of_one_user(door: Door) -> None:
    rows = await library(door)
    token = (await done(door, page_size=1)).next_page_token
    assert (await done(door, " 고양이 ", page_token=token, page_size=2)).hits, "white space is no other query"
    for call in (
        frames(door, "강아지", page_token=token),
        frames(door, page_token=token, filter=pb.SearchFilter(video_ids=[rows[0].video_id])),
        frames(door, page_token=token, filter=pb.SearchFilter(min_confidence=0.5)),
        frames(door, page_token=token, user="bob"),
        frames(door, page_token=token, tenant="others"),
        frames(door, page_token=token[:-2]),
        frames(door, page_token=("A" if token[0] != "A" else "B") + token[1:]),
    ):
        wrong = await refused(call)
        assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")


async def test_a_page_token_ends_after_its_time_and_with_its_generation(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await library(door)
    token = (await done(door, page_size=1)).next_page_token
    now_ms = door.clock.now_ms()
    with monkeypatch.context() as later:
        later.setattr(door.clock, "now_ms", lambda: now_ms + (LIFE_S + 1) * 1000)
        late = await refused(frames(door, page_token=token))
        assert (late.reason, "expired" in late.message) == ("INVALID_PAGE_TOKEN", True)

    async def promoted() -> Generation:
        return replace(GENERATION, generation=2)

    monkeypatch.setattr(door.catalog, "active_generation", promoted)
    now_s = door.clock.monotonic_s()
    monkeypatch.setattr(door.clock, "monotonic_s", lambda: now_s + 2)
    assert (await refused(frames(door, page_token=token))).reason == "INVALID_PAGE_TOKEN"
    assert (await done(door)).summary.generation == 2


async def test_a_search_that_began_before_a_promotion_ends_with_what_it_read(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await library(door)
    door.stores.encoder.door.close()
    request = pb.SearchScenesRequest(query="고양이")
    before = aiter(door.search.SearchScenes(request, metadata=door.auth()))
    assert (await anext(before)).kind == pb.FRAME_KIND_PARTIAL

    async def promoted() -> Generation:
        return replace(GENERATION, generation=2)

    monkeypatch.setattr(door.catalog, "active_generation", promoted)
    now_s = door.clock.monotonic_s()
    with monkeypatch.context() as later:
        later.setattr(door.clock, "monotonic_s", lambda: now_s + 2)
        after = aiter(door.search.SearchScenes(request, metadata=door.auth()))
        assert (await anext(after)).kind == pb.FRAME_KIND_PARTIAL
    door.stores.encoder.door.opened.set()
    ends = [[frame async for frame in call][-1] for call in (before, after)]
    assert [(end.kind, end.summary.generation) for end in ends] == [
        (pb.FRAME_KIND_DONE, 1), (pb.FRAME_KIND_DONE, 2),
    ]  # fmt: skip


# ---- parts that are away ----------------------------------------------------------------------------------


def down() -> DependencyUnavailable:
    return DependencyUnavailable("store", "is down")


async def test_a_channel_that_fails_is_named_and_the_rest_answers(door: Door) -> None:
    await library(door)
    door.stores.vision.door.error = down()
    answer = await done(door)
    assert [(d.channel, d.cause) for d in answer.summary.degraded] == [
        (pb.CHANNEL_VISION, pb.DEGRADED_CAUSE_UNAVAILABLE)
    ]
    assert len(answer.hits) == 4


async def test_without_any_channel_the_search_is_to_be_tried_again(door: Door) -> None:
    await library(door)
    door.stores.text.door.error = door.stores.encoder.door.error = down()
    said_ = await refused(frames(door))
    assert (said_.code, said_.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert said_.details["RetryInfo"].retry_delay.seconds == 1


async def test_done_comes_before_the_clients_deadline(door: Door) -> None:
    await library(door)
    door.stores.encoder.door.close()
    request = pb.SearchScenesRequest(query="고양이", delivery=pb.DELIVERY_FINAL_ONLY)
    call = door.search.SearchScenes(request, metadata=door.auth(), timeout=1.5)
    (answer,) = [frame async for frame in call]
    assert {(d.channel, d.cause) for d in answer.summary.degraded} == {
        (pb.CHANNEL_DENSE, pb.DEGRADED_CAUSE_LATE), (pb.CHANNEL_VISION, pb.DEGRADED_CAUSE_LATE),
    }  # fmt: skip
    assert len(answer.hits) == 4


def tasks() -> set[asyncio.Task[Any]]:
    """Return every task but those with which gRPC waits for the next call."""
    return {task for task in asyncio.all_tasks() if "AioServer" not in repr(task)}


async def test_a_client_that_cancels_leaves_nothing_behind(door: Door) -> None:
    await library(door)
    await done(door)
    stores = door.stores
    before = tasks()
    stores.encoder.door.close()
    stores.text.door.close()
    call = door.search.SearchScenes(pb.SearchScenesRequest(query="다른 고양이"), metadata=door.auth())
    await until(lambda: stores.encoder.door.entered > stores.encoder.door.left)
    await until(lambda: stores.text.door.entered > stores.text.door.left)
    call.cancel()
    await until(lambda: tasks() <= before)
    for each in (stores.encoder.door, stores.text.door, stores.dense.door, stores.vision.door):
        assert each.entered == each.left


async def test_without_a_generation_yet_the_search_is_to_be_tried_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_yet() -> Generation:
        raise DependencyUnavailable("catalog", "no generation is active yet")

    with monkeypatch.context() as empty:
        empty.setattr(door.catalog, "active_generation", none_yet)
        early = await refused(frames(door))
    assert (early.code, early.metadata) == (grpc.StatusCode.UNAVAILABLE, {"dependency": "catalog"})
    assert (await done(door)).summary.match_quality == pb.MATCH_QUALITY_NONE


# ---- many at once -----------------------------------------------------------------------------------------


@asynccontextmanager
async def narrow(tmp_path: Path) -> AsyncIterator[Door]:
    limits = {"unary": 8, "stream": 8, "SearchScenes": 2}
    async with open_door(tmp_path, around=lambda v: (Errors(CLOCK), Auth(v), Admission(CLOCK, limits))) as door:
        yield door


async def test_too_many_searches_at_once_are_told_when_to_come_back(tmp_path: Path) -> None:
    async with narrow(tmp_path) as door:
        await library(door)
        door.stores.text.door.close()
        door.stores.encoder.door.close()
        waiting = asyncio.ensure_future(frames(door))
        await until(lambda: door.stores.encoder.door.entered == 1)
        full = await refused(frames(door))
        assert (full.code, full.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert full.metadata == {"subject": "tenant"}
        assert full.details["RetryInfo"].retry_delay.seconds == 1
        door.stores.text.door.opened.set()
        door.stores.encoder.door.opened.set()
        assert (await waiting)[-1].kind == DONE
        assert (await done(door)).hits


async def test_a_reader_that_does_not_read_is_ended(tmp_path: Path) -> None:
    any_size = [("grpc.max_receive_message_length", -1)]
    async with (
        open_door(tmp_path, around=lambda v: (Auth(v), Errors(CLOCK)), write_timeout_s=0.2) as door,
        grpc.aio.insecure_channel(f"127.0.0.1:{door.port}", options=any_size) as channel,
    ):
        rows = await door.index(b"film", *("고양이 " * 30_000 for _ in range(20)))  # more than a connection holds
        door.stores.text.hits = [said(row_id(row.scene_id, row.revision), 9.0) for row in rows]
        door.stores.encoder.door.close()
        stub: Any = SearchServiceStub(channel)
        asked = pb.SearchScenesRequest(query="고양이", max_scenes_per_video=0)
        call = stub.SearchScenes(asked, metadata=door.auth())
        await until(lambda: door.stores.encoder.door.left == 1)  # the search is over, and nobody has read a frame
        ended = await refused(call)
        assert (ended.code, ended.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert ended.metadata == {"subject": "reader"}


async def test_the_sdk_speaks_to_this_search(door: Door) -> None:
    await library(door, count=6)
    async with AsyncClient(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as client:
        answers = [frame async for frame in client.search("고양이", limit=4, max_scenes_per_video=0)]
        assert answers[-1].kind == DONE
        token = answers[-1].next_page_token
        again = client.search("고양이", limit=4, max_scenes_per_video=0, page_token=token)
        (page,) = [frame async for frame in again]
        assert [hit.rank for hit in page.hits] == [5, 6]
        with pytest.raises(InvalidArgument) as wrong:
            [frame async for frame in client.search("고양이", limit=-1)]
        assert wrong.value.violations[0].field == "page_size"
