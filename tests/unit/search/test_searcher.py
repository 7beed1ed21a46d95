"""A search on memory stores: what is sent when, and what becomes of channels that fail or are late."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import fields

import pytest

from contracts.errors import DependencyUnavailable, InvalidRequest
from indexer.search.types import Cause, Channel, Degraded, Filter, FrameKind, MatchQuality, SearchRequest, Update
from tests.unit.search.fakes import TENANT, World, said

DEADLINE_S = 10.0


def down() -> DependencyUnavailable:
    return DependencyUnavailable("store", "is down")


_NARROWS = {field.name for field in fields(Filter)}


def request(query: str = "고양이", **narrowed: object) -> SearchRequest:
    """Return a request; what is in ``Filter`` narrows it, the rest is the request's own."""
    own = {name: narrowed.pop(name) for name in tuple(narrowed) if name not in _NARROWS}
    return SearchRequest(TENANT, query, filter=Filter(**narrowed), **own)  # type: ignore[arg-type]


async def frames(world: World, asked: SearchRequest) -> list[Update]:
    async with aclosing(world.searcher.search(asked, deadline_s=DEADLINE_S)) as updates:
        return [update async for update in updates]


async def done(world: World, asked: SearchRequest) -> Update:
    *_, last = await frames(world, asked)
    assert last.kind is FrameKind.DONE
    return last


def rows(update: Update) -> list[str]:
    return [hit.scene.scene_id for hit in update.hits]


