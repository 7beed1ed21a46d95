"""Micro-batching: single items -> calls with several, collected while the call before is in flight; no window."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from contracts.errors import LimitExceeded

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Gathers items into calls, one call at a time. An idle batcher calls at once, a busy one with all that wait.

    A caller that is cancelled before its item is sent is left out; later, it harms nobody.
    """

    def __init__(
        self, call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], *, max_batch: int, max_waiting: int
    ) -> None:
        """Configure.

        Args:
            call: answers items in their order; its error is every caller's of that batch.
            max_batch: items of one call.
            max_waiting: items that may wait; more are refused.
        """
        self._call = call
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._draining: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many items wait to be sent."""
        return len(self._waiting)

    async def ask(self, item: Item) -> Answer:
        """Return the answer to ``item``.

        Raises: LimitExceeded (transient) when too many wait; what the call raises.
        """
        if len(self._waiting) >= self._max_waiting:
            raise LimitExceeded("too many queries wait to be encoded", metadata={"waiting": str(len(self._waiting))})
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if self._draining is None or self._draining.done():
            self._draining = loop.create_task(self._drain())
        return await future

    async def close(self) -> None:
        """Stop; whoever still waits is cancelled."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait([self._draining])
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    async def _drain(self) -> None:
        while batch := self._next():
            try:
                answers = await self._call([item for item, _ in batch])
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
            except Exception as error:  # noqa: BLE001 - belongs to the callers, who raise it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            except asyncio.CancelledError:
                for _, future in batch:
                    future.cancel()
                raise

    def _next(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        while self._waiting and len(batch) < self._max_batch:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch
