"""Filters on memory stores: what they ask, what they leave out, and that nothing is shown unchecked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from contracts.errors import DependencyUnavailable, InvalidRequest
from contracts.ports import Scope
from indexer.search.filters import MAX_VIDEOS
from indexer.search.types import Channel, FrameKind, MatchQuality, Update
from tests.unit.search.fakes import World, said
from tests.unit.search.test_searcher import DEADLINE_S, done, down, frames, request, rows, settle

OF_VIDEOS: tuple[dict[str, Any], ...] = (
    {"languages": ("ko",)}, {"uploaded_from_ms": 1}, {"uploaded_to_ms": 9},
)  # fmt: skip


@pytest.fixture
def world() -> World:
    made = World(leg_rows=3, words_rows=3)
    for place, row in enumerate(("a", "b", "c", "d")):
        made.catalog.add(row, f"{row} 고양이가 잔다", video=f"vid_{row}", start_ms=place * 1000)
    made.text.hits = [said("a", 8.0, video="vid_a"), said("b", 4.0, video="vid_b")]
    made.dense.cosines = {"a": 0.3, "b": 0.25, "c": 0.2, "d": 0.19}
    made.vision.cosines = {"c": 0.55, "a": 0.5}
    for vectors in (made.dense, made.vision):
        vectors.videos = {row: f"vid_{row}" for row in "abcd"}
    return made


async def test_a_plain_search_asks_for_nothing_more(world: World) -> None:
    await done(world, request(limit=3))
    assert world.catalog.looked_up == []
    assert world.text.holder.entered == 0
    assert world.catalog.people_door.entered == 0
    assert world.text.queries[-1].limit == 3
    assert world.dense.scopes == [Scope()]


# ------------------------------------------------------------------------------------------------ scope


async def test_videos_and_offsets_go_to_every_store(world: World) -> None:
    world.catalog.people = {"a": {"per_m": 0.9}, "c": {"per_m": 0.9}}
    narrow = {"video_ids": ("vid_c", "vid_a"), "offset_from_ms": 1000, "offset_to_ms": 5000}
    last = await done(world, request("고양이", person_ids=("per_m",), **narrow))
    scope = Scope(("vid_a", "vid_c"), 1000, 5000)
    assert world.text.queries[-1].scope == scope
    assert world.dense.scopes == world.vision.scopes == [scope]
    assert rows(last) == ["c"], "who is there is looked for within the offsets too"


@pytest.mark.parametrize("narrow", OF_VIDEOS)
async def test_what_is_said_of_videos_becomes_videos(world: World, narrow: dict[str, Any]) -> None:
    world.catalog.languages = {"vid_b": "ko", "vid_a": "ko", "vid_c": "ko"}
    await done(world, request("고양이", **narrow))
    assert world.dense.scopes == [Scope(("vid_a", "vid_b", "vid_c"))]


async def test_no_video_that_matches_is_an_answer_that_asks_no_store(world: World) -> None:
    (last,) = await frames(world, request('"고양이"', languages=("fr",), person_ids=("per_m",), tags=("cat",)))
    assert (last.kind, last.hits) == (FrameKind.DONE, ())
    assert last.summary is not None
    assert (last.summary.match_quality, last.summary.total_hits) == (MatchQuality.NONE, 0)
    assert last.summary.parsed is not None
    assert last.summary.parsed.phrases == ("고양이",)
    assert all(door.entered == 0 for door in world.doors())


async def test_where_too_many_videos_match_the_rows_are_looked_up(world: World) -> None:
    world.catalog.languages = {f"vid_{n}": "ko" for n in range(MAX_VIDEOS)} | {"vid_a": "ko", "vid_b": "en"}
    last = await done(world, request("고양이", languages=("ko",)))
    assert rows(last) == ["a"]
    assert world.dense.scopes == [Scope()]
    assert world.catalog.looked_up[-1] == ("vid_a", "vid_b", "vid_c", "vid_d")


async def test_a_catalogue_that_fails_fails_the_search(world: World) -> None:
    async def fails(*_: object, **__: object) -> Sequence[str]:
        raise down()

    world.catalog.videos_matching = fails  # type: ignore[method-assign]
    with pytest.raises(DependencyUnavailable):
        await frames(world, request("고양이", languages=("ko",)))


# ------------------------------------------------------------------------------------------------ tags


async def test_tags_keep_to_rows_that_have_them_and_measure_those_whole(world: World) -> None:
    world.text.hits = [said("b", 4.0, video="vid_b"), said("d", 0.0, coverage=0.0, video="vid_d")]
    last = await done(world, request("고양이", tags=("cat", "sofa"), limit=3))
    assert world.text.queries[-1].tags == ("cat", "sofa")
    assert world.text.queries[-1].limit == world.searcher._budgets.filtered_rows
    assert rows(last) == ["b", "d"]
    assert world.dense.filled == ["d"], "what its list did not reach is measured, and nothing else"
    by_channel = {part.channel: part.raw for part in last.hits[1].ranked.contributions}
    assert by_channel[Channel.DENSE] == 0.19


async def test_tags_alone_are_a_query(world: World) -> None:
    world.text.hits = [said(row, 0.0, coverage=0.0, video=f"vid_{row}") for row in "cb"]
    last = await done(world, request("", tags=("cat",)))
    assert rows(last) == ["b", "c"]
    assert [hit.ranked.score for hit in last.hits] == [1.0, 1.0]
    assert last.summary is not None
    assert last.summary.match_quality is MatchQuality.SUPPORTED
    assert world.encoder.texts == []


async def test_beside_a_picture_tags_only_narrow(world: World) -> None:
    world.text.hits = [said(row, 0.0, coverage=0.0, video=f"vid_{row}") for row in "acd"]
    last = await done(world, request("", tags=("cat",), image=np.ones(3, np.float32)))
    assert rows(last) == ["c", "a"]
    assert [hit.ranked.confidence < 1.0 for hit in last.hits] == [True, True]
    weights = {part.channel: part.weight for part in last.hits[0].ranked.contributions}
    assert weights == {Channel.VISION: 1.0}
    world.vision.door.error = down()
    with pytest.raises(DependencyUnavailable):
        await frames(world, request("", tags=("cat",), image=np.ones(3, np.float32)))


async def test_without_words_no_tag_can_be_required(world: World) -> None:
    world.text.door.error = down()
    with pytest.raises(DependencyUnavailable):
        await frames(world, request("고양이", tags=("cat",)))


async def test_no_frame_before_tags_are_known(world: World) -> None:
    world.text.door.close()
    task = asyncio.ensure_future(frames(world, request("고양이", tags=("cat",))))
    await settle()
    world.text.door.opened.set()
    assert [rows(update) for update in await task] == [["a", "b"]]


# ------------------------------------------------------------------------------------------- exclusions


async def test_excluded_words_are_in_no_frame(world: World) -> None:
    world.text.held = {"a": {"개"}, "c": {"개"}}
    world.vision.door.close()
    task = asyncio.ensure_future(frames(world, request("고양이 -개")))
    await settle()
    world.vision.door.opened.set()
    updates = await task
    assert [update.kind for update in updates] == [FrameKind.PARTIAL, FrameKind.DONE]
    assert [rows(update) for update in updates] == [["b", "d"], ["b", "d"]]
    assert world.encoder.texts == ["고양이"]


async def test_more_rows_are_asked_for_where_some_are_left_out(world: World) -> None:
    await done(world, request("고양이 -개"))
    assert world.text.queries[-1].limit == world.searcher._budgets.window_rows


async def test_excluded_people_are_in_no_frame(world: World) -> None:
    world.catalog.people = {"a": {"per_m": 0.6}, "b": {"per_j": 0.9}}
    last = await done(world, request("고양이", excluded_person_ids=("per_m",)))
    assert rows(last) == ["c", "b", "d"]


async def test_nobody_is_both_named_with_at_and_left_out(world: World) -> None:
    world.catalog.names = [("per_m", "민지"), ("per_n", "민지")]
    world.catalog.people = {"a": {"per_n": 0.9}, "b": {"per_m": 0.9}}
    with pytest.raises(InvalidRequest) as wrong:
        await frames(world, request("@민지", excluded_person_ids=("per_n", "per_m")))
    assert [violation.field for violation in wrong.value.violations] == ["filter.excluded_person_ids"]
    assert not world.text.queries
    assert rows(await done(world, request("@민지", excluded_person_ids=("per_m",)))) == ["a"], "another of the name"
    await done(world, request("민지", excluded_person_ids=("per_n", "per_m")))


async def test_each_row_is_looked_at_once(world: World) -> None:
    asked: list[list[str]] = []
    holding = world.text.holding

    async def seen(index: str, tenant_id: str, row_ids: Sequence[str], texts: Sequence[str]) -> frozenset[str]:
        asked.append(list(row_ids))
        return await holding(index, tenant_id, row_ids, texts)

    world.text.holding = seen  # type: ignore[method-assign]
    world.encoder.door.close()
    task = asyncio.ensure_future(frames(world, request("고양이 -개")))
    await settle()
    world.encoder.door.opened.set()
    await task
    assert asked == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("narrow", [{}, {"excluded_person_ids": ("per_m",)}])
async def test_what_cannot_be_checked_is_not_shown(world: World, narrow: dict[str, Any]) -> None:
    door = world.catalog.people_door if narrow else world.text.holder
    door.error = down()
    with pytest.raises(DependencyUnavailable):
        await frames(world, request("고양이" if narrow else "고양이 -개", **narrow))


async def test_a_check_that_is_late_fails_the_search(world: World) -> None:
    world.text.holder.close()
    seen: list[Update] = []

    async def search() -> None:
        async for update in world.searcher.search(request("고양이 -개"), deadline_s=DEADLINE_S):
            seen.append(update)  # noqa: PERF401  # what comes before the error is what is looked at

    task = asyncio.ensure_future(search())
    await settle()
    world.clock.advance(DEADLINE_S)
    with pytest.raises(DependencyUnavailable) as late:
        await task
    assert late.value.reason == "DEADLINE_EXCEEDED"
    assert seen == []
    assert world.text.holder.entered == world.text.holder.left


async def test_nothing_but_exclusions_needs_something_else(world: World) -> None:
    world.text.held = {"c": {"개"}}
    with pytest.raises(InvalidRequest, match="has nothing to look for"):
        await frames(world, request("-개"))
    world.text.hits = [said(row, 0.0, video=f"vid_{row}") for row in "bc"]
    assert rows(await done(world, request("-개", tags=("cat",)))) == ["b"]
    world.catalog.people = {"c": {"per_m": 0.9}, "d": {"per_m": 0.8}}
    assert rows(await done(world, request("-개", person_ids=("per_m",)))) == ["d"]
