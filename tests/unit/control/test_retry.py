"""Retry: a record waits its time and goes back to its own stage only."""

from __future__ import annotations

from typing import cast

import pytest

from adapters.bus.memory import MemoryBus
from contracts import codec, flow
from contracts.errors import BadArtifact, DependencyUnavailable
from contracts.ports import Record
from control.guard import Guard
from control.retry.retry import Retry, plan
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import events_pb2

TIER = "heimdex-retry-2m-v1"
NOW_MS = 1_000_000


class Clock:
    """Time that stands still and remembers who slept."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def monotonic_s(self) -> float:
        return 0.0

    def now_ms(self) -> int:
        return NOW_MS

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


def guarded(bus: MemoryBus, clock: Clock) -> Guard:
    """As it is composed: what cannot be sent on becomes a dead letter."""
    return Guard("retry", Retry(bus, clock).handle, bus, clock)


def waiting(*, stage: str = "asr", due: str = str(NOW_MS + 30_000)) -> Record:
    headers = (
        ("ce_type", b"heimdex.events.v1.AudioExtracted"),
        ("ce_tenantid", b"acme"),
        (codec.ATTEMPT, b"2"),
        (codec.NOT_BEFORE_MS, due.encode()),
        (codec.STAGE, stage.encode()),
    )
    return Record(TIER, "vid_1", b"body", headers, partition=1, offset=5)


async def test_it_waits_and_sends_the_same_to_the_redo_topic_of_its_stage() -> None:
    bus, clock = MemoryBus(partitions=1), Clock()
    await guarded(bus, clock).handle(waiting())
    [redo] = bus.records("heimdex-asr-redo-v1")
    assert (redo.key, redo.value, redo.headers) == ("vid_1", b"body", waiting().headers)
    assert clock.slept_s == [30.0]


@pytest.mark.parametrize(("due_in_ms", "wait_s"), [(-5_000, 0.0), (0, 0.0), (1_500, 1.5), (10**12, 120.0)])
def test_it_waits_no_longer_than_its_tier(due_in_ms: int, wait_s: float) -> None:
    assert plan(waiting(due=str(NOW_MS + due_in_ms)), now_ms=NOW_MS)[1] == wait_s


@pytest.mark.parametrize("stage", flow.STAGES)
def test_every_stage_has_its_own_topic(stage: str) -> None:
    redo, _ = plan(waiting(stage=stage), now_ms=NOW_MS)
    assert redo.topic == flow.STAGES[stage].redo_topic
    assert redo.topic in flow.TOPICS


@pytest.mark.parametrize("bad", [{"stage": "nobody"}, {"stage": ""}, {"due": ""}, {"due": "soon"}, {"due": "²"}])
async def test_what_names_no_stage_or_time_is_a_dead_letter(bad: dict[str, str]) -> None:
    record = waiting(**bad)
    with pytest.raises(BadArtifact):
        plan(record, now_ms=NOW_MS)
    bus = MemoryBus(partitions=1)
    await guarded(bus, Clock()).handle(record)
    [dead] = bus.records(flow.DEAD_LETTER)
    letter = cast("events_pb2.DeadLetter", codec.decode(dead))
    assert (letter.consumer, letter.key, letter.value) == ("retry", "vid_1", b"body")
    assert (letter.source_topic, letter.source_partition, letter.source_offset) == (TIER, 1, 5)
    assert letter.reason == common_pb2.ERROR_REASON_BAD_ARTIFACT
    assert letter.event_time.ToMilliseconds() == NOW_MS
    assert codec.headers(dead)["ce_tenantid"] == "acme"


async def test_a_bus_that_is_away_is_waited_for() -> None:
    class Away(MemoryBus):
        failures = 3

        async def send(self, record: Record) -> None:
            if self.failures:
                self.failures -= 1
                raise DependencyUnavailable("kafka", "away")
            await super().send(record)

    bus, clock = Away(partitions=1), Clock()
    await guarded(bus, clock).handle(waiting(due=str(NOW_MS)))
    assert len(bus.records("heimdex-asr-redo-v1")) == 1
    assert len([s for s in clock.slept_s if s]) == 3, "once a failure; its own time is over"
