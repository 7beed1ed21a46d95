"""Batcher: what goes together, what waits, and who is hurt by whom."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from adapters.batcher import Batcher
from contracts.errors import DependencyUnavailable, LimitExceeded


class Calls:
    """Doubles numbers, once it may; remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return [2 * item for item in items]


def asked(batcher: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    return [asyncio.ensure_future(batcher.ask(item)) for item in items]


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_idle_calls_at_once_and_busy_collects() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=3, max_waiting=10)
    first = asked(batcher, 1)
    await settle()
    rest = asked(batcher, 2, 3, 4, 5)
    await settle()
    assert calls.batches == [[1]]
    assert batcher.waiting == 4
    calls.go.set()
    assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8, 10]
    assert calls.batches == [[1], [2, 3, 4], [5]]


async def test_kinds_do_not_mix_and_take_turns_by_age() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=2, max_waiting=10, kind=lambda item: item % 2)
    tasks = asked(batcher, 9)
    await settle()
    tasks += asked(batcher, 2, 1, 4, 3, 6, 5)
    calls.go.set()
    assert await asyncio.gather(*tasks) == [18, 4, 2, 8, 6, 12, 10]
    assert calls.batches == [[9], [2, 4], [1, 3], [6], [5]]


async def test_no_more_calls_at_once_than_allowed() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=1, max_waiting=10, max_calls=2)
    tasks = asked(batcher, 1, 2, 3)
    await settle()
    assert calls.batches == [[1], [2]]
    calls.go.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_a_caller_that_gave_up_is_not_sent() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=9, max_waiting=10)
    tasks = asked(batcher, 1)
    await settle()
    tasks += asked(batcher, 2, 3)
    await settle()
    tasks[1].cancel()
    await settle()
    calls.go.set()
    assert [await tasks[0], await tasks[2]] == [2, 6]
    assert calls.batches == [[1], [3]]


async def test_a_caller_that_gives_up_later_harms_nobody() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=9, max_waiting=10)
    tasks = asked(batcher, 1, 2)
    await settle()
    tasks[0].cancel()
    await settle()
    calls.go.set()
    assert await tasks[1] == 4


async def test_an_error_is_every_callers_of_that_call_alone() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=2, max_waiting=10)
    calls.error = DependencyUnavailable("store", "gone")
    calls.go.set()
    tasks = asked(batcher, 1, 2)
    assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [
        DependencyUnavailable
    ] * 2
    calls.error = None
    assert await batcher.ask(3) == 6


async def test_too_many_waiting_are_refused() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=1, max_waiting=2)
    tasks = asked(batcher, 1)
    await settle()
    tasks += asked(batcher, 2, 3)
    await settle()
    with pytest.raises(LimitExceeded) as refused:
        await batcher.ask(4)
    assert refused.value.retryable
    calls.go.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_who_comes_as_a_call_ends_is_served() -> None:
    calls = Calls()
    calls.go.set()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=1, max_waiting=10)

    async def chain(item: int) -> int:
        for _ in range(50):
            assert await batcher.ask(item) == 2 * item
        return item

    async with asyncio.timeout(20):
        assert await asyncio.gather(*(chain(item) for item in range(4))) == [0, 1, 2, 3]


async def test_closing_frees_everybody() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, max_batch=1, max_waiting=10)
    tasks = asked(batcher, 1)
    await settle()
    tasks += asked(batcher, 2)
    await settle()
    await batcher.close()
    assert [type(end) for end in await asyncio.gather(*tasks, return_exceptions=True)] == [asyncio.CancelledError] * 2
