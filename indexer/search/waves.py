"""Waves: searches that come while others are under way -> groups that go on, and so ask each store, together.

A call of any store costs nearly as much for one search as for several: Milvus Lite reads its whole scope for it. Alone,
a search waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from contracts.ports import AlarmClock

Departure = Callable[[], Awaitable[None]]
"""Waits until a search's wave leaves; when it has left, for nothing."""

_SHARE = 2
"""A wave leaves when half of the searches under way are in it; the others are with the stores or on their way out.
Source: of 16 callers a search then costs 25 ms of processor time instead of 41; thirds and sixths gain less."""

_WAIT_S = 0.5
"""Longest wait, for when many of those under way hang on a store. Source: 0.2 leaves waves of 100 callers half full."""

_DEADLINE_SHARE = 0.1
"""Of its own time, what a search waits at most."""


async def at_once() -> None:
    """Wait for nobody: the ``Departure`` of a search that is in no wave."""


class Waves:
    """Lets searches go on."""

    def __init__(self, clock: AlarmClock) -> None:
        self._clock = clock
        self._under_way = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def search(self, deadline_s: float) -> AsyncIterator[Departure]:
        """Count a search while it is under way, and yield what it waits for before it asks what is cheaper together.

        Args:
            deadline_s: seconds from now until its caller gives up, > 0.
        """
        self._under_way += 1
        has_left = False

        async def departure() -> None:
            nonlocal has_left
            if not has_left:
                await self._departure(min(_WAIT_S, _DEADLINE_SHARE * deadline_s))
                has_left = True

        try:
            yield departure
        finally:
            self._under_way -= 1
            self._leave_if_full()

    async def _departure(self, seconds: float) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(place)
        self._leave_if_full()
        if place.done():
            return
        alarm = self._clock.call_later(seconds, self._leave)
        try:
            await place
        finally:
            alarm.cancel()
            self._waiting.discard(place)

    def _leave_if_full(self) -> None:
        if self._waiting and len(self._waiting) * _SHARE >= self._under_way:
            self._leave()

    def _leave(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for place in waiting:
            if not place.done():
                place.set_result(None)
