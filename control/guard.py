"""Guard: a handler that raises the error tree -> one from which only CancelledError escapes, so nothing is skipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import structlog

from contracts import codec, facts
from contracts.errors import BadArtifact, HeimdexError, Internal
from contracts.ports import Clock, Handler, Producer, Record
from heimdex.events.v1 import context_pb2

T = TypeVar("T")

_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

_log = structlog.get_logger()


class Guard:
    """Takes a record to its end: handled, after however many tries, or a dead letter."""

    def __init__(self, consumer: str, handler: Handler, producer: Producer, clock: Clock) -> None:
        """Wire; ``consumer`` is the control's noun."""
        self._consumer = consumer
        self._handler = handler
        self._producer = producer
        self._clock = clock

    async def handle(self, record: Record) -> None:
        """Handle a record; what time does not heal becomes a dead letter."""
        try:
            await insist(lambda: self._handler(record), self._clock, what=self._consumer)
        except HeimdexError as error:
            await self._give_up(record, error)
        except Exception as error:  # noqa: BLE001 - a defect becomes a typed state
            _log.exception("handler failed", consumer=self._consumer, topic=record.topic, key=record.key)
            await self._give_up(record, Internal(f"{type(error).__name__} in {self._consumer}"))

    async def _give_up(self, record: Record, error: HeimdexError) -> None:
        now_ms = self._clock.now_ms()
        letter = facts.dead_letter(self._consumer, record, error, attempts=1, now_ms=now_ms, context=_context(record))
        await insist(lambda: self._producer.send(letter), self._clock, what="dead letter")
        _log.error("dead letter", consumer=self._consumer, key=record.key, reason=error.reason, error=error.message)


def _context(record: Record) -> context_pb2.EventContext:
    """Return what the record says of tenant, video and revision, as far as it can be read."""
    try:
        message = codec.decode(record)
    except BadArtifact:
        return context_pb2.EventContext(tenant_id=codec.headers(record).get("ce_tenantid", ""))
    context = getattr(message, "context", None)
    if isinstance(context, context_pb2.EventContext):
        return context
    return context_pb2.EventContext(
        tenant_id=getattr(message, "tenant_id", ""), video_id=getattr(message, "video_id", "")
    )


def together(handle: Callable[[Record], Coroutine[Any, Any, None]]) -> Callable[[Sequence[Record]], Awaitable[None]]:
    """Return a handler of batches that takes all records of one at once: for work that mostly waits."""

    async def handle_all(records: Sequence[Record]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for record in records:
                tasks.create_task(handle(record))

    return handle_all


async def insist(work: Callable[[], Awaitable[T]], clock: Clock, *, what: str) -> T:
    """Do ``work`` until it does not fail for a passing reason. Raises HeimdexError (permanent) and defects."""
    pause = 0
    while True:
        try:
            return await work()
        except HeimdexError as error:
            if not error.retryable:
                raise
            _log.warning("waiting", what=what, reason=error.reason, error=error.message)
        await clock.sleep(_BACKOFF_S[min(pause, len(_BACKOFF_S) - 1)])
        pause += 1
