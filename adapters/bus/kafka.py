"""Kafka: records of ``contracts.ports`` <-> a real broker, by aiokafka.

Consumers are static members of their group and wait for their handler as long as it takes; what was not acknowledged
is delivered again, after a restart or to whoever gets the partition. The prefix of a deployment is seen here only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self, cast

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from contracts.errors import DependencyUnavailable, Internal
from contracts.ports import Handler, Record

BatchHandler = Callable[[Sequence[Record]], Awaitable[None]]
"""Takes records of any partitions, each partition's in order; a normal return acknowledges them all."""

BATCH_RECORDS = 200
BATCH_WAIT_S = 0.25

_ACK_TIMEOUT_S = 30.0
_SESSION_TIMEOUT_MS = 15_000  # a dead member's partitions move after this; a restarted one has them back at once
_HEARTBEAT_MS = 3_000
_REBALANCE_TIMEOUT_MS = 30_000
_MAX_POLL_INTERVAL_MS = 10 * 365 * 86_400_000  # client-side only; a member beyond it leaves and never returns: never
_FETCH_WAIT_MS = 250  # a partition that misses a long poll waits for its end
_POLL_MS = 1_000
_QUEUE_RECORDS = 100
_TICK_S = 1.0
_DEAD_AFTER_S = 15.0
_PAUSE_S = 1.0
_STILL_S = 120.0  # chosen, as the 15 s above: longer than any rebalance takes

_log = structlog.get_logger()


