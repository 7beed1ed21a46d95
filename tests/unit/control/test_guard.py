"""Guard: whatever a handler raises, a record comes to an end, and none is skipped."""

from __future__ import annotations

import asyncio

import pytest

from adapters.bus.memory import MemoryBus
from contracts import codec, facts, flow
from contracts.errors import BadArtifact, DependencyUnavailable, HeimdexError, LimitExceeded
from contracts.ports import Handler, Record
from control.guard import Guard, insist, together
from control.tracker.tracker import to_entry, to_update
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2

CONTEXT = context_pb2.EventContext(tenant_id="acme", video_id="vid_1", revision=2, plan_key="plan")
UPLOADED = facts.video_uploaded(CONTEXT, facts.timestamp(5))


class Clock:
    """Time that stands still and remembers who slept."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def monotonic_s(self) -> float:
        return 0.0

    def now_ms(self) -> int:
        return 7000

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await asyncio.sleep(0)


def raising(*raised: Exception) -> Handler:
    """Return a handler that raises these in turn, and is content then."""
    left = list(raised)

    async def handle(record: Record) -> None:
        if left:
            raise left.pop(0)

    return handle


async def letters(handler: Handler, record: Record = UPLOADED) -> tuple[list[events_pb2.DeadLetter], list[float]]:
    """Return the dead letters of one record and the pauses that were made."""
    bus, clock = MemoryBus(partitions=1), Clock()
    await Guard("eraser", handler, bus, clock).handle(record)
    found = [codec.decode(letter) for letter in bus.records(flow.DEAD_LETTER)]
    return [letter for letter in found if isinstance(letter, events_pb2.DeadLetter)], clock.slept_s


async def test_what_is_handled_leaves_no_trace() -> None:
    assert await letters(raising()) == ([], [])


async def test_what_time_heals_is_waited_for_with_growing_pauses() -> None:
    away = [DependencyUnavailable("milvus", "away") for _ in range(9)]
    found, slept_s = await letters(raising(*away))
    assert found == []
    assert slept_s == sorted(slept_s)
    assert len(slept_s) == 9
    assert max(slept_s) <= 30


async def test_what_time_does_not_heal_is_a_dead_letter_with_all_that_is_known() -> None:
    record = Record(UPLOADED.topic, UPLOADED.key, UPLOADED.value, UPLOADED.headers, partition=3, offset=9)
    [letter], _ = await letters(raising(DependencyUnavailable("milvus", "away"), BadArtifact("no good")), record)
    assert (letter.consumer, letter.source_topic, letter.source_partition, letter.source_offset) == (
        "eraser", "heimdex-video-uploaded-v1", 3, 9,
    )  # fmt: skip
    assert (letter.key, letter.value, letter.reason, letter.message) == (
        "vid_1", record.value, common_pb2.ERROR_REASON_BAD_ARTIFACT, "no good",
    )  # fmt: skip
    assert letter.context == CONTEXT
    assert to_update(letter) is None, "no stage has failed"
    entry = to_entry(letter)
    assert (entry.tenant_id, entry.video_id, entry.event_ms) == ("acme", "vid_1", 7000)


async def test_a_defect_is_a_dead_letter_that_tells_no_secrets() -> None:
    [letter], _ = await letters(raising(ZeroDivisionError("of 민지")))
    assert (letter.reason, letter.message) == (common_pb2.ERROR_REASON_INTERNAL, "ZeroDivisionError in eraser")


@pytest.mark.parametrize(
    ("record", "video_id"),
    [
        (facts.deletion_requested("acme", "vid_1", 5), "vid_1"),
        (codec.encode(events_pb2.PersonDeleted(tenant_id="acme", person_id="per_1"), key="per_1", event_id="e",
                      tenant_id="acme", time=facts.timestamp(5)), ""),
    ],
)  # fmt: skip
async def test_a_dead_letter_names_the_tenant_where_there_is_no_run(record: Record, video_id: str) -> None:
    [letter], _ = await letters(raising(BadArtifact("no")), record)
    assert letter.context == context_pb2.EventContext(tenant_id="acme", video_id=video_id)


@pytest.mark.parametrize("value", [b"\xff\xff", b"", None])
async def test_what_cannot_be_read_is_a_dead_letter_all_the_same(value: bytes | None) -> None:
    [letter], _ = await letters(raising(BadArtifact("no")), Record("heimdex-video-uploaded-v1", "k", value))
    assert letter.context == context_pb2.EventContext()
    assert letter.HasField("value") is (value is not None)


async def test_a_dead_letter_that_cannot_be_sent_is_waited_for() -> None:
    class Bus(MemoryBus):
        refusals = 3

        async def send(self, record: Record) -> None:
            if self.refusals:
                self.refusals -= 1
                raise DependencyUnavailable("kafka", "away")
            await super().send(record)

    bus, clock = Bus(partitions=1), Clock()
    await Guard("people", raising(BadArtifact("no")), bus, clock).handle(UPLOADED)
    assert len(bus.records(flow.DEAD_LETTER)) == 1
    assert len(clock.slept_s) == 3


async def test_only_being_stopped_escapes() -> None:
    async def stopped(record: Record) -> None:
        raise asyncio.CancelledError

    bus = MemoryBus(partitions=1)
    with pytest.raises(asyncio.CancelledError):
        await Guard("retry", stopped, bus, Clock()).handle(UPLOADED)
    assert bus.records(flow.DEAD_LETTER) == []


@pytest.mark.parametrize("kind", HeimdexError.__subclasses__(), ids=lambda kind: kind.__name__)
async def test_every_error_of_the_tree_can_be_a_dead_letter(kind: type[HeimdexError]) -> None:
    error = HeimdexError("broken", reason=kind.default_reason)
    [letter], _ = await letters(raising(error))
    assert letter.reason


async def test_insisting_ends_with_the_answer_or_with_what_is_permanent() -> None:
    passing = [DependencyUnavailable("sql", "away"), LimitExceeded("full")]

    async def work() -> str:
        if passing:
            raise passing.pop()
        return "done"

    clock = Clock()
    assert await insist(work, clock, what="it") == "done"
    assert len(clock.slept_s) == 2

    async def broken() -> str:
        raise BadArtifact("no")

    with pytest.raises(BadArtifact):
        await insist(broken, clock, what="it")


async def test_records_of_a_batch_wait_beside_each_other() -> None:
    inside, everybody = 0, asyncio.Event()

    async def handle(record: Record) -> None:
        nonlocal inside
        inside += 1
        if inside == 3:
            everybody.set()
        async with asyncio.timeout(15):
            await everybody.wait()

    await together(handle)([UPLOADED] * 3)
    assert inside == 3


async def test_a_batch_that_is_stopped_stops_all_of_it() -> None:
    begun, stopped = 0, 0

    async def handle(record: Record) -> None:
        nonlocal begun, stopped
        begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            stopped += 1

    task = asyncio.ensure_future(together(handle)([UPLOADED] * 3))
    while begun < 3:  # noqa: ASYNC110 - the condition is a number
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped == 3
