"""Relay: the outbox leaves once, in order of each key, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from adapters.bus.memory import MemoryBus
from adapters.catalog.sql import SqlCatalog
from adapters.catalog.temporary import temporary_catalog
from adapters.clock import SystemClock
from contracts.errors import DependencyUnavailable
from contracts.ports import Record
from control.relay.relay import LEASE, Relay

TOPIC = "heimdex-scene-v1"


class Bus(MemoryBus):
    """A bus that refuses some values for a while."""

    def __init__(self) -> None:
        super().__init__(partitions=1)
        self.refused: set[bytes] = set()
        self.refusals = 0

    async def send(self, record: Record) -> None:
        if record.value in self.refused:
            self.refusals += 1
            raise DependencyUnavailable("kafka", "away")
        await super().send(record)

    def sent(self) -> list[str]:
        return [f"{r.key}{(r.value or b'').decode()}" for r in self.records(TOPIC)]


@pytest.fixture
async def catalog() -> AsyncIterator[SqlCatalog]:
    async with temporary_catalog() as it:
        yield it


def rows(*names: str) -> list[Record]:
    return [Record(TOPIC, name[0], name[1:].encode(), (("ce_id", name.encode()),)) for name in names]


def relay(catalog: SqlCatalog, bus: Bus, holder: str = "one") -> Relay:
    return Relay(catalog, bus, SystemClock(), holder=holder)


@asynccontextmanager
async def running(it: Relay) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(it.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not true():  # noqa: ASYNC110 - the condition is anybody's
            await asyncio.sleep(0.01)


async def test_rows_leave_in_order_with_their_headers_and_are_marked(catalog: SqlCatalog) -> None:
    bus = Bus()
    await catalog.emit(rows("a1", "b1", "a2", "b2", "a3"))
    async with running(relay(catalog, bus)):
        await until(lambda: len(bus.sent()) == 5)
    assert [s for s in bus.sent() if s[0] == "a"] == ["a1", "a2", "a3"]
    assert [s for s in bus.sent() if s[0] == "b"] == ["b1", "b2"]
    assert bus.records(TOPIC)[0].headers == (("ce_id", b"a1"),)
    assert await catalog.pending() == []


async def test_rows_that_come_later_leave_soon_and_once(catalog: SqlCatalog) -> None:
    bus = Bus()
    it = relay(catalog, bus)
    async with running(it):
        for n in range(300):
            await catalog.emit(rows(f"{'abc'[n % 3]}{n}"))
        await until(lambda: len(bus.sent()) >= 300)
        assert it.healthy()
    assert sorted(bus.sent()) == sorted(f"{'abc'[n % 3]}{n}" for n in range(300))
    for key in "abc":
        numbers = [int(s[1:]) for s in bus.sent() if s[0] == key]
        assert numbers == sorted(numbers)


async def test_a_key_stops_at_its_first_failure_and_others_go_on(catalog: SqlCatalog) -> None:
    bus = Bus()
    bus.refused = {b"1"}
    await catalog.emit(rows("a1", "a2", "b7", "b8"))
    async with running(relay(catalog, bus)):
        await until(lambda: bus.refusals >= 2)
        assert bus.sent() == ["b7", "b8"]
        bus.refused = set()
        await until(lambda: len(bus.sent()) == 4)
    assert bus.sent() == ["b7", "b8", "a1", "a2"]


async def test_what_could_not_be_marked_is_not_sent_again(catalog: SqlCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus()
    mark, failures = catalog.mark_sent, iter([True, True])

    async def fails_twice(sent: list[int], now_ms: int) -> None:
        if next(failures, False):
            raise DependencyUnavailable("catalog", "away")
        await mark(sent, now_ms)

    monkeypatch.setattr(catalog, "mark_sent", fails_twice)
    await catalog.emit(rows("a1", "a2"))
    async with running(relay(catalog, bus)):
        await until(lambda: len(bus.sent()) == 2)
        await catalog.emit(rows("a3"))
        await until(lambda: len(bus.sent()) >= 3)
    assert bus.sent() == ["a1", "a2", "a3"]
    assert await catalog.pending() == []


async def test_only_the_holder_of_the_lease_sends_and_it_is_given_back(catalog: SqlCatalog) -> None:
    bus, clock = Bus(), SystemClock()
    assert await catalog.acquire_lease(LEASE, "another", clock.now_ms(), 60_000)
    await catalog.emit(rows("a1"))
    it = relay(catalog, bus)
    async with running(it):
        await asyncio.sleep(0.5)  # long enough for several turns
        assert bus.sent() == []
        assert it.healthy()
        assert await catalog.acquire_lease(LEASE, "another", clock.now_ms(), 0)
        await until(lambda: bus.sent() == ["a1"])
        assert not await catalog.acquire_lease(LEASE, "another", clock.now_ms(), 1000)
    assert await catalog.acquire_lease(LEASE, "another", clock.now_ms(), 1000)


async def test_a_catalogue_that_fails_does_not_end_it(catalog: SqlCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus()
    pending, calls = catalog.pending, 0

    async def fails_at_first(*, limit: int = 200) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise DependencyUnavailable("catalog", "away")
        if calls == 2:
            raise ZeroDivisionError
        return await pending(limit=limit)

    monkeypatch.setattr(catalog, "pending", fails_at_first)
    await catalog.emit(rows("a1"))
    async with running(relay(catalog, bus)) as task:
        await until(lambda: bus.sent() == ["a1"])
        assert not task.done()
    assert calls >= 3


async def test_at_a_stop_what_is_pending_leaves_first(catalog: SqlCatalog) -> None:
    bus = Bus()
    it = relay(catalog, bus)
    task = asyncio.create_task(it.run())
    await until(it._leads)
    names = [f"{'abc'[n % 3]}{n}" for n in range(450)]  # more than one look at the outbox brings
    await catalog.emit(rows(*names))
    await it.stop()
    async with asyncio.timeout(15):
        await task
    assert sorted(bus.sent()) == sorted(names)
    assert await catalog.pending() == []
    assert await catalog.acquire_lease(LEASE, "another", SystemClock().now_ms(), 1000)


async def test_a_bus_that_is_away_does_not_hold_up_a_stop_and_nothing_is_lost(catalog: SqlCatalog) -> None:
    bus = Bus()
    bus.refused = {b"1"}
    await catalog.emit(rows("a1", "a2"))
    it = relay(catalog, bus)
    task = asyncio.create_task(it.run())
    await until(lambda: bus.refusals > 0)
    await it.stop()
    async with asyncio.timeout(15):
        await task
    assert bus.sent() == []
    assert [row.record.key for row in await catalog.pending()] == ["a", "a"]
