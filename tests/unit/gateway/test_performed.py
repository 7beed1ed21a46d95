"""Performed searches: what is told of one, what never is, and what becomes of it while the catalogue is away."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from contracts import codec
from contracts.catalog import Catalog, Query
from contracts.errors import DependencyUnavailable, Internal
from contracts.ports import Record
from gateway import performed
from gateway.performed import EVERY_S, PerformedSearches, inputs, query_hash
from heimdex.events.v1 import events_pb2
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.types import Filter, SearchRequest, SimilarRequest
from tests.unit.search.fakes import StillClock

SECRET = b"k" * 32
TENANT = "team"
NO_FILTER = Filter()


class Outbox:
    """The catalogue's side: what was written, a list a transaction; ``errors`` are raised first."""

    def __init__(self) -> None:
        self.written: list[list[events_pb2.SearchPerformed]] = []
        self.queries: list[Query] = []
        self.errors: list[Exception] = []
        self.tried = 0
        self.open = asyncio.Event()
        self.open.set()

    async def record_searches(self, records: Sequence[Record], queries: Sequence[Query]) -> None:
        self.tried += 1
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.written.append([cast("events_pb2.SearchPerformed", codec.decode(record)) for record in records])
        self.queries += queries

    def ids(self) -> list[str]:
        return [event.query_id for batch in self.written for event in batch]


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def searches(outbox: Outbox, clock: StillClock, *, most_waiting: int = 100) -> PerformedSearches:
    return PerformedSearches(cast("Catalog", outbox), clock, SECRET, most_waiting=most_waiting)


def asked(query: str = "고양이", *, narrow: Filter = NO_FILTER) -> SearchRequest:
    return SearchRequest(TENANT, query, limit=7, filter=narrow)


def answer(query_id: str = "qry_1", **fields: object) -> pb.SearchSummary:
    return pb.SearchSummary(query_id=query_id, parsed=pb.ParsedQuery(words="고양이"), **fields)  # type: ignore[arg-type]


def dropped() -> float:
    return REGISTRY.get_sample_value("heimdex_gateway_search_events_dropped_total") or 0.0


