"""One suite for the bus ports, on the memory bus and on a real Kafka, read by aiokafka and by Faust."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest

from adapters.bus.memory import MemoryBus
from contracts import flow
from contracts.errors import DependencyUnavailable, Internal, PreconditionFailed
from contracts.ports import Consumer, Handler, Producer, Record

if TYPE_CHECKING:
    from adapters.bus.faust import FaustConsumer

TOPIC = "heimdex-video-uploaded-v1"
GROUP = "heimdex-trial"
PARTITIONS = 3

BatchHandler = Callable[[Sequence[Record]], Awaitable[None]]


class Bus(Protocol):
    """What the suite needs of a bus."""

    producer: Producer

    def consumer(self, handler: Handler, instance: str = "0", group: str = GROUP) -> Consumer: ...

    def batch_consumer(self, handler: BatchHandler) -> Consumer: ...


class OnMemory:
    """The memory bus."""

    def __init__(self) -> None:
        self._bus = MemoryBus(partitions=PARTITIONS)
        self.producer: Producer = self._bus

    def consumer(self, handler: Handler, instance: str = "0", group: str = GROUP) -> Consumer:
        return self._bus.consumer(group=group, topics=[TOPIC], handler=handler)

    def batch_consumer(self, handler: BatchHandler) -> Consumer:
        return self._bus.batch_consumer(group=GROUP, topics=[TOPIC], handler=handler)


class OnKafka:
    """One topic of a real broker."""

    def __init__(self, bootstrap: str, prefix: str, producer: Producer) -> None:
        self.producer: Producer = producer
        self._bootstrap, self._prefix = bootstrap, prefix

    def consumer(self, handler: Handler, instance: str = "0", group: str = GROUP) -> Consumer:
        from adapters.bus.kafka import KafkaConsumer

        return KafkaConsumer(
            self._bootstrap, group=group, topics=[TOPIC], handler=handler, instance=instance, prefix=self._prefix
        )

    def batch_consumer(self, handler: BatchHandler) -> Consumer:
        from adapters.bus.kafka import KafkaBatchConsumer

        return KafkaBatchConsumer(
            self._bootstrap, group=GROUP, topics=[TOPIC], handler=handler, instance="0", prefix=self._prefix
        )


class OnFaust(OnKafka):
    """One topic of a real broker, read by Faust."""

    def consumer(
        self, handler: Handler, instance: str = "0", group: str = GROUP, form: type[FaustConsumer] | None = None
    ) -> Consumer:
        from adapters.bus.faust import FaustConsumer

        return (form or FaustConsumer)(
            self._bootstrap, group=group, topics=[TOPIC], handler=handler, instance=instance, prefix=self._prefix
        )


MEMORY = "memory"
KAFKA = pytest.param("kafka", marks=pytest.mark.integration)
FAUST = pytest.param("faust", marks=pytest.mark.integration)


@pytest.fixture(params=[MEMORY, KAFKA, FAUST])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "memory":
        yield OnMemory()
        return
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    from adapters.bus.kafka import KafkaProducer

    bootstrap = request.getfixturevalue("servers").kafka
    prefix = f"bus{secrets.token_hex(4)}-"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{prefix}{TOPIC}", PARTITIONS, 1)])
        async with KafkaProducer(bootstrap, prefix=prefix) as producer:
            form = OnFaust if request.param == "faust" else OnKafka
            yield form(bootstrap, prefix, producer)
        await admin.delete_topics([f"{prefix}{TOPIC}"])
    finally:
        await admin.close()


async def until(true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 - the condition is anybody's
            await asyncio.sleep(0.01)


class Running:
    """A consumer that runs within a ``with``."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.consumer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(20):
            await self.consumer.stop()
            await asyncio.wait({self.task})