async def settle() -> None:
    """Let every task run as far as it can; nothing here waits for real time."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
def world() -> World:
    made = World(leg_rows=3, words_rows=3)
    for row in ("a", "b", "c", "d"):
        made.catalog.add(row, f"{row} 고양이가 잔다", "좋은 아침")
    made.text.hits = [said("a", 8.0), said("b", 2.0, coverage=0.2)]
    made.dense.cosines = {"a": 0.3, "b": 0.2, "c": 0.17}
    made.vision.cosines = {"c": 0.55, "a": 0.1}
    return made


async def test_first_frame_comes_before_the_slowest_channel_and_each_is_complete(world: World) -> None:
    world.encoder.door.close()
    async with aclosing(world.searcher.search(request(), deadline_s=DEADLINE_S)) as updates:
        first = await anext(updates)
        assert (first.kind, rows(first)) == (FrameKind.PARTIAL, ["a", "b"])
        assert first.answered == (Channel.LEXICAL, Channel.TAGS)
        assert first.summary is None
        world.vision.door.close()
        world.encoder.door.opened.set()
        second = await anext(updates)
        assert second.kind is FrameKind.UPDATE
        assert second.answered == (Channel.LEXICAL, Channel.DENSE, Channel.TAGS)
        assert rows(second) == ["a", "b", "c"]
        world.vision.door.opened.set()
        last = await anext(updates)
        assert last.kind is FrameKind.DONE
        assert rows(last) == ["a", "c", "b"]
        with pytest.raises(StopAsyncIteration):
            await anext(updates)


async def test_an_early_frame_promises_nothing_that_done_takes_back(world: World) -> None:
    world.text.hits = [said("a", 8.0, coverage=0.4)]
    world.dense.cosines, world.vision.cosines = {"a": 0.1, "b": 0.26}, {}
    for door in (world.text.door, world.encoder.door):
        door.close()
        task = asyncio.ensure_future(frames(world, request()))
        await settle()
        door.opened.set()
        (last,) = await task
        assert last.summary is not None
        assert last.summary.match_quality is MatchQuality.NONE


async def test_meaning_is_no_surer_for_words_that_are_down(world: World) -> None:
    world.text.hits, world.dense.cosines, world.vision.cosines = [], {"a": 0.4}, {}
    whole = await done(world, request())
    world.text.door.error = down()
    degraded = await done(world, request())
    assert [hit.ranked.confidence for hit in degraded.hits] == [hit.ranked.confidence for hit in whole.hits]
    assert degraded.hits


async def test_not_progressive_sends_done_alone(world: World) -> None:
    world.encoder.door.close()
    world.encoder.door.opened.set()
    assert [u.kind for u in await frames(world, request(progressive=False))] == [FrameKind.DONE]


async def test_words_are_asked_while_a_search_waits_for_others_to_encode_with(world: World) -> None:
    world.vision.door.close()
    others = [asyncio.ensure_future(frames(world, request())) for _ in range(4)]
    await settle()
    assert world.encoder.door.entered == 4
    async with aclosing(world.searcher.search(request(), deadline_s=DEADLINE_S)) as updates:
        first = await anext(updates)
        assert (first.kind, first.answered) == (FrameKind.PARTIAL, (Channel.LEXICAL, Channel.TAGS))
        last_only = asyncio.ensure_future(done(world, request(progressive=False)))
        await settle()
        assert (len(world.text.queries), world.encoder.door.entered) == (5, 4)
        world.vision.door.opened.set()
        assert [update.kind async for update in updates][-1] is FrameKind.DONE
    await asyncio.gather(*others, last_only)
    assert (len(world.text.queries), world.encoder.door.entered) == (6, 6)


async def test_hits_are_explained_and_ranked(world: World) -> None:
    last = await done(world, request())
    assert [hit.rank for hit in last.hits] == [1, 2, 3]
    for hit in last.hits:
        assert hit.ranked.score == pytest.approx(sum(p.points for p in hit.ranked.contributions), abs=1e-6)
    assert last.summary is not None
    assert last.summary.match_quality is MatchQuality.SUPPORTED
    assert last.summary.total_hits == 3
    assert last.summary.degraded == ()
    assert (last.summary.ranking, last.summary.generation) == ("small-v1", 1)
    assert set(last.summary.channel_ms) == {Channel.LEXICAL, Channel.TAGS, Channel.DENSE, Channel.VISION}
    assert world.dense.collections == {world.catalog.generation.text_collection}
    assert world.vision.collections == {world.catalog.generation.vision_collection}


async def test_done_marks_the_transcript_and_the_runs_are_the_transcript(world: World) -> None:
    hit = (await done(world, request())).hits[0]
    assert "".join(run.text for run in hit.transcript) == "a 고양이가 잔다 좋은 아침"
    assert [(run.text, run.start_ms, run.end_ms) for run in hit.transcript if run.highlighted] == [("고양이", 0, 1000)]
    assert hit.transcript[-1].start_ms == 1000


async def test_late_channel_is_named_and_done_comes_before_the_deadline(world: World) -> None:
    world.vision.door.close()
    task = asyncio.ensure_future(frames(world, request()))
    await settle()
    world.clock.advance(world.searcher._budgets.vision_s)
    updates = await task
    summary = updates[-1].summary
    assert summary is not None
    assert summary.degraded == (Degraded(Channel.VISION, Cause.LATE),)
    assert world.clock.now_s < 100.0 + DEADLINE_S
    assert summary.channel_ms[Channel.VISION] == 3000
    assert world.vision.door.entered == world.vision.door.left, "the late call is cancelled"
    assert Channel.VISION not in updates[-1].answered


async def test_a_short_deadline_cuts_every_budget(world: World) -> None:
    world.encoder.door.close()
    task = asyncio.ensure_future(frames_within(world, 0.4))
    await settle()
    world.clock.advance(0.3)
    last = (await task)[-1]
    assert last.summary is not None
    assert last.summary.degraded == (Degraded(Channel.DENSE, Cause.LATE), Degraded(Channel.VISION, Cause.LATE))
    assert rows(last) == ["a", "b"]


async def frames_within(world: World, deadline_s: float) -> list[Update]:
    return [update async for update in world.searcher.search(request(), deadline_s=deadline_s)]


async def test_failed_channel_is_named_and_its_weight_shared_out(world: World) -> None:
    world.vision.door.error = down()
    last = await done(world, request())
    assert last.summary is not None
    assert last.summary.degraded == (Degraded(Channel.VISION, Cause.FAILED),)
    weights = {p.channel: p.weight for p in last.hits[0].ranked.contributions}
    assert Channel.VISION not in weights
    assert sum(weights.values()) == pytest.approx(1.0)


async def test_words_failing_takes_the_tags_along(world: World) -> None:
    world.text.door.error = down()
    world.text.marker.error = down()
    last = await done(world, request())
    assert last.summary is not None
    assert last.summary.degraded == (Degraded(Channel.LEXICAL, Cause.FAILED), Degraded(Channel.TAGS, Cause.FAILED))
    assert rows(last) == ["c", "a", "b"]
    assert not any(run.highlighted for hit in last.hits for run in hit.transcript)


async def test_encoder_failing_is_both_kinds_of_vectors(world: World) -> None:
    world.encoder.door.error = down()
    last = await done(world, request())
    assert last.summary is not None
    assert {d.channel for d in last.summary.degraded} == {Channel.DENSE, Channel.VISION}
    assert world.encoder.texts == ["고양이"]


async def test_all_failed_is_unavailable(world: World) -> None:
    world.text.door.error = world.encoder.door.error = down()
    with pytest.raises(DependencyUnavailable) as failed:
        await frames(world, request())
    assert failed.value.reason == "DEPENDENCY_UNAVAILABLE"


async def test_people_who_are_only_filtered_for_are_no_answer(world: World) -> None:
    world.catalog.people = {"b": {"per_m": 0.7}}
    world.text.door.error = world.encoder.door.error = down()
    assert rows(await done(world, request("", person_ids=("per_m",)))) == ["b"]
    with pytest.raises(DependencyUnavailable):
        await frames(world, request(person_ids=("per_m",)))


async def test_all_late_is_unavailable_before_the_deadline(world: World) -> None:
    world.text.door.close()
    world.encoder.door.close()
    task = asyncio.ensure_future(frames_within(world, 1.0))
    await settle()
    world.clock.advance(0.76)
    with pytest.raises(DependencyUnavailable) as failed:
        await task
    assert failed.value.reason == "DEADLINE_EXCEEDED"


async def test_catalogue_that_hangs_is_unavailable(world: World) -> None:
    world.catalog.door.close()
    task = asyncio.ensure_future(frames_within(world, 1.0))
    await settle()
    world.clock.advance(0.95)
    with pytest.raises(DependencyUnavailable) as failed:
        await task
    assert failed.value.dependency == "catalog"


async def test_cancelling_ends_everything(world: World) -> None:
    before = asyncio.all_tasks()
    world.text.door.close()
    world.encoder.door.close()
    world.catalog.people_door.close()
    world.catalog.names = [("per_m", "민지")]
    task = asyncio.ensure_future(frames(world, request("민지 고양이")))
    await settle()
    assert [door.entered for door in (world.text.door, world.encoder.door, world.catalog.people_door)] == [1, 1, 1]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(door.entered == door.left for door in world.doors())
    assert asyncio.all_tasks() == before


async def test_leaving_early_ends_everything(world: World) -> None:
    before = asyncio.all_tasks()
    world.encoder.door.close()
    async with aclosing(world.searcher.search(request(), deadline_s=DEADLINE_S)) as updates:
        await anext(updates)
        assert world.encoder.door.left == 0
    assert world.encoder.door.left == 1
    assert asyncio.all_tasks() == before


async def test_a_scene_that_is_gone_is_dropped(world: World) -> None:
    del world.catalog.scenes["a"]
    last = await done(world, request())
    assert rows(last) == ["c", "b"]
    assert [hit.rank for hit in last.hits] == [1, 2]
    assert last.summary is not None
    assert last.summary.total_hits == 2


async def test_another_tenants_rows_are_never_shown(world: World) -> None:
    last = await done(world, SearchRequest("other", "고양이"))
    assert last.hits == ()
    assert last.summary is not None
    assert last.summary.match_quality is MatchQuality.NONE


def cosine(last: Update, row: str) -> float:
    """Return what meaning made of a row of the whole list."""
    assert last.summary is not None
    (ranked,) = (r for r in (*(hit.ranked for hit in last.hits), *last.summary.rest) if r.row_id == row)
    return {part.channel: part.raw for part in ranked.contributions}[Channel.DENSE]


async def test_rows_beyond_a_list_are_filled_in(world: World) -> None:
    world.dense.cosines = {"a": 0.42, "b": 0.41, "c": 0.4, "d": 0.09}
    world.text.hits = [said("d", 9.0), said("a", 1.0)]
    last = await done(world, request(limit=3))
    assert world.dense.filled == ["d"]
    assert cosine(last, "d") == 0.09
    assert world.vision.filled == [], "its list was not full, so it is whole"


async def test_a_row_that_is_filled_in_has_its_view_too(world: World) -> None:
    world.vision.cosines = {"a": 0.6, "b": 0.5, "c": 0.4, "d": 0.3}
    world.vision.best_views = {"a": 1, "d": 2}
    world.text.hits = [said("d", 9.0), said("a", 1.0)]
    last = await done(world, request(limit=3))
    assert last.summary is not None
    listed = (*(hit.ranked for hit in last.hits), *last.summary.rest)
    assert {row.row_id: row.view for row in listed} == {"a": 1, "b": 0, "c": 0, "d": 2}


async def test_a_fill_that_fails_leaves_the_lists_lowest(world: World) -> None:
    world.dense.cosines = {"a": 0.42, "b": 0.41, "c": 0.4, "d": 0.09}
    world.text.hits.append(said("d", 9.0))
    world.dense.backfill.error = down()
    last = await done(world, request(limit=3))
    assert cosine(last, "d") == 0.4


async def test_a_named_person_boosts(world: World) -> None:
    world.catalog.names = [("per_m", "민지")]
    world.catalog.people = {"d": {"per_m": 0.9}}
    world.text.hits = [said("c", 0.0, tag_score=1.0), said("d", 0.0, tag_score=1.0)]
    world.vision.cosines = world.dense.cosines = {}
    last = await done(world, request("민지가 우는 장면"))
    assert world.text.queries[-1].text == "우는"
    assert rows(last) == ["d", "c"]
    assert last.hits[0].ranked.score - last.hits[1].ranked.score == pytest.approx(0.3 * 0.9)
    assert last.summary is not None
    assert [(p.person_id, p.display_name) for p in last.summary.people] == [("per_m", "민지")]


async def test_person_filter_without_a_query_lists_the_scenes(world: World) -> None:
    world.catalog.people = {"b": {"per_m": 0.7}, "c": {"per_m": 0.9, "per_j": 0.8}, "d": {"per_j": 0.9}}
    last = await done(world, request("", person_ids=("per_m",)))
    assert rows(last) == ["c", "b"]
    assert world.encoder.texts == []
    assert rows(await done(world, request("", person_ids=("per_m", "per_j")))) == ["c"]
    assert rows(await done(world, request("고양이", person_ids=("per_j",)))) == ["c"], "being there is no cat"


async def test_person_filter_keeps_to_the_videos(world: World) -> None:
    world.catalog.add("far", video="vid_2")
    world.catalog.people = {"b": {"per_m": 0.7}, "far": {"per_m": 0.9}}
    assert rows(await done(world, request("", person_ids=("per_m",), video_ids=("vid_1",)))) == ["b"]


async def test_without_sql_people_nobody_can_be_required(world: World) -> None:
    world.catalog.people_door.error = down()
    with pytest.raises(DependencyUnavailable):
        await frames(world, request("고양이", person_ids=("per_m",)))


async def test_phrase_waits_for_words_and_fails_with_them(world: World) -> None:
    world.text.door.close()
    world.text.hits = [said("b", 1.0)]
    task = asyncio.ensure_future(frames(world, request('"b 고양이가"')))
    await settle()
    world.text.door.opened.set()
    updates = await task
    assert [rows(update) for update in updates] == [["b"]], "no frame before words have answered"
    world.text.door.error = down()
    with pytest.raises(DependencyUnavailable):
        await frames(world, request('"b 고양이가"'))


async def test_pages_go_through_the_list_once(world: World) -> None:
    first = await done(world, request(limit=2))
    assert first.summary is not None
    assert len(first.summary.rest) == 1
    page = await world.searcher.page(
        TENANT, first.summary.rest, marking=first.summary.marking, first_rank=3, limit=2, deadline_s=DEADLINE_S
    )
    assert [hit.rank for hit in page.hits] == [3]
    assert {h.scene.scene_id for h in page.hits} | set(rows(first)) == {"a", "b", "c"}
    assert page.rest == ()
    world.catalog.scenes.clear()
    again = await world.searcher.page(
        TENANT, first.summary.rest, marking="", first_rank=3, limit=2, deadline_s=DEADLINE_S
    )
    assert again.hits == ()


async def test_ties_are_by_video_and_start(world: World) -> None:
    world.catalog.add("x", video="vid_2", start_ms=0)
    world.catalog.add("y", video="vid_1", start_ms=9000)
    world.catalog.add("z", video="vid_1", start_ms=1000)
    world.text.hits = [said("x", 0.0, tag_score=2.0, video="vid_2")]
    world.text.hits += [said(row, 0.0, tag_score=2.0, video="vid_1") for row in ("y", "z")]
    world.dense.cosines = world.vision.cosines = {}
    assert rows(await done(world, request())) == ["z", "y", "x"]


async def test_nothing_in_the_library_is_none_without_hits(world: World) -> None:
    world.text.hits = []
    world.dense.cosines = {"a": 0.13, "b": 0.12}
    world.vision.cosines = {"c": 0.15}
    last = await done(world, request("뷁쀍쒫"))
    assert last.summary is not None
    assert last.summary.match_quality is MatchQuality.NONE
    assert not last.hits
    assert last.summary.total_hits == 0
    assert rows(await done(world, request("뷁쀍쒫", min_confidence=0.4))) == []


@pytest.mark.parametrize(
    "asked", [request(""), request("\x00"), request(limit=0), request(limit=201), request(min_confidence=1.5)]
)
async def test_bad_requests_are_refused_before_any_store(world: World, asked: SearchRequest) -> None:
    with pytest.raises(InvalidRequest):
        await frames(world, asked)
    assert not world.text.queries
    assert not world.encoder.texts