@asynccontextmanager
async def running(told: PerformedSearches) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(told.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled() -> None:
    """Let everything run that waits for no clock."""
    for _ in range(20):
        await asyncio.sleep(0)


# --------------------------------------------------------------------------------------------- what is told


async def test_an_answer_is_told_with_its_figures_and_without_a_word(outbox: Outbox, clock: StillClock) -> None:
    told = searches(outbox, clock)
    summary = answer(
        total_hits=3,
        total_is_lower_bound=True,
        match_quality=pb.MATCH_QUALITY_BEST_GUESS,
        ranking="r-1",
        generation=4,
        degraded=[pb.DegradedChannel(channel=pb.CHANNEL_VISION, cause=pb.DEGRADED_CAUSE_LATE)],
    )
    summary.elapsed.FromMilliseconds(45)
    summary.timings.add(channel=pb.CHANNEL_LEXICAL).elapsed.FromMilliseconds(12)
    summary.people.add(person_id="per_1", display_name="민지")
    told.add(asked("민지 고양이"), summary)
    await told.drain()
    ((event,),) = outbox.written
    assert (event.tenant_id, event.query_id, event.page_size) == (TENANT, "qry_1", 7)
    assert (event.total_hits, event.total_is_lower_bound, event.match_quality) == (3, True, pb.MATCH_QUALITY_BEST_GUESS)
    assert (event.ranking, event.generation) == ("r-1", 4)
    assert (list(event.timings), list(event.degraded)) == (list(summary.timings), list(summary.degraded))
    assert (event.elapsed, event.event_time.ToMilliseconds()) == (summary.elapsed, clock.now_ms())
    assert list(event.inputs) == ["text", "person"]
    assert event.query_hash == query_hash(SECRET, TENANT, "민지 고양이")
    for name in ("민지", "고양이", "per_1"):
        assert name.encode() not in event.SerializeToString()
    assert outbox.queries == [Query("qry_1", TENANT, "민지 고양이", clock.now_ms())]


async def test_without_words_there_is_neither_a_hash_nor_a_text(outbox: Outbox, clock: StillClock) -> None:
    told = searches(outbox, clock)
    told.add(SearchRequest(TENANT, "", image_id="upl_1"), pb.SearchSummary(query_id="qry_1"))
    told.add(SimilarRequest(TENANT, "scn_1"), pb.SearchSummary(query_id="qry_2"))
    await told.drain()
    ((by_image, by_scene),) = outbox.written
    assert (by_image.query_hash, list(by_image.inputs)) == ("", ["image"])
    assert (by_scene.query_hash, list(by_scene.inputs)) == ("", ["scene"])
    assert outbox.queries == []


def test_inputs_are_the_ways_in_that_were_used() -> None:
    parsed = pb.ParsedQuery(words="가", phrases=["나"], excluded=["다"])
    narrow = Filter(tags=("cat",), uploaded_to_ms=5, offset_from_ms=0, min_confidence=0.5)
    assert inputs(asked(narrow=narrow), pb.SearchSummary(parsed=parsed)) == [
        "text", "phrase", "exclusion", "filter.tags", "filter.uploaded_to", "filter.offset_from",
        "filter.min_confidence",
    ]  # fmt: skip


def test_filters_are_named_as_their_fields_are() -> None:
    assert {path for _, path in performed._FILTERS} == {f"filter.{f.name}" for f in pb.SearchFilter.DESCRIPTOR.fields}


# --------------------------------------------------------------------------------------------------- hashes


def test_the_same_words_have_the_same_hash_however_they_are_typed() -> None:
    first = query_hash(SECRET, TENANT, "한국 Seoul")
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    typed = unicodedata.normalize("NFD", " 한국\t  SEOUL\n")
    assert query_hash(SECRET, TENANT, typed) == first


def test_another_word_tenant_or_deployment_has_another_hash() -> None:
    hashes = {
        query_hash(SECRET, TENANT, "한국"),
        query_hash(SECRET, TENANT, "한국인"),
        query_hash(SECRET, "others", "한국"),
        query_hash(b"x" * 32, TENANT, "한국"),
    }
    assert len(hashes) == 4


@given(st.text(max_size=50))
def test_a_hash_does_not_change_with_normal_forms_and_white_space(query: str) -> None:
    typed = f"  {unicodedata.normalize('NFD', query)} "
    assert query_hash(SECRET, TENANT, typed) == query_hash(SECRET, TENANT, unicodedata.normalize("NFC", query))


# ------------------------------------------------------------------------------------------------- writing


async def test_searches_of_a_second_are_one_transaction(outbox: Outbox, clock: StillClock) -> None:
    told = searches(outbox, clock)
    async with running(told):
        told.add(asked(), answer("qry_1"))
        await settled()
        told.add(asked(), answer("qry_2"))
        told.add(asked(), answer("qry_3"))
        await settled()
        assert outbox.ids() == ["qry_1"]
        clock.advance(EVERY_S)
        await settled()
        assert [len(batch) for batch in outbox.written] == [1, 2]
        clock.advance(EVERY_S)
        await settled()
        assert outbox.tried == 2, "nothing waits: nothing is written"


async def test_a_search_waits_for_no_write(outbox: Outbox, clock: StillClock) -> None:
    told = searches(outbox, clock)
    outbox.open.clear()
    async with running(told):
        told.add(asked(), answer("qry_1"))
        await settled()
        told.add(asked(), answer("qry_2"))
        assert (outbox.tried, outbox.written) == (1, [])
        outbox.open.set()
        await told.drain()
    assert outbox.ids() == ["qry_1", "qry_2"]


async def test_a_long_queue_is_written_in_short_transactions(
    outbox: Outbox, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performed, "_MOST_AT_ONCE", 2)
    told = searches(outbox, clock)
    for number in range(5):
        told.add(asked(), answer(f"qry_{number}"))
    await told.drain()
    assert [len(batch) for batch in outbox.written] == [2, 2, 1]
    assert outbox.ids() == [f"qry_{number}" for number in range(5)]


async def test_while_the_catalogue_is_away_searches_wait_in_order(outbox: Outbox, clock: StillClock) -> None:
    outbox.errors = [DependencyUnavailable("catalog", "away")]
    told, before = searches(outbox, clock), dropped()
    async with running(told):
        told.add(asked(), answer("qry_1"))
        await settled()
        told.add(asked(), answer("qry_2"))
        assert outbox.written == []
        clock.advance(EVERY_S)
        await settled()
    assert outbox.ids() == ["qry_1", "qry_2"]
    assert dropped() == before


async def test_the_oldest_give_way_and_are_counted(outbox: Outbox, clock: StillClock) -> None:
    told, before = searches(outbox, clock, most_waiting=3), dropped()
    for number in range(5):
        told.add(asked(), answer(f"qry_{number}"))
    assert dropped() == before + 2
    await told.drain()
    assert outbox.ids() == ["qry_2", "qry_3", "qry_4"]


async def test_those_put_back_give_way_to_those_that_came_meanwhile(outbox: Outbox, clock: StillClock) -> None:
    outbox.errors = [DependencyUnavailable("catalog", "away")]
    outbox.open.clear()
    told, before = searches(outbox, clock, most_waiting=2), dropped()
    async with running(told):
        told.add(asked(), answer("qry_1"))
        await settled()
        told.add(asked(), answer("qry_2"))
        told.add(asked(), answer("qry_3"))
        outbox.open.set()
        await settled()
        assert dropped() == before + 1
        await told.drain()
    assert outbox.ids() == ["qry_2", "qry_3"]


@pytest.mark.parametrize("error", [Internal("refused"), ValueError("a defect")], ids=["refused", "defect"])
async def test_what_no_repetition_heals_is_dropped_and_ends_nothing(
    outbox: Outbox, clock: StillClock, error: Exception
) -> None:
    outbox.errors = [error]
    told, before = searches(outbox, clock), dropped()
    async with running(told) as task:
        told.add(asked(), answer("qry_1"))
        await settled()
        told.add(asked(), answer("qry_2"))
        clock.advance(EVERY_S)
        await settled()
        assert not task.done()
    assert outbox.ids() == ["qry_2"]
    assert dropped() == before + 1


async def test_what_cannot_be_written_at_the_end_is_counted(outbox: Outbox, clock: StillClock) -> None:
    outbox.errors = [DependencyUnavailable("catalog", "away")]
    told, before = searches(outbox, clock), dropped()
    told.add(asked(), answer("qry_1"))
    await told.drain()
    assert (outbox.written, dropped()) == ([], before + 1)
    await told.drain()
    assert outbox.tried == 1