class Taking:
    """A handler that remembers, and waits or fails where it is told to."""

    def __init__(self, *, holds: str = "", fails: str = "") -> None:
        self.begun: list[Record] = []
        self.taken: list[Record] = []
        self.release = asyncio.Event()
        self._holds, self._fails = holds, fails

    async def __call__(self, record: Record) -> None:
        self.begun.append(record)
        value = (record.value or b"").decode()
        if self._holds and value == self._holds:
            await self.release.wait()
        if self._fails and value == self._fails:
            raise RuntimeError("cannot")
        self.taken.append(record)

    def values(self, key: str | None = None) -> list[str]:
        return [(r.value or b"").decode() for r in self.taken if key in (None, r.key)]


def record(key: str, value: str | None = "", **more: Any) -> Record:
    return Record(TOPIC, key, None if value is None else value.encode(), **more)


async def keys_of_two_partitions(bus: Bus) -> tuple[str, str]:
    """Find out, by sending, two keys that lie in different partitions."""
    taking = Taking()
    async with Running(bus.consumer(taking)):
        for i in range(16):
            await bus.producer.send(record(f"k{i}", "probe"))
        await until(lambda: len(taking.taken) == 16)
    by_partition = {r.partition: r.key for r in taking.taken}
    first, second, *_ = by_partition.values()
    return first, second


async def test_a_record_arrives_as_it_was_sent(bus: Bus) -> None:
    taking = Taking()
    headers = (("ce_id", b"1"), ("empty", b""), ("again", b"a"), ("again", b"b"))
    async with Running(bus.consumer(taking)):
        await bus.producer.send(record("vid_1", "body", headers=headers))
        await bus.producer.send(record("vid_1", None))
        await until(lambda: len(taking.taken) == 2)
    first, tombstone = taking.taken
    assert (first.topic, first.key, first.value, first.headers) == (TOPIC, "vid_1", b"body", headers)
    assert 0 <= first.partition < PARTITIONS
    assert tombstone.value is None
    assert (tombstone.partition, tombstone.offset) == (first.partition, first.offset + 1)


async def test_records_of_a_key_come_in_order_from_one_partition(bus: Bus) -> None:
    taking = Taking()
    keys = [f"key-{i}" for i in range(9)]
    for n in range(20):
        for key in keys:
            await bus.producer.send(record(key, str(n)))
    async with Running(bus.consumer(taking)):
        await until(lambda: len(taking.taken) == 180)
    for key in keys:
        assert taking.values(key) == [str(n) for n in range(20)]
        assert len({r.partition for r in taking.taken if r.key == key}) == 1
    assert len({r.partition for r in taking.taken}) > 1


async def test_one_is_in_flight_a_partition_and_others_go_on(bus: Bus) -> None:
    slow, quick = await keys_of_two_partitions(bus)
    taking = Taking(holds="hold")

    def begun(key: str) -> list[bytes | None]:
        return [r.value for r in taking.begun if r.key == key]

    async with Running(bus.consumer(taking)):
        await bus.producer.send(record(slow, "hold"))
        await bus.producer.send(record(slow, "next"))
        await bus.producer.send(record(quick, "passes"))
        # Partitions wait for nobody: what passes may be there before what holds.
        await until(lambda: "passes" in taking.values() and b"hold" in begun(slow))
        assert begun(slow)[-1] == b"hold"  # the last probe may come once more before it
        taking.release.set()
        await until(lambda: "next" in taking.values())
    assert taking.values(slow)[-2:] == ["hold", "next"]


async def test_a_slow_handler_gets_a_long_queue_in_order(bus: Bus) -> None:
    taking = Taking(holds="0")
    async with Running(bus.consumer(taking)):
        await asyncio.gather(*(bus.producer.send(record("k", str(n))) for n in range(500)))
        await until(lambda: bool(taking.begun))
        taking.release.set()
        await until(lambda: len(taking.taken) == 500)
    assert taking.values() == [str(n) for n in range(500)]


