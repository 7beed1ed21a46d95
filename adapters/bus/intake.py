"""Intake: a record from the bus -> a delivery handled to a typed end: done, waiting for more, to be retried, or dead.

It returns only when the record may be acknowledged. What can neither be finished nor retried nor dead-lettered, since
the bus or the bucket is away, is held; it is never skipped.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace

import structlog
from google.protobuf.message import DecodeError, Message

from adapters import metrics
from adapters.bus.breaker import Breaker
from contracts import codec, facts, flow, ids, plan
from contracts.delivery import Delivery, StageHandler
from contracts.errors import BadArtifact, Erased, HeimdexError, Internal, NotFound, Rejected, from_exception
from contracts.ports import Clock, Objects, Producer, Record
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, manifest_pb2

MAX_TRIES = len(flow.RETRY_TIERS) + 1

_PLANS = 64
_BACKOFF_S = (1.0, 2.0, 5.0, 10.0)
_ENDED_BADLY = frozenset({common_pb2.OUTCOME_REJECTED, common_pb2.OUTCOME_FAILED})

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Found:
    """A manifest, or that there is none."""

    noun: str
    manifest: manifest_pb2.Manifest | None


class Intake:
    """Handler of one stage's records."""

    def __init__(
        self,
        stage: flow.Stage,
        handler: StageHandler,
        *,
        objects: Objects,
        producer: Producer,
        clock: Clock,
        breaker: Breaker | None = None,
    ) -> None:
        """Wire a stage's handler to bucket and bus."""
        self._stage = stage
        self._handler = handler
        self._objects = objects
        self._producer = producer
        self._clock = clock
        self._breaker = breaker or Breaker(clock)
        self._metrics = metrics.of_stage(stage.noun)
        self._plans: OrderedDict[str, manifest_pb2.Plan] = OrderedDict()

    def healthy(self) -> bool:
        """Return False while most runs fail and events are held back."""
        return not self._breaker.open

    async def handle(self, record: Record) -> None:
        """Take one record to its end. Only CancelledError escapes."""
        self._metrics.events.inc()
        pause = 0
        while True:
            try:
                await self._take(record)
            except HeimdexError as error:  # neither finished nor retried nor dead-lettered
                _log.error("held", stage=self._stage.noun, key=record.key, reason=error.reason, error=error.message)
            except Exception:  # noqa: BLE001 - a defect must not acknowledge the record
                _log.exception("held", stage=self._stage.noun, key=record.key)
            else:
                return
            await self._clock.sleep(_BACKOFF_S[min(pause, len(_BACKOFF_S) - 1)])
            pause += 1

    # -------------------------------------------------------------------------------------------- one record

    async def _take(self, record: Record) -> None:
        attempt = _attempt(record, self._stage.noun)
        context = context_pb2.EventContext()
        try:
            context = _context(codec.decode(record))
            if await self._erased(context):
                _log.info("erased", stage=self._stage.noun, video_id=context.video_id)
                return
            deliveries = await self._join(record, context, attempt)
        except HeimdexError as error:
            if context.video_id and await self._erased(context):
                return
            await self._unreadable(record, context, attempt, error)
            return
        for delivery in deliveries:
            with structlog.contextvars.bound_contextvars(**_names(delivery)):
                await self._deliver(delivery)

    async def _unreadable(
        self, record: Record, context: context_pb2.EventContext, attempt: int, error: HeimdexError
    ) -> None:
        """Give up, or come back later to, a record that does not even make a delivery."""
        if error.retryable and attempt < MAX_TRIES:
            await self._retry(record, attempt, error)
        else:
            await self._dead_letter(record, context, attempt, error)

    async def _join(self, record: Record, context: context_pb2.EventContext, attempt: int) -> list[Delivery]:
        """Return what can be done now: nothing while an input is missing, or where the video has failed before."""
        planned_video = await self._plan(context)
        planned = plan.planned_specs(planned_video)
        deliveries = []
        for index, spec in enumerate(planned[self._stage.noun]):
            nouns = [stage.noun for stage in flow.ancestors(self._stage.noun)]
            found = await asyncio.gather(
                *(self._manifest(context, noun, plan.spec_of(planned, noun, index)) for noun in nouns)
            )
            inputs = {entry.noun: entry.manifest for entry in found if entry.manifest is not None}
            if len(inputs) < len(nouns) or any(map(_fails_video, inputs.values())):
                continue
            deliveries.append(Delivery(self._stage, record, context, planned_video, spec, index, inputs, attempt))
        return deliveries

    async def _deliver(self, delivery: Delivery) -> None:
        while True:
            error = await self._try(delivery)
            if error is None:
                return
            if await self._erased(delivery.context):
                return
            if isinstance(error, Rejected):
                await self._end(delivery, error)
                self._breaker.good()
                return
            if error.retryable and delivery.attempt < MAX_TRIES:
                await self._retry(delivery.record, delivery.attempt, error)
                await self._handler.retrying(delivery)
                return
            self._breaker.bad()
            if not self._breaker.open:
                await self._end(delivery, error)
                await self._dead_letter(delivery.record, delivery.context, delivery.attempt, error)
                return
            _log.error("breaker open", stage=self._stage.noun, reason=error.reason, error=error.message)
            await self._breaker.hold()

    async def _end(self, delivery: Delivery, error: HeimdexError) -> None:
        await self._handler.end(delivery, error)
        self._metrics.endings.labels("REJECTED" if isinstance(error, Rejected) else "FAILED").inc()

    async def _try(self, delivery: Delivery) -> HeimdexError | None:
        """Run it; return what went wrong, None for nothing."""
        video_id, stage = delivery.context.video_id, self._stage.noun
        try:
            failed_before = await self._handler.run(delivery)
        except Erased:
            _log.info("erased", stage=stage, video_id=video_id)
            return None
        except HeimdexError as error:
            _log.warning("stage failed", stage=stage, video_id=video_id, reason=error.reason, error=error.message)
            return error
        except Exception as error:  # noqa: BLE001 - a defect becomes a typed state
            _log.exception("stage failed", stage=stage, video_id=video_id)
            return from_exception(error, stage)
        if failed_before:  # its dead letter may not have left before a crash
            given_up = Internal(f"{stage} failed before")
            await self._dead_letter(delivery.record, delivery.context, delivery.attempt, given_up)
        else:
            self._breaker.good()
        return None

    # ----------------------------------------------------------------------------------------------- bucket

    async def _erased(self, context: context_pb2.EventContext) -> bool:
        return await self._objects.head(ids.gate_key(context.video_id)) is not None

    async def _plan(self, context: context_pb2.EventContext) -> manifest_pb2.Plan:
        known = self._plans.get(context.plan_key)
        if known is None:
            known = manifest_pb2.Plan()
            try:
                body, _ = await self._objects.get(context.plan_key)
                known.ParseFromString(body)
            except NotFound as error:
                raise BadArtifact(f"no plan for {context.video_id} revision {context.revision}") from error
            except DecodeError as error:
                raise BadArtifact(f"unreadable plan of {context.video_id} revision {context.revision}") from error
            self._plans[context.plan_key] = known  # plans are immutable
            if len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        return known

    async def _manifest(self, context: context_pb2.EventContext, noun: str, spec: str) -> _Found:
        key = ids.manifest_key(context.tenant_id, context.video_id, noun, spec)
        try:
            body, _ = await self._objects.get(key)
        except NotFound:
            return _Found(noun, None)
        manifest = manifest_pb2.Manifest()
        try:
            manifest.ParseFromString(body)
        except DecodeError as error:
            raise BadArtifact(f"unreadable manifest of {noun} for {context.video_id}") from error
        return _Found(noun, manifest)

    # -------------------------------------------------------------------------------------------------- bus

    async def _retry(self, record: Record, attempt: int, error: HeimdexError) -> None:
        """Send the record to the tier of its next try."""
        tier, delay_s = list(flow.RETRY_TIERS.items())[attempt - 1]
        own = {codec.ATTEMPT, codec.NOT_BEFORE_MS, codec.STAGE, codec.REASON}
        headers = (
            *((name, value) for name, value in record.headers if name not in own),
            (codec.ATTEMPT, str(attempt).encode()),
            (codec.NOT_BEFORE_MS, str(self._clock.now_ms() + round(delay_s * 1000)).encode()),
            (codec.STAGE, self._stage.noun.encode()),
            (codec.REASON, error.reason.encode()),
        )
        await self._producer.send(replace(record, topic=tier, headers=headers, partition=-1, offset=-1))
        self._metrics.retries.inc()

    async def _dead_letter(
        self, record: Record, context: context_pb2.EventContext, attempt: int, error: HeimdexError
    ) -> None:
        letter = facts.dead_letter(
            self._stage.noun,
            record,
            error,
            attempts=attempt,
            now_ms=self._clock.now_ms(),
            context=context if context.video_id else None,
        )
        await self._producer.send(letter)
        self._metrics.dead_letters.inc()
        _log.error("dead letter", stage=self._stage.noun, key=record.key, reason=error.reason, error=error.message)


