"""Waves: who waits for whom, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from indexer.search.waves import Waves
from tests.unit.search.fakes import StillClock

DEADLINE_S = 30.0


class Sea:
    """Searches that begin when their wave leaves, and go on until told to end."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self.waves = Waves(self.clock)
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, deadline_s: float = DEADLINE_S) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._search(name, deadline_s))
        await settle()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            await self._tasks.pop(name)
        await settle()

    async def give_up(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def end_all(self) -> None:
        for name in list(self._tasks):
            await self.give_up(name)

    async def _search(self, name: str, deadline_s: float) -> None:
        async with self.waves.search(deadline_s) as departure:
            await departure()
            await departure()  # it has left
            self.begun.append(name)
            await self._ends[name].wait()


@pytest.fixture
async def sea() -> AsyncIterator[Sea]:
    made = Sea()
    yield made
    await made.end_all()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def four_under_way(sea: Sea) -> AsyncIterator[Callable[[], list[str]]]:
    """Yield what has begun beside four searches."""
    for name in "wxyz":
        await sea.ask(name)
        sea.clock.advance(1)
        await settle()
    assert len(sea.begun) == 4
    yield lambda: sea.begun[4:]


async def test_alone_a_search_waits_for_nobody(sea: Sea) -> None:
    await sea.ask("a")
    assert sea.begun == ["a"]


async def test_half_of_those_under_way_begin_together(sea: Sea) -> None:
    async with four_under_way(sea) as begun:
        for name in "abc":
            await sea.ask(name)
        assert begun() == []
        await sea.ask("d")
        assert sorted(begun()) == ["a", "b", "c", "d"]


async def test_when_others_end_those_who_wait_are_enough(sea: Sea) -> None:
    async with four_under_way(sea) as begun:
        await sea.ask("a")
        await sea.end("w", "x")
        assert begun() == []
        await sea.end("y")
        assert begun() == ["a"]


async def test_nobody_waits_longer_than_half_a_second(sea: Sea) -> None:
    async with four_under_way(sea) as begun:
        await sea.ask("a")
        sea.clock.advance(0.4)
        await settle()
        assert begun() == []
        sea.clock.advance(0.1)
        await settle()
        assert begun() == ["a"]


async def test_who_has_little_time_waits_for_a_tenth_of_it_and_takes_the_others_along(sea: Sea) -> None:
    async with four_under_way(sea) as begun:
        await sea.ask("a")
        await sea.ask("hurried", deadline_s=1.0)
        sea.clock.advance(0.1)
        await settle()
        assert sorted(begun()) == ["a", "hurried"]


async def test_who_gives_up_is_not_counted(sea: Sea) -> None:
    async with four_under_way(sea) as begun:
        await sea.ask("gone")
        await sea.give_up("gone")
        for name in "abc":
            await sea.ask(name)
        assert begun() == []
        await sea.ask("d")
        assert sorted(begun()) == ["a", "b", "c", "d"]