class KafkaProducer:
    """``contracts.ports.Producer``: acks of all replicas, idempotent, Kafka's own partitioner (murmur2 of the key).

    An asynchronous context manager; or ``start`` and ``stop``.
    """

    def __init__(self, bootstrap: str, *, prefix: str = "") -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._producer: Any = None
        self._renewal = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Connect. Raises DependencyUnavailable (transient)."""
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, linger_ms=0)
        try:
            async with asyncio.timeout(_ACK_TIMEOUT_S):
                await producer.start()
        except (KafkaError, TimeoutError) as error:
            await producer.stop()
            raise _unavailable(error) from error
        except asyncio.CancelledError:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Send what is waiting, for a while, and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop_producer(producer)

    async def send(self, record: Record) -> None:
        """Return after all replicas have it.

        Raises: DependencyUnavailable (transient; it may arrive all the same), Internal (too large; permanent).
        """
        producer = self._producer
        if producer is None:
            raise DependencyUnavailable("kafka", "the producer is not started")
        try:
            async with asyncio.timeout(_ACK_TIMEOUT_S):
                await producer.send_and_wait(
                    f"{self._prefix}{record.topic}",
                    key=record.key.encode(),
                    value=record.value,
                    headers=list(record.headers),
                )
        except MessageSizeTooLargeError as error:
            raise Internal(f"a record for {record.topic} is too large for Kafka") from error
        except TimeoutError as error:
            raise _unavailable(error) from error
        except KafkaError as error:
            if not error.retriable:  # an idempotent producer that lost its sequence never sends again
                await self._renew(producer)
            raise _unavailable(error) from error

    async def _renew(self, broken: Any) -> None:
        async with self._renewal:
            if self._producer is broken:
                await _stop_producer(broken)
                await self.start()


async def _stop_producer(producer: Any) -> None:
    try:
        async with asyncio.timeout(_ACK_TIMEOUT_S):
            await producer.stop()
    except (KafkaError, TimeoutError) as error:
        _log.warning("producer not stopped cleanly", error=type(error).__name__)


class _Member(ABC):
    """A member of a consumer group: joining, dying and leaving; how records are handed out is the subclass's."""

    def __init__(self, bootstrap: str, *, group: str, topics: Sequence[str], instance: str, prefix: str = "") -> None:
        """Name a membership.

        Args:
            topics: without prefix.
            instance: stable slot of the process; two live members of a group must not share it.
        """
        self._bootstrap = bootstrap
        self._group = group
        self._topics = tuple(topics)
        self._instance = instance
        self._prefix = prefix
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._started = False
        self._crashed = False
        self._tick_s = time.monotonic()
        self._fetched_s = time.monotonic()
        self._still = False
        self._failure: asyncio.Future[None] | None = None
        self._consumer: Any = None

    async def run(self) -> None:
        """Deliver until ``stop``. Raises what a handler raised, and what Kafka cannot get over: exit then."""
        self._started = True
        self._failure = asyncio.get_running_loop().create_future()
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stopping.wait())
        waited: set[asyncio.Future[Any]] = {work, stop, self._failure}
        try:
            while not stop.done():
                self._tick_s = time.monotonic()
                done, _ = await asyncio.wait(waited, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
                if self._failure in done:
                    self._failure.result()
                if work in done:
                    work.result()
                self._still = await self._stands_still()
        except Exception:
            self._crashed = True
            _log.exception("consumer died", group=self._group)
            raise
        finally:
            stop.cancel()
            work.cancel()
            await asyncio.wait({work})
            await self._abandon()
            await self._disconnect()
            self._ended.set()

    async def stop(self) -> None:
        """End gracefully: the record in flight stays unacknowledged."""
        self._stopping.set()
        if self._started:
            await self._ended.wait()

    def healthy(self) -> bool:
        """Return False when it has died, or stands still while there is work; a broker that is away is no illness."""
        if self._crashed or self._still:
            return False
        running = self._started and not self._ended.is_set()
        return not running or time.monotonic() - self._tick_s < _DEAD_AFTER_S

    @abstractmethod
    async def _pump(self) -> None:
        """Hand records out, for ever."""

    @abstractmethod
    async def _abandon(self) -> None:
        """Cancel what is in flight and forget what was fetched: it will be delivered again."""

    @abstractmethod
    def _busy(self) -> bool:
        """Return whether a handler has something to do."""

    async def _stands_still(self) -> bool:
        """Return whether nothing was fetched for long, though the broker answers and tells of more."""
        consumer = self._consumer
        if consumer is None or self._busy() or time.monotonic() - self._fetched_s < _STILL_S:
            return False
        try:
            async with asyncio.timeout(_TICK_S):
                for partition in consumer.assignment():
                    high, answered_ms = consumer.highwater(partition), consumer.last_poll_timestamp(partition)
                    if high is None or time.time() * 1000 - answered_ms > _DEAD_AFTER_S * 1000:
                        continue
                    if await consumer.position(partition) < high:
                        return True
        except (KafkaError, AssertionError, TimeoutError):  # the partitions are moving
            return False
        return False

    async def _work(self) -> None:
        while not await self._connect():  # noqa: ASYNC110 - nobody tells when a broker is there
            await asyncio.sleep(_PAUSE_S)
        await self._pump()
        raise Internal("the pump ended")

    async def _connect(self) -> bool:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=f"{self._prefix}{self._group}",
            group_instance_id=f"{self._group}-{self._instance}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=_SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            rebalance_timeout_ms=_REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        consumer.subscribe([f"{self._prefix}{topic}" for topic in self._topics], listener=_Listener(self._abandon))
        self._consumer = consumer
        try:
            await consumer.start()
        except KafkaError as error:  # the broker is away, or a topic is not made yet
            _log.warning("not connected", group=self._group, error=f"{type(error).__name__}: {error}")
            await self._disconnect()
            return False
        _log.info("joined", group=self._group, partitions=len(consumer.assignment()))
        return True

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(KafkaError):
                await consumer.stop()

    async def _fetch(self, timeout_s: float, max_records: int | None = None) -> Mapping[Any, Sequence[Any]]:
        """Return records. They must reach their place without an ``await`` in between: a rebalance clears those."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=max(1, round(timeout_s * 1000)), max_records=max_records)
        except KafkaError as error:
            if not error.retriable:
                raise
            _log.warning("not fetched", group=self._group, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE_S)
            return {}
        if fetched:
            self._fetched_s = time.monotonic()
        return cast("Mapping[Any, Sequence[Any]]", fetched)

    async def _commit(self, offsets: Mapping[Any, int]) -> None:
        try:
            await self._consumer.commit(dict(offsets))
        except KafkaError as error:  # the partition has moved: it is delivered again there
            _log.warning("not committed", group=self._group, error=f"{type(error).__name__}: {error}")

    def _record(self, raw: ConsumerRecord) -> Record:
        return Record(
            topic=raw.topic.removeprefix(self._prefix),
            key=(raw.key or b"").decode("utf-8", "replace"),
            value=raw.value,
            headers=tuple((name, value or b"") for name, value in raw.headers),
            partition=raw.partition,
            offset=raw.offset,
        )

    def _fail(self, error: BaseException) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Lets go of everything before partitions move."""

    def __init__(self, abandon: Callable[[], Awaitable[None]]) -> None:
        self._abandon = abandon

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Cancel all: partitions that stay are read again from their last commit, too."""
        del revoked
        await self._abandon()

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Do nothing: places are made by the first record."""
        del assigned


class KafkaConsumer(_Member):
    """``contracts.ports.Consumer``: single records, in order of their partition, one in flight a partition."""

    def __init__(
        self,
        bootstrap: str,
        *,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        instance: str,
        prefix: str = "",
    ) -> None:
        """Name a membership; see ``_Member``. ``handler`` may take minutes a record."""
        super().__init__(bootstrap, group=group, topics=topics, instance=instance, prefix=prefix)
        self._handler = handler
        self._lanes: dict[Any, _Lane] = {}

    async def _pump(self) -> None:
        while True:
            for partition, records in (await self._fetch(_POLL_MS / 1000)).items():
                lane = self._lanes.get(partition)
                if lane is None:
                    lane = self._lanes[partition] = _Lane(partial(self._take, partition), self._fail)
                lane.add(records)
                if lane.waiting > _QUEUE_RECORDS:
                    self._consumer.pause(partition)

    async def _take(self, partition: Any, raw: Any) -> None:
        if partition in self._consumer.paused() and not self._lanes[partition].waiting:
            self._consumer.resume(partition)
        await self._handler(self._record(raw))
        await self._commit({partition: raw.offset + 1})

    def _busy(self) -> bool:
        return any(lane.busy for lane in self._lanes.values())

    async def _abandon(self) -> None:
        lanes, self._lanes = self._lanes, {}
        await asyncio.gather(*(lane.end() for lane in lanes.values()))


class _Lane:
    """One partition: a short queue, and a task that takes one record after another."""

    def __init__(self, take: Callable[[Any], Awaitable[None]], fail: Callable[[BaseException], None]) -> None:
        self._take = take
        self._fail = fail
        self._queue: deque[Any] = deque()
        self._filled = asyncio.Event()
        self._ending = False
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    @property
    def waiting(self) -> int:
        """How many records are queued."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether a record is queued or in flight."""
        return bool(self._queue) or self._filled.is_set()

    def add(self, records: Sequence[Any]) -> None:
        """Queue records."""
        self._queue.extend(records)
        self._filled.set()

    async def end(self) -> None:
        """Cancel the handler and forget the queue."""
        self._ending = True
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            await self._take(self._queue.popleft())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._ending:
            return
        error = None if task.cancelled() else task.exception()
        self._fail(error or Internal("a handler was cancelled by itself"))


class KafkaBatchConsumer(_Member):
    """As ``KafkaConsumer``, with up to 200 records or 250 ms a call of the handler, and one call at a time."""

    def __init__(
        self,
        bootstrap: str,
        *,
        group: str,
        topics: Sequence[str],
        handler: BatchHandler,
        instance: str,
        prefix: str = "",
    ) -> None:
        """Name a membership; see ``_Member``."""
        super().__init__(bootstrap, group=group, topics=topics, instance=instance, prefix=prefix)
        self._handler = handler
        self._batch: list[Any] = []
        self._handling: asyncio.Task[None] | None = None
        self._generation = 0

    async def _pump(self) -> None:
        while True:
            await self._fill(_POLL_MS / 1000)
            if not self._batch:
                continue
            until_s = time.monotonic() + BATCH_WAIT_S
            while len(self._batch) < BATCH_RECORDS and (left_s := until_s - time.monotonic()) > 0:
                await self._fill(left_s)
            if self._batch:
                await self._hand_over()

    async def _fill(self, timeout_s: float) -> None:
        fetched = await self._fetch(timeout_s, BATCH_RECORDS - len(self._batch))
        self._batch.extend(raw for records in fetched.values() for raw in records)

    async def _hand_over(self) -> None:
        batch, self._batch = self._batch, []
        generation = self._generation
        handling = self._handling = asyncio.create_task(self._take(batch))
        await asyncio.wait({handling})
        if self._generation != generation:  # abandoned: the partitions have moved
            return
        self._handling = None
        if handling.cancelled():
            raise Internal("a handler was cancelled by itself")
        handling.result()

    async def _take(self, batch: Sequence[Any]) -> None:
        await self._handler([self._record(raw) for raw in batch])
        await self._commit({TopicPartition(raw.topic, raw.partition): raw.offset + 1 for raw in batch})

    def _busy(self) -> bool:
        return bool(self._batch) or self._handling is not None

    async def _abandon(self) -> None:
        self._generation += 1
        self._batch.clear()
        handling, self._handling = self._handling, None
        if handling is not None:
            handling.cancel()
            await asyncio.wait({handling})


def _unavailable(error: Exception) -> DependencyUnavailable:
    return DependencyUnavailable("kafka", f"Kafka does not answer ({type(error).__name__})")