def _context(message: Message) -> context_pb2.EventContext:
    """Return the context of a fact. Raises BadArtifact (permanent) when it names no run."""
    context = getattr(message, "context", None)
    if not isinstance(context, context_pb2.EventContext) or not context.video_id or not context.plan_key:
        raise BadArtifact(f"{message.DESCRIPTOR.full_name} names no run")
    return context


def _names(delivery: Delivery) -> dict[str, str]:
    """Return what every line of the log says during a delivery."""
    context = delivery.context
    event_id = ids.event_id(context.video_id, context.revision, delivery.stage.noun, delivery.spec)
    _, _, trace = context.root_traceparent.partition("-")
    return {"event_id": event_id, "trace_id": trace.partition("-")[0]}


def _attempt(record: Record, noun: str) -> int:
    """Return which try this is, from 1."""
    headers = codec.headers(record)
    before = headers.get(codec.ATTEMPT, "0") if headers.get(codec.STAGE) == noun else "0"
    return int(before) + 1 if before.isdecimal() else 1


def _fails_video(manifest: manifest_pb2.Manifest) -> bool:
    stage = flow.STAGE_BY_NUMBER[int(manifest.stage)]
    return stage.after_failure is flow.AfterFailure.FAIL_VIDEO and manifest.outcome in _ENDED_BADLY
