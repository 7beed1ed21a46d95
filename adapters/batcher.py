"""Micro-batching: single items -> calls with several, collected while the calls before are in flight; no window."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar, cast

from contracts.errors import LimitExceeded

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def _all_alike(_: object) -> Hashable:
    return None


class Batcher(Generic[Item, Answer]):
    """Gathers items into calls. An idle batcher calls at once, a busy one with all of one kind that wait.

    Kinds take turns in the order of their oldest item. A caller that is cancelled before its item is sent is left out;
    later, it harms nobody.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        max_batch: int,
        max_waiting: int,
        max_calls: int = 1,
        kind: Callable[[Item], Hashable] = _all_alike,
    ) -> None:
        """Configure.

        Args:
            call: answers items of one kind in their order; its error is every caller's of that batch.
            max_batch: items of one call.
            max_waiting: items that may wait; more are refused.
            max_calls: calls in flight at once.
            kind: what items must have in common to go together.
        """
        self._call = call
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._max_calls = max_calls
        self._kind = kind
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._draining: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many items wait to be sent."""
        return len(self._waiting)

    async def ask(self, item: Item) -> Answer:
        """Return the answer to ``item``.

        Raises: LimitExceeded (transient) when too many wait; what the call raises.
        """
        if len(self._waiting) >= self._max_waiting:
            raise LimitExceeded("too many queries wait; try again", metadata={"waiting": str(len(self._waiting))})
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._draining) < self._max_calls:
            self._draining.add(loop.create_task(self._drain()))
        return await future

    async def close(self) -> None:
        """Stop; whoever still waits is cancelled."""
        draining, self._draining = self._draining, set()
        for task in draining:
            task.cancel()
        if draining:
            await asyncio.wait(draining)
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    async def _drain(self) -> None:
        try:
            while batch := self._next():
                await self._send(batch)
        finally:  # in the same breath as seeing that nothing waits: the next item must find this call ended
            self._draining.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
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
        """Take the oldest item that is still wanted and those of its kind; the rest keep their order."""
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        others: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        kind: Hashable = None
        while self._waiting and len(batch) < self._max_batch:
            item, future = self._waiting.popleft()
            if future.done():
                continue
            if not batch:
                kind = self._kind(item)
            if self._kind(item) == kind:
                batch.append((item, future))
            else:
                others.append((item, future))
        self._waiting.extendleft(reversed(others))
        return batch
