"""Retry: a record of a tier topic -> the same record, when its time has come, on the redo topic of its stage."""

from __future__ import annotations

from dataclasses import replace

from contracts import codec, flow
from contracts.errors import BadArtifact
from contracts.ports import Clock, Producer, Record


class Retry:
    """Handler of the tiers: each is in order of due time, so waiting for the first delays nobody."""

    def __init__(self, producer: Producer, clock: Clock) -> None:
        """Wire it."""
        self._producer = producer
        self._clock = clock

    async def handle(self, record: Record) -> None:
        """Wait, then send on. Raises BadArtifact (permanent) and DependencyUnavailable (transient)."""
        redo, wait_s = plan(record, now_ms=self._clock.now_ms())
        await self._clock.sleep(wait_s)
        await self._producer.send(redo)


def plan(record: Record, *, now_ms: int) -> tuple[Record, float]:
    """Return what to send and how many seconds to wait first, at most the tier's own delay: clocks may differ.

    Raises: BadArtifact (permanent) when the headers name no stage or no time.
    """
    headers = codec.headers(record)
    stage = flow.STAGES.get(headers.get(codec.STAGE, ""))
    if stage is None:
        raise BadArtifact(f"{codec.STAGE} names no stage")
    not_before_ms = headers.get(codec.NOT_BEFORE_MS, "")
    if not (not_before_ms.isascii() and not_before_ms.isdecimal()):
        raise BadArtifact(f"{codec.NOT_BEFORE_MS} is no time")
    wait_s = (int(not_before_ms) - now_ms) / 1000
    redo = replace(record, topic=stage.redo_topic, partition=-1, offset=-1)
    return redo, min(max(0.0, wait_s), flow.RETRY_TIERS.get(record.topic, 0.0))
