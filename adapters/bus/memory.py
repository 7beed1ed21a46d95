"""Memory bus: the bus ports within one event loop, for tests: partitions, groups and redelivery, without a broker."""

from __future__ import annotations

import asyncio
import zlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from contracts.errors import Internal
from contracts.ports import Handler, Record

_Place = tuple[str, int]

BATCH_RECORDS = 200
BATCH_WAIT_S = 0.25


class MemoryBus:
    """Topics of one deployment; they come into being by their first use."""

    def __init__(self, *, partitions: int = 4) -> None:
        self._partitions = partitions
        self._logs: dict[_Place, list[Record]] = {}
        self._committed: dict[tuple[str, _Place], int] = {}
        self._groups: dict[str, list[_Member]] = {}
        self._arrival = asyncio.Event()

    async def send(self, record: Record) -> None:
        """Append to the partition of its key: the bus is its own ``Producer``."""
        partition = zlib.crc32(record.key.encode()) % self._partitions
        log = self._log((record.topic, partition))
        log.append(replace(record, partition=partition, offset=len(log)))
        self._arrival.set()
        self._arrival = asyncio.Event()

    def records(self, topic: str) -> list[Record]:
        """Return all records of a topic, partition by partition."""
        return [record for place in self._places([topic]) for record in self._log(place)]

    def consumer(self, *, group: str, topics: Sequence[str], handler: Handler) -> MemoryConsumer:
        """Return a member that takes single records."""
        return MemoryConsumer(self, group, topics, handler)

    def batch_consumer(
        self, *, group: str, topics: Sequence[str], handler: Callable[[Sequence[Record]], Awaitable[None]]
    ) -> MemoryBatchConsumer:
        """Return a member that takes up to 200 records or what came in 250 ms."""
        return MemoryBatchConsumer(self, group, topics, handler)

    # ------------------------------------------------------------------------------------- for the members

    def _log(self, place: _Place) -> list[Record]:
        return self._logs.setdefault(place, [])

    def _places(self, topics: Sequence[str]) -> list[_Place]:
        return [(topic, partition) for topic in topics for partition in range(self._partitions)]

    def _waiting(self, group: str, place: _Place) -> list[Record]:
        return self._log(place)[self._committed.get((group, place), 0) :]

    def _commit(self, group: str, record: Record) -> None:
        self._committed[group, (record.topic, record.partition)] = record.offset + 1

    async def _change_members(self, group: str, *, joins: _Member | None = None, leaves: _Member | None = None) -> None:
        members = self._groups.setdefault(group, [])
        for member in members:
            await member.revoke()
        self._groups[group] = members = [m for m in (*members, joins) if m is not None and m is not leaves]
        for index, member in enumerate(members):
            member.assign([place for i, place in enumerate(self._places(member.topics)) if i % len(members) == index])


class _Member(ABC):
    """A member of a group."""

    def __init__(self, bus: MemoryBus, group: str, topics: Sequence[str]) -> None:
        self.topics = tuple(topics)
        self._bus = bus
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()
        self._revoked: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._started = False
        self._crashed = False

    async def run(self) -> None:
        """Deliver until ``stop``. Raises what a handler raised."""
        self._started = True
        self._failure = asyncio.get_running_loop().create_future()
        await self._bus._change_members(self._group, joins=self)  # noqa: SLF001 - one module, two halves
        stop = asyncio.create_task(self._stopping.wait())
        waited: set[asyncio.Future[object]] = {stop, self._failure}  # type: ignore[arg-type]  # asyncio.wait takes futures of any result
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._crashed = True
                self._failure.result()
        finally:
            stop.cancel()
            await self.revoke()
            await self._bus._change_members(self._group, leaves=self)  # noqa: SLF001
            self._ended.set()

    async def stop(self) -> None:
        """End gracefully: the record in flight stays unacknowledged."""
        self._stopping.set()
        if self._started:
            await self._ended.wait()

    def healthy(self) -> bool:
        """Return False when a handler has raised."""
        return not self._crashed

    @abstractmethod
    def assign(self, places: Sequence[_Place]) -> None:
        """Begin with these partitions."""

    async def revoke(self) -> None:
        """Cancel what is in flight."""
        tasks, self._tasks = self._tasks, set()
        self._revoked |= tasks
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._revoked -= tasks

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Future[None]) -> None:
        if task in self._revoked or self._failure is None or self._failure.done():
            return
        error = None if task.cancelled() else task.exception()
        self._failure.set_exception(error or Internal("a handler was cancelled by itself"))


class MemoryConsumer(_Member):
    """``contracts.ports.Consumer``: single records, in order of their partition, one in flight a partition."""

    def __init__(self, bus: MemoryBus, group: str, topics: Sequence[str], handler: Handler) -> None:
        super().__init__(bus, group, topics)
        self._handler = handler

    def assign(self, places: Sequence[_Place]) -> None:
        """Begin with these partitions."""
        for place in places:
            self._start(self._deliver(place))

    async def _deliver(self, place: _Place) -> None:
        bus = self._bus
        while True:
            waiting = bus._waiting(self._group, place)  # noqa: SLF001
            if not waiting:
                await bus._arrival.wait()  # noqa: SLF001
                continue
            await self._handler(waiting[0])
            bus._commit(self._group, waiting[0])  # noqa: SLF001


class MemoryBatchConsumer(_Member):
    """As ``MemoryConsumer``, with many records a call of the handler, and one call at a time."""

    def __init__(
        self,
        bus: MemoryBus,
        group: str,
        topics: Sequence[str],
        handler: Callable[[Sequence[Record]], Awaitable[None]],
    ) -> None:
        super().__init__(bus, group, topics)
        self._handler = handler

    def assign(self, places: Sequence[_Place]) -> None:
        """Begin with these partitions."""
        self._start(self._deliver(places))

    async def _deliver(self, places: Sequence[_Place]) -> None:
        bus = self._bus
        while True:
            batch = self._waiting(places)
            if not batch:
                await bus._arrival.wait()  # noqa: SLF001
                continue
            if len(batch) < BATCH_RECORDS:
                await asyncio.sleep(BATCH_WAIT_S)
                batch = self._waiting(places)
            await self._handler(batch)
            for record in batch:
                bus._commit(self._group, record)  # noqa: SLF001

    def _waiting(self, places: Sequence[_Place]) -> list[Record]:
        bus = self._bus
        return [r for place in places for r in bus._waiting(self._group, place)][:BATCH_RECORDS]  # noqa: SLF001
