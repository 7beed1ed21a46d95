"""Searchers: that of the active generation, looked up once a second whoever asks."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import pytest

from contracts.catalog import Catalog, Generation
from contracts.errors import DependencyUnavailable
from gateway.searchers import FRESH_S, Searchers
from indexer.schema.schema import first_generation
from indexer.search.searcher import Searcher
from indexer.search.types import FrameKind, SearchRequest
from tests.unit.search.fakes import TENANT, StillClock, World


class Generations:
    """The part of the catalogue that is read."""

    def __init__(self) -> None:
        self.active = first_generation("t.1", "v.1")
        self.looks = 0
        self.opened = asyncio.Event()
        self.opened.set()

    async def active_generation(self) -> Generation:
        self.looks += 1
        await self.opened.wait()
        return self.active


def wired() -> tuple[Generations, StillClock, list[Generation], Searchers]:
    catalog, clock, made = Generations(), StillClock(), []

    def make(generation: Generation) -> Searcher:
        made.append(generation)
        return World().searcher

    return catalog, clock, made, Searchers(cast("Catalog", catalog), make, clock)


async def test_one_look_serves_everybody_for_a_while() -> None:
    catalog, clock, made, searchers = wired()
    found: list[Any] = await asyncio.gather(*(searchers.active(timeout_s=30) for _ in range(5)))
    assert len({id(active.searcher) for active in found}) == 1
    assert catalog.looks == 1
    clock.advance(FRESH_S)
    await searchers.active(timeout_s=30)
    assert (catalog.looks, len(made)) == (2, 1)


async def test_a_promotion_is_seen_and_taken_back() -> None:
    catalog, clock, made, searchers = wired()
    first = await searchers.active(timeout_s=30)
    catalog.active = replace(catalog.active, generation=2, text_model="t.2")
    clock.advance(FRESH_S)
    second = await searchers.active(timeout_s=30)
    assert second.generation.generation == 2
    assert second.searcher is not first.searcher
    catalog.active = first.generation
    clock.advance(FRESH_S)
    assert (await searchers.active(timeout_s=30)).generation is first.generation
    assert len(made) == 3


async def test_only_searches_under_way_hold_what_was_active_before() -> None:
    catalog, clock, _, searchers = wired()
    before = (await searchers.active(timeout_s=30)).searcher
    held = weakref.ref(before)
    async with aclosing(before.search(SearchRequest(TENANT, "고양이"), deadline_s=10.0)) as updates:
        del before
        catalog.active = replace(catalog.active, generation=2)
        clock.advance(FRESH_S)
        after = (await searchers.active(timeout_s=30)).searcher
        assert held() not in {None, after}
        assert [update.kind async for update in updates][-1] is FrameKind.DONE
    assert held() is None


async def test_a_catalogue_that_hangs_is_not_waited_for() -> None:
    catalog, _, _, searchers = wired()
    catalog.opened.clear()
    with pytest.raises(DependencyUnavailable) as late:
        await searchers.active(timeout_s=0.01)
    assert (late.value.dependency, late.value.reason) == ("catalog", "DEADLINE_EXCEEDED")
    catalog.opened.set()
    assert (await searchers.active(timeout_s=30)).generation is catalog.active