async def test_what_was_not_acknowledged_is_delivered_again_and_nothing_else(bus: Bus) -> None:
    first = Taking(holds="hold")
    async with Running(bus.consumer(first)):
        for value in ("done", "hold", "after"):
            await bus.producer.send(record("k", value))
        await until(lambda: len(first.begun) == 2)
    assert first.values() == ["done"]
    second = Taking()
    async with Running(bus.consumer(second)):
        await until(lambda: len(second.taken) == 2)
    assert second.values() == ["hold", "after"]


async def test_a_handler_that_raises_ends_the_consumer_and_skips_nothing(bus: Bus) -> None:
    failing = Taking(fails="bad")
    consumer = bus.consumer(failing)
    for value in ("good", "bad", "later"):
        await bus.producer.send(record("k", value))
    assert consumer.healthy()
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeError, match="cannot"):
            await consumer.run()
    assert not consumer.healthy()
    assert [r.value for r in failing.begun] == [b"good", b"bad"]
    taking = Taking()
    async with Running(bus.consumer(taking)) as running:
        await until(lambda: len(taking.taken) == 2)
        assert running.consumer.healthy()
    assert taking.values() == ["bad", "later"]


async def test_a_handler_that_cancels_itself_acknowledges_nothing(bus: Bus) -> None:
    async def cancels(_: Record) -> None:
        raise asyncio.CancelledError

    await bus.producer.send(record("k", "x"))
    consumer = bus.consumer(cancels)
    async with asyncio.timeout(30):
        with pytest.raises(Exception, match="cancelled"):
            await consumer.run()
    taking = Taking()
    async with Running(bus.consumer(taking)):
        await until(lambda: taking.values() == ["x"])


async def test_a_second_member_shares_the_work_and_nothing_is_lost(bus: Bus) -> None:
    one, two = Taking(), Taking()
    keys = [f"key-{i}" for i in range(12)]
    async with Running(bus.consumer(one, "0")):
        await bus.producer.send(record("key-0", "first"))
        await until(lambda: bool(one.taken))
        async with Running(bus.consumer(two, "1")):
            n = 0
            async with asyncio.timeout(40):
                while not two.taken:
                    for key in keys:
                        await bus.producer.send(record(key, str(n)))
                    n += 1
                    await asyncio.sleep(0.05)
            sent = {(key, str(i)) for key in keys for i in range(n)}
            await until(lambda: sent <= {(r.key, (r.value or b"").decode()) for r in one.taken + two.taken})


@pytest.mark.parametrize("bus", [MEMORY, KAFKA], indirect=True)
async def test_batches_are_bounded_in_order_and_acknowledged_together(bus: Bus) -> None:
    batches: list[list[Record]] = []

    async def take(records: Sequence[Record]) -> None:
        batches.append(list(records))

    for n in range(500):
        await bus.producer.send(record(f"key-{n % 5}", str(n)))
    async with Running(bus.batch_consumer(take)):
        await until(lambda: sum(map(len, batches)) == 500)
    assert max(map(len, batches)) <= 200
    assert len(batches) < 50
    taken = [r for batch in batches for r in batch]
    for key in {r.key for r in taken}:
        numbers = [int(r.value or b"") for r in taken if r.key == key]
        assert numbers == sorted(numbers)
    batches.clear()
    await bus.producer.send(record("key-1", "500"))
    async with Running(bus.batch_consumer(take)):
        await until(lambda: bool(batches))
    assert [r.value for batch in batches for r in batch] == [b"500"]


