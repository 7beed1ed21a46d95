"""Feedback over gRPC: what analysts hear of searches and of what became of them, and what of it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import pytest
from sqlalchemy import select

from adapters.catalog.models import QueryRow
from adapters.catalog.sql import SqlCatalog
from contracts import codec
from contracts.ids import new_id
from gateway.performed import query_hash
from heimdex.events.v1 import events_pb2
from heimdex.search.v1 import search_service_pb2 as pb
from tests.component.gateway.door import PAGE_KEY, Door, refused, until
from tests.component.gateway.test_search import done, enrol, library

PERFORMED, FEEDBACK = "heimdex-search-performed-v1", "heimdex-search-feedback-v1"


async def told(door: Door, topic: str, count: int = 1) -> list[Any]:
    """Return what is in the outbox for a topic, as soon as there are ``count``."""
    async with asyncio.timeout(10):
        while True:
            records = [row.record for row in await door.catalog.pending(limit=1000) if row.record.topic == topic]
            if len(records) >= count:
                return [codec.decode(record) for record in records]
            await asyncio.sleep(0.01)


async def kept(catalog: SqlCatalog) -> Mapping[str, str]:
    """Return the texts that are kept, by query id."""

    async def work(session: Any) -> Mapping[str, str]:
        return {row.query_id: row.text for row in await session.scalars(select(QueryRow))}

    return await catalog._read(work)


def request(**fields: Any) -> pb.RecordFeedbackRequest:
    values: dict[str, Any] = {
        "request_id": "r-1",
        "query_id": new_id("qry"),
        "kind": pb.FEEDBACK_KIND_PLAYED,
        "scene_id": new_id("scn"),
    }
    return pb.RecordFeedbackRequest(**values | fields)


# ------------------------------------------------------------------------------------------------- searches


async def test_a_search_is_told_with_the_id_of_its_answer(door: Door) -> None:
    rows = await library(door)
    await enrol(door, "민지")
    answer = await done(
        door, '민지가 "고양이" 앞에서 우는', page_size=3, filter=pb.SearchFilter(video_ids=[rows[0].video_id])
    )
    (event,) = await told(door, PERFORMED)
    assert isinstance(event, events_pb2.SearchPerformed)
    assert event.query_id == answer.summary.query_id
    assert (event.tenant_id, event.page_size, event.generation) == ("team", 3, 1)
    assert list(event.inputs) == ["text", "phrase", "person", "filter.video_ids"]
    assert event.query_hash == query_hash(PAGE_KEY, "team", '민지가 "고양이" 앞에서 우는')
    assert (event.total_hits, event.match_quality) == (answer.summary.total_hits, answer.summary.match_quality)
    assert list(event.timings) == list(answer.summary.timings)
    assert event.timings
    assert "민지".encode() not in event.SerializeToString()


async def test_later_pages_and_suggestions_are_not_told(door: Door) -> None:
    await library(door)
    first = await done(door, page_size=1)
    second = await done(door, page_size=1, page_token=first.next_page_token)
    assert second.summary.query_id == first.summary.query_id
    await door.search.SuggestQueries(pb.SuggestQueriesRequest(text="고"), metadata=door.auth())
    last = await done(door, "강아지")
    assert [event.query_id for event in await told(door, PERFORMED, 2)] == [
        first.summary.query_id, last.summary.query_id,
    ]  # fmt: skip


async def test_a_search_that_is_refused_or_given_up_is_not_told(door: Door) -> None:
    await library(door)
    await refused(door.search.SearchScenes(pb.SearchScenesRequest(query=""), metadata=door.auth()))
    vision = door.stores.vision.door
    vision.close()
    call = door.search.SearchScenes(pb.SearchScenesRequest(query="고양이"), metadata=door.auth())
    await until(lambda: vision.entered > vision.left)
    call.cancel()
    await until(lambda: vision.entered == vision.left)
    vision.opened.set()
    last = await done(door, "강아지")
    assert [event.query_id for event in await told(door, PERFORMED)] == [last.summary.query_id]


async def test_scenes_like_another_are_an_answer_too(door: Door) -> None:
    rows = await library(door)
    answer = await door.search.FindSimilar(pb.FindSimilarRequest(scene_id=rows[0].scene_id), metadata=door.auth())
    (event,) = await told(door, PERFORMED)
    assert (event.query_id, list(event.inputs), event.query_hash) == (answer.summary.query_id, ["scene"], "")


async def test_a_text_is_kept_only_where_its_tenant_keeps_texts(door: Door) -> None:
    await library(door)
    await door.catalog.keep_queries("others", True)
    await done(door, "비밀")
    theirs = await done(door, "남의 것", tenant="others")
    await told(door, PERFORMED, 2)
    assert await kept(door.catalog) == {theirs.summary.query_id: "남의 것"}
    await door.catalog.keep_queries("others", False)
    assert await kept(door.catalog) == {}


# ------------------------------------------------------------------------------------------------- feedback


async def test_what_became_of_a_hit_is_told_once(door: Door) -> None:
    rows = await library(door)
    asked = request(scene_id=rows[1].scene_id, rank=2)
    for _ in range(3):
        await door.search.RecordFeedback(asked, metadata=door.auth())
    (event,) = await told(door, FEEDBACK)
    assert event.event_time.ToMilliseconds() > 0
    event.ClearField("event_time")
    assert event == events_pb2.SearchFeedback(
        tenant_id="team", query_id=asked.query_id, kind=asked.kind, scene_id=rows[1].scene_id, rank=2
    )


async def test_that_nothing_was_found_is_told_without_a_scene(door: Door) -> None:
    asked = request(kind=pb.FEEDBACK_KIND_NOT_FOUND, scene_id="")
    await door.search.RecordFeedback(asked, metadata=door.auth())
    (event,) = await told(door, FEEDBACK)
    assert (event.query_id, event.kind, event.scene_id, event.rank) == (asked.query_id, asked.kind, "", 0)


async def test_a_request_id_with_another_content_is_refused_but_another_users_is_another(door: Door) -> None:
    rows = await library(door)
    first = request(scene_id=rows[0].scene_id)
    await door.search.RecordFeedback(first, metadata=door.auth())
    other = request(scene_id=rows[1].scene_id)
    refusal = await refused(door.search.RecordFeedback(other, metadata=door.auth()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    await door.search.RecordFeedback(other, metadata=door.auth(user="bob"))
    assert len(await told(door, FEEDBACK, 2)) == 2


async def test_a_scene_of_nobody_or_of_another_tenant_is_not_found(door: Door) -> None:
    rows = await library(door)
    for asked, tenant in ((request(), "team"), (request(scene_id=rows[0].scene_id), "others")):
        refusal = await refused(door.search.RecordFeedback(asked, metadata=door.auth(tenant)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert await told(door, FEEDBACK, 0) == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"request_id": ""}, "request_id"),
        ({"query_id": ""}, "query_id"),
        ({"query_id": new_id("scn")}, "query_id"),
        ({"kind": pb.FEEDBACK_KIND_UNSPECIFIED}, "kind"),
        ({"kind": 99}, "kind"),
        ({"scene_id": ""}, "scene_id"),
        ({"scene_id": new_id("vid")}, "scene_id"),
        ({"kind": pb.FEEDBACK_KIND_NOT_FOUND}, "scene_id"),
        ({"rank": -1}, "rank"),
    ],
)
async def test_what_is_no_feedback_is_refused_by_its_field(door: Door, fields: Mapping[str, Any], path: str) -> None:
    refusal = await refused(door.search.RecordFeedback(request(**fields), metadata=door.auth()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [violation.field for violation in refusal.details["BadRequest"].field_violations] == [path]
