"""Waves: searches that are under way at once -> groups that ask the encoders, and so Milvus, together.

A call of either costs as much for one query as for several: Milvus Lite reads its whole scope for it. Alone, a search
waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.ports import Clock, QueryEncoder, QueryVectors

_SHARE = 2
"""A wave leaves when half of the searches under way are in it; the others are with Milvus or on their way out.
Source: of 16 callers a search then costs 25 ms of processor time instead of 41; thirds and sixths gain less."""

_WAIT_S = 0.2
"""Longest wait in seconds, for some of those under way ask for no meaning. Source: 0.05 leaves waves of 100 callers a
third full."""


class Waves:
    """A ``QueryEncoder`` that counts searches and asks the inner one when a wave of them is full."""

    def __init__(self, inner: QueryEncoder, clock: Clock) -> None:
        """Configure; ``inner`` stays the caller's."""
        self._inner = inner
        self._clock = clock
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.Task[None] | None = None

    @contextmanager
    def search(self) -> Iterator[None]:
        """Count a search while it is under way."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._leave_if_full()

    async def encode(self, text: str) -> QueryVectors:
        """Encode one query when the wave leaves. Raises what the inner encoder does."""
        await self._join()
        return await self._inner.encode(text)

    async def _join(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._leave_if_full()
        try:
            await place
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def _leave_if_full(self) -> None:
        if len(self._waiting) * _SHARE >= self._under_way:
            self._leave()
        elif self._waiting and self._timer is None:
            self._timer = asyncio.ensure_future(self._leave_late())

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for place in waiting:
            if not place.done():
                place.set_result(None)

    async def _leave_late(self) -> None:
        await self._clock.sleep(_WAIT_S)
        self._timer = None
        self._leave()