@pytest.mark.parametrize("bus", [MEMORY, KAFKA], indirect=True)
async def test_a_batch_that_was_not_acknowledged_is_delivered_again(bus: Bus) -> None:
    held = asyncio.Event()

    async def hold(_: Sequence[Record]) -> None:
        held.set()
        await asyncio.Event().wait()

    for n in range(3):
        await bus.producer.send(record("k", str(n)))
    async with Running(bus.batch_consumer(hold)):
        await asyncio.wait_for(held.wait(), 30)

    async def fail(_: Sequence[Record]) -> None:
        raise RuntimeError("cannot")

    failing = bus.batch_consumer(fail)
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeError, match="cannot"):
            await failing.run()
    assert not failing.healthy()

    taken: list[bytes | None] = []

    async def take(records: Sequence[Record]) -> None:
        taken.extend(r.value for r in records)

    async with Running(bus.batch_consumer(take)):
        await until(lambda: len(taken) == 3)
    assert taken == [b"0", b"1", b"2"]


# ------------------------------------------------------------------------------- what only a broker can show


async def test_a_producer_without_its_broker_fails_for_a_while(unused_tcp_port: int) -> None:
    from adapters.bus.kafka import KafkaProducer

    producer = KafkaProducer(f"127.0.0.1:{unused_tcp_port}")
    with pytest.raises(DependencyUnavailable):
        await producer.start()
    with pytest.raises(DependencyUnavailable):
        await producer.send(record("k", "x"))
    await producer.stop()


@pytest.mark.parametrize("form", [OnKafka, OnFaust])
async def test_a_broker_that_is_away_is_waited_for_and_no_illness(form: type[OnKafka], unused_tcp_port: int) -> None:
    nowhere = form(f"127.0.0.1:{unused_tcp_port}", "", MemoryBus())
    consumer = nowhere.consumer(Taking())
    async with Running(consumer) as running:
        await asyncio.sleep(0)
        assert consumer.healthy()
        assert not running.task.done()
    assert running.task.done()


