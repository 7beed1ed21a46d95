"""Tracker: stage facts, progress and dead letters -> stage runs, video states and the watch log of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from google.protobuf.message import Message
from prometheus_client import Counter

from contracts import codec, flow
from contracts.catalog import Catalog, DeadLetterEntry, StageRun, StageUpdate
from contracts.errors import BadArtifact, HeimdexError
from contracts.ports import Clock, Record
from control.guard import insist
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2

_UNREADABLE = Counter("heimdex_tracker_unreadable", "Records that are no fact of the flow", ["topic"])
_CHANGES = Counter("heimdex_tracker_updates", "Facts by what they did to the catalogue", ["effect"])

_log = structlog.get_logger()


class Tracker:
    """Handler of batches: one short transaction each."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        """Wire it."""
        self._catalog = catalog
        self._clock = clock

    async def apply(self, records: Sequence[Record]) -> None:
        """Tell the catalogue what the records say; what is no fact of ours is counted and left out.

        A catalogue that does not answer is waited for. Raises only what waiting does not heal.
        """
        updates, letters = [], []
        for record in records:
            try:
                message = codec.decode(record)
                update = to_update(message)
            except HeimdexError as error:
                _UNREADABLE.labels(record.topic).inc()
                _log.error("unreadable fact", topic=record.topic, key=record.key, error=error.message)
                continue
            if update is not None:
                updates.append(update)
            if isinstance(message, events_pb2.DeadLetter):
                letters.append(to_entry(message))
        if updates:
            now_ms = self._clock.now_ms()
            changed = await insist(lambda: self._catalog.apply_updates(updates, now_ms), self._clock, what="catalogue")
            _CHANGES.labels("changed").inc(changed)
            _CHANGES.labels("none").inc(len(updates) - changed)
        if letters:
            await insist(lambda: self._catalog.record_dead_letters(letters), self._clock, what="catalogue")


def to_update(message: Message) -> StageUpdate | None:
    """Return what a fact says of a stage run; None when it says nothing of one. Raises BadArtifact (permanent)."""
    if isinstance(message, events_pb2.StageProgressed):
        return _progress(message)
    if isinstance(message, events_pb2.DeadLetter):
        return _dead_letter(message)
    if type(message) in flow.STAGE_BY_EVENT:
        return _ending(message)
    raise BadArtifact(f"no fact for the tracker: {message.DESCRIPTOR.full_name}")


def to_entry(letter: events_pb2.DeadLetter) -> DeadLetterEntry:
    """Return a dead letter as the catalogue lists it."""
    return DeadLetterEntry(
        consumer=letter.consumer,
        source_topic=letter.source_topic,
        source_partition=letter.source_partition,
        source_offset=letter.source_offset,
        tenant_id=letter.context.tenant_id,
        video_id=letter.context.video_id,
        revision=letter.context.revision,
        reason=_reason(letter.reason),
        message=letter.message,
        attempts=letter.attempts,
        event_ms=letter.event_time.ToMilliseconds(),
    )


def _ending(message: Message) -> StageUpdate:
    context, ending = message.context, message.ending  # type: ignore[attr-defined]  # every stage fact has both
    end_ms = ending.end_time.ToMilliseconds()
    if ending.outcome not in common_pb2.Outcome.values() or not ending.outcome:
        raise BadArtifact(f"unknown outcome {ending.outcome}")
    run = StageRun(
        stage=_noun(ending.stage),
        state="ENDED",
        outcome=common_pb2.Outcome.Name(ending.outcome).removeprefix("OUTCOME_"),
        attempt=ending.attempts,
        progress=1.0,
        start_ms=max(0, end_ms - ending.elapsed_ms),
        end_ms=end_ms,
        elapsed_ms=ending.elapsed_ms,
        reason=_reason(ending.reason),
        message=ending.message,
        manifest_key=ending.manifest_key,
        metadata=tuple(sorted(ending.labels.items())) if ending.reason else (),
    )
    return _update(context, run, counts=dict(ending.counts), labels=dict(ending.labels))


def _progress(message: events_pb2.StageProgressed) -> StageUpdate:
    run = StageRun(
        stage=_noun(message.stage),
        state="RETRYING" if message.retrying else "RUNNING",
        attempt=message.attempt,
        progress=min(1.0, max(0.0, message.progress)),
        start_ms=message.start_time.ToMilliseconds(),
    )
    return _update(message.context, run)


def _dead_letter(letter: events_pb2.DeadLetter) -> StageUpdate | None:
    """Return the failure of a stage that could not say so itself.

    Its attempt is 0, so that an ending told by the stage outweighs it, whichever comes first.
    """
    if letter.consumer not in flow.STAGES or not letter.context.video_id:
        return None
    run = StageRun(
        stage=letter.consumer,
        state="ENDED",
        outcome="FAILED",
        end_ms=letter.event_time.ToMilliseconds(),
        reason=_reason(letter.reason),
        message=letter.message,
    )
    return _update(letter.context, run)


def _update(
    context: context_pb2.EventContext,
    run: StageRun,
    *,
    counts: dict[str, int] | None = None,
    labels: dict[str, str] | None = None,
) -> StageUpdate:
    if not context.tenant_id or not context.video_id:
        raise BadArtifact("a fact without its video")
    return StageUpdate(context.tenant_id, context.video_id, context.revision, run, counts or {}, labels or {})


def _noun(number: int) -> str:
    stage = flow.STAGE_BY_NUMBER.get(number)
    if stage is None:
        raise BadArtifact(f"unknown stage {number}")
    return stage.noun


def _reason(number: int) -> str:
    """Return a reason without prefix; of a later version, its number; empty for none."""
    if not number:
        return ""
    known = common_pb2.ErrorReason.values()
    return common_pb2.ErrorReason.Name(number).removeprefix("ERROR_REASON_") if number in known else str(number)  # type: ignore[arg-type]