@pytest.mark.parametrize("bus", [KAFKA], indirect=True)
async def test_a_consumer_that_fetches_nothing_though_there_is_more_is_ill(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters.bus import kafka

    monkeypatch.setattr(kafka, "_STILL_S", 0.5)
    taking = Taking()
    consumer = bus.consumer(taking)
    async with Running(consumer):
        await bus.producer.send(record("k", "x"))
        await until(lambda: len(taking.taken) == 1)
        await asyncio.sleep(2)  # idle for longer than the limit, with nothing to do
        assert consumer.healthy()

        fetching_is_stuck = asyncio.Event()

        async def stuck(*_: object, **__: object) -> dict[object, object]:
            fetching_is_stuck.set()
            await asyncio.sleep(0.05)
            return {}

        monkeypatch.setattr(consumer, "_fetch", stuck)
        await fetching_is_stuck.wait()
        for n in range(3):
            await bus.producer.send(record("k", str(n)))
        await until(lambda: not consumer.healthy())
        assert len(taking.taken) == 1


@pytest.mark.parametrize("bus", [FAUST], indirect=True)
async def test_a_faust_app_that_fetches_nothing_though_there_is_more_is_ill(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters.bus import faust

    monkeypatch.setattr(faust, "_STILL_S", 0.5)
    monkeypatch.setattr(faust, "_LOOK_S", 0.0)
    taking = Taking()
    consumer = bus.consumer(taking)
    assert isinstance(consumer, faust.FaustConsumer)
    async with Running(consumer):
        await bus.producer.send(record("k", "x"))
        await until(lambda: len(taking.taken) == 1)
        await asyncio.sleep(3)  # idle for longer than the limit, with nothing to do
        assert consumer.healthy()
        assert consumer.ready()
        await consumer._app._fetcher.stop()
        await bus.producer.send(record("k", "y"))
        await until(lambda: not consumer.healthy())
        assert len(taking.taken) == 1


@pytest.mark.parametrize("part", ["consumer", "_fetcher", "topics"])
@pytest.mark.parametrize("bus", [FAUST], indirect=True)
async def test_a_faust_app_that_crashes_ends_its_consumer(bus: Bus, part: str) -> None:
    from adapters.bus.faust import FaustConsumer

    consumer = bus.consumer(Taking())
    assert isinstance(consumer, FaustConsumer)
    running = asyncio.create_task(consumer.run())
    await until(consumer.ready)
    await getattr(consumer._app, part).crash(RuntimeError("broken"))
    async with asyncio.timeout(30):
        with pytest.raises(Internal, match="died"):
            await running
    assert not consumer.healthy()


@pytest.mark.parametrize("bus", [FAUST], indirect=True)
async def test_several_faust_apps_run_in_one_process(bus: Bus) -> None:
    takings = [Taking() for _ in range(3)]
    consumers = [bus.consumer(taking, group=f"{GROUP}-{i}") for i, taking in enumerate(takings)]
    async with contextlib.AsyncExitStack() as stack:
        for consumer in consumers:
            await stack.enter_async_context(Running(consumer))
        await bus.producer.send(record("k", "x"))
        await until(lambda: all(taking.values() == ["x"] for taking in takings))


@pytest.mark.parametrize("bus", [FAUST], indirect=True)
async def test_faust_itself_commits_past_a_record_that_was_not_acknowledged(bus: Bus) -> None:
    """The reason why an actor never takes a record before the one in front of it is acknowledged."""
    from adapters.bus.faust import FaustConsumer

    seen: list[int] = []

    class Skipping(FaustConsumer):
        """Goes on without acknowledging the second record."""

        async def _act(self, stream: Any) -> None:
            async for event in stream.noack().events():
                seen.append(event.message.offset)
                if event.message.offset != 1:
                    event.ack()

    assert isinstance(bus, OnFaust)
    for value in ("first", "lost", "third"):
        await bus.producer.send(record("k", value))
    async with Running(bus.consumer(Taking(), form=Skipping)):
        await until(lambda: seen == [0, 1, 2])
    await bus.producer.send(record("k", "fourth"))
    taking = Taking()
    async with Running(bus.consumer(taking)):
        await until(lambda: "fourth" in taking.values())
    assert taking.values() == ["fourth"]


@pytest.mark.integration
async def test_topics_are_made_once_as_the_flow_says(request: pytest.FixtureRequest) -> None:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    from adapters.bus.topics import delete_topics, ensure_topics, topics_present

    bootstrap = request.getfixturevalue("servers").kafka
    prefix = f"top{secrets.token_hex(4)}-"
    assert not await topics_present(bootstrap, prefix=prefix)
    try:
        await asyncio.gather(*(ensure_topics(bootstrap, prefix=prefix, partitions=1) for _ in range(2)))
        await ensure_topics(bootstrap, prefix=prefix, partitions=1)
        assert await topics_present(bootstrap, prefix=prefix)
        with pytest.raises(PreconditionFailed, match="1 partitions, not 2"):
            await ensure_topics(bootstrap, prefix=prefix, partitions=2)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            name = f"{prefix}heimdex-scene-v1"
            forgets = {"segment.ms": str(flow.DAY_MS), "max.compaction.lag.ms": str(flow.DAY_MS)}
            own = {"cleanup.policy": "compact", "retention.ms": "-1"}
            await _until_configured(admin, name, {**own, **forgets, "delete.retention.ms": str(7 * flow.DAY_MS)})
            own["delete.retention.ms"] = "777"
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=own)])
            await _until_configured(admin, name, {**own, "segment.ms": str(7 * flow.DAY_MS)})
            await ensure_topics(bootstrap, prefix=prefix, partitions=1)
            await _until_configured(admin, name, {**own, **forgets})
        finally:
            await admin.close()
    finally:
        await delete_topics(bootstrap, prefix=prefix)


async def _until_configured(admin: Any, name: str, wanted: dict[str, str]) -> None:
    """Wait for what the broker tells of a topic: it hears of changes a moment later than its controller."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    told: dict[str, str] = {}
    async with asyncio.timeout(30):
        while not told.items() >= wanted.items():
            [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
            told = {entry[0]: entry[1] for entry in answer.resources[0][4]}
            await asyncio.sleep(0.05)
