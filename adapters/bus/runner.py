"""Runner: a delivery -> a manifest in the bucket, then its fact on the bus; the same for every stage but commit.

The manifest is the only truth: put last, if absent. Whatever happens before it leaves nothing that counts, whatever
happens after it is made good by sending the fact again. The runner knows no transport.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import secrets
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.bus.lease import Leases
from contracts import codec, flow, ids, plan
from contracts.delivery import Delivery, Observe, unobserved
from contracts.endings import progressed, stage_event
from contracts.errors import (
    BadArtifact,
    DependencyUnavailable,
    Erased,
    HeimdexError,
    Internal,
    ModelUnavailable,
    NotFound,
    PreconditionFailed,
    Rejected,
)
from contracts.ports import Clock, Objects, Producer
from contracts.work import ARTIFACT, Job, Result, Run, Worker
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import manifest_pb2

MAX_CRASHES = 3
"""A run whose worker died so often without an ending is given up as CRASHED."""

_PARALLEL_PUTS = 8
_PROGRESS_EVERY_S = 1.0

_log = structlog.get_logger()


class Child(Protocol):
    """What runs a stage's work apart from this process (``adapters.inference.child.ModelChild``)."""

    def alive(self) -> bool:
        """Return whether it showed life since the last call."""
        ...

    async def run(
        self, perform: str, job: object, *, deadline_s: float, on_progress: Callable[[float], None]
    ) -> object:
        """Run ``perform``; raise the error tree."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """A manifest as it lies in the bucket."""

    manifest: manifest_pb2.Manifest
    sha256: str


class StageRunner:
    """``StageHandler`` of a stage whose result is a manifest."""

    def __init__(
        self,
        stage: flow.Stage,
        worker: Worker,
        *,
        objects: Objects,
        leases: Leases,
        producer: Producer,
        child: Child,
        slot: asyncio.Semaphore,
        work_dir: Path,
        deployed: plan.Pipeline,
        clock: Clock,
        observe: Observe = unobserved,
        deadline_factor: float = 1.0,
    ) -> None:
        """Wire.

        Args:
            slot: taken for the whole of a run; shared by the model stages of a process.
            work_dir: folder of this stage in this process alone: each run has one in it, and takes it away.
            observe: watches work that is done here, not endings that are only told again.
            deployed: what this worker serves; other plans are parked.
            deadline_factor: stretches the stage's deadline on slow machines.
        """
        self._stage = stage
        self._worker = worker
        self._objects = objects
        self._leases = leases
        self._producer = producer
        self._child = child
        self._slot = slot
        self._work_dir = work_dir
        self._deployed = deployed
        self._clock = clock
        self._observe = observe
        self._deadline_factor = deadline_factor

    async def run(self, delivery: Delivery) -> bool:
        """See ``StageHandler.run``."""
        finished = await self._finished(delivery)
        if finished is None:
            if not plan.serves(self._deployed, delivery.plan, self._stage.noun, delivery.index):
                raise DependencyUnavailable("pipeline", f"no worker here serves the planned {self._stage.noun}")
            async with self._slot:
                finished = await self._run_alone(delivery)
        await self._tell(delivery, finished)
        return finished.manifest.outcome == common_pb2.OUTCOME_FAILED

    async def end(self, delivery: Delivery, error: HeimdexError) -> None:
        """See ``StageHandler.end``."""
        finished = await self._finished(delivery)
        if finished is None:
            rejected = isinstance(error, Rejected)
            outcome = common_pb2.OUTCOME_REJECTED if rejected else common_pb2.OUTCOME_FAILED
            manifest = self._manifest(delivery, outcome, self._now())
            manifest.reason = common_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}")
            manifest.message = error.message
            manifest.labels.update(error.metadata)
            finished = await self._commit(delivery, manifest)
        await self._tell(delivery, finished)

    async def retrying(self, delivery: Delivery) -> None:
        """See ``StageHandler.retrying``."""
        await self._progress(delivery, 0.0, self._now(), retrying=True)

    # -------------------------------------------------------------------------------------------- one run

    async def _run_alone(self, delivery: Delivery) -> Finished:
        """Do the work under the lease, unless another one does it meanwhile."""
        context = delivery.context
        key = ids.lease_key(context.tenant_id, context.video_id, self._stage.noun, delivery.spec)
        life = _Life(self._child)

        async def done() -> bool:
            return await self._finished(delivery) is not None

        async with self._leases.hold(key, alive=life.shown, done=done) as held:
            finished = await self._finished(delivery)
            if finished is not None:
                return finished
            if held is None:
                raise DependencyUnavailable("objects", "a manifest that was there is gone")
            if held.attempts > MAX_CRASHES:
                raise Internal(f"the worker died {MAX_CRASHES} times on it", reason="CRASHED")
            with self._observe(delivery) as ended:
                finished = await self._work(delivery, life)
                ended(finished.manifest.outcome)
                return finished

    async def _work(self, delivery: Delivery, life: _Life) -> Finished:
        deadline_s = self._deadline_s(delivery)
        start, start_s = self._now(), self._clock.monotonic_s()
        attempt = secrets.token_hex(6)
        workdir = self._work_dir / attempt
        await asyncio.to_thread(workdir.mkdir, mode=0o700, parents=True)
        committing: asyncio.Future[Finished] | None = None
        try:
            async with asyncio.timeout(deadline_s):
                result = await self._result(delivery, life, workdir, start, deadline_s)
                manifest = self._manifest(delivery, result.outcome, start)
                manifest.blobs.extend(await self._put_blobs(delivery, result, attempt))
                manifest.counts.update(result.counts)
                manifest.labels.update(result.labels)
                manifest.elapsed_ms = round((self._clock.monotonic_s() - start_s) * 1000)
                committing = asyncio.ensure_future(self._commit(delivery, manifest))
                return await asyncio.shield(committing)
        except TimeoutError as error:
            raise ModelUnavailable(
                self._stage.noun, f"took longer than {deadline_s:.0f} s", reason="DEADLINE_EXCEEDED"
            ) from error
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, workdir, ignore_errors=True))
            if committing is not None:  # a put under way is not called back: what it names must stay
                await asyncio.wait({committing})
            if not _succeeded(committing, attempt):
                await asyncio.shield(self._discard(delivery, attempt))

    async def _result(
        self, delivery: Delivery, life: _Life, workdir: Path, start: Timestamp, deadline_s: float
    ) -> Result:
        run = Run(delivery.plan, self._stage.noun, delivery.spec, delivery.inputs, workdir)
        reporter = _Reporter(self._clock, lambda share: self._progress(delivery, share, start))
        reporter(0.0)
        try:
            prepared = await self._worker.prepare(run, self._objects)
            if isinstance(prepared, Job):
                with life.in_child():
                    made = await self._child.run(
                        self._worker.perform, prepared, deadline_s=deadline_s, on_progress=reporter
                    )
                if not isinstance(made, Result):
                    raise Internal(f"{self._worker.perform} returned a {type(made).__name__}")
                prepared = made
        finally:
            await reporter.close()
        return prepared

    def _deadline_s(self, delivery: Delivery) -> float:
        validated = delivery.inputs.get("validate")
        duration_s = validated.counts.get("duration_ms", 0) / 1000 if validated else 0.0
        return self._stage.deadline.seconds(
            duration_s, limit_s=delivery.plan.max_duration_s, factor=self._deadline_factor
        )

    # ------------------------------------------------------------------------------------ blobs and manifest

    async def _put_blobs(self, delivery: Delivery, result: Result, attempt: str) -> list[manifest_pb2.Blob]:
        at = asyncio.Semaphore(_PARALLEL_PUTS)
        context = delivery.context

        async def put(name: str, path: Path | None) -> manifest_pb2.Blob:
            key = ids.blob_key(context.tenant_id, context.video_id, self._stage.noun, delivery.spec, attempt, name)
            content_type = mimetypes.guess_type(name)[0] or codec.CONTENT_TYPE
            async with at:
                if path is None:
                    size_bytes, digest = len(result.artifact), hashlib.sha256(result.artifact).hexdigest()
                    await self._objects.put(key, result.artifact, content_type=content_type)
                else:
                    size_bytes, digest = await asyncio.to_thread(_measure, path)
                    await self._objects.upload(path, key, content_type=content_type)
            return manifest_pb2.Blob(
                name=name, key=key, size_bytes=size_bytes, sha256=digest, content_type=content_type
            )

        files: dict[str, Path | None] = dict(result.blobs)
        if result.artifact:
            files[ARTIFACT] = None
        tasks = [asyncio.create_task(put(name, files[name])) for name in sorted(files)]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    def _manifest(
        self, delivery: Delivery, outcome: common_pb2.Outcome.ValueType, start: Timestamp
    ) -> manifest_pb2.Manifest:
        end = self._now()
        return manifest_pb2.Manifest(
            tenant_id=delivery.context.tenant_id,
            video_id=delivery.context.video_id,
            stage=self._stage.number,
            spec=delivery.spec,
            outcome=outcome,
            end_time=end,
            elapsed_ms=max(0, end.ToMilliseconds() - start.ToMilliseconds()),
            attempts=delivery.attempt,
            model_version=self._worker.model_version,
        )

    async def _commit(self, delivery: Delivery, manifest: manifest_pb2.Manifest) -> Finished:
        """Put the manifest, if absent; of two, the first is the truth."""
        manifest.end_time.CopyFrom(self._now())
        body = manifest.SerializeToString(deterministic=True)
        await self._refuse_erased(delivery)
        try:
            await self._objects.put(self._key(delivery), body, content_type=codec.CONTENT_TYPE, if_none_match=True)
        except PreconditionFailed:
            winner = await self._finished(delivery)
            if winner is None:
                raise DependencyUnavailable("objects", "a manifest that was there is gone") from None
            return winner
        if await self._erased(delivery):  # the eraser purges twice, yet leaves nothing to chance
            await self._objects.purge(self._key(delivery))
            raise Erased("the video is being erased")
        return Finished(manifest, hashlib.sha256(body).hexdigest())

    async def _finished(self, delivery: Delivery) -> Finished | None:
        try:
            body, _ = await self._objects.get(self._key(delivery))
        except NotFound:
            return None
        manifest = manifest_pb2.Manifest()
        try:
            manifest.ParseFromString(body)
        except ValueError as error:
            raise BadArtifact(f"no manifest at {self._key(delivery)}") from error
        return Finished(manifest, hashlib.sha256(body).hexdigest())

    async def _discard(self, delivery: Delivery, attempt: str) -> None:
        context = delivery.context
        prefix = ids.blob_key(context.tenant_id, context.video_id, self._stage.noun, delivery.spec, attempt, "")
        try:
            finished = await self._finished(delivery)  # a put that failed may have arrived all the same
            if finished is None or not _made_by(finished.manifest, attempt):
                await self._objects.purge(prefix)
        except HeimdexError as error:  # unreferenced blobs are swept later
            _log.warning("blobs left behind", stage=self._stage.noun, video_id=context.video_id, error=error.message)

    async def _refuse_erased(self, delivery: Delivery) -> None:
        if await self._erased(delivery):
            raise Erased("the video is being erased")

    async def _erased(self, delivery: Delivery) -> bool:
        return await self._objects.head(ids.gate_key(delivery.context.video_id)) is not None

    def _key(self, delivery: Delivery) -> str:
        context = delivery.context
        return ids.manifest_key(context.tenant_id, context.video_id, self._stage.noun, delivery.spec)

    # ---------------------------------------------------------------------------------------------- facts

    async def _tell(self, delivery: Delivery, finished: Finished) -> None:
        event = stage_event(delivery.context, finished.manifest, self._key(delivery), finished.sha256)
        await self._producer.send(codec.encode_stage_event(event))
        _log.info(
            "stage ended",
            stage=self._stage.noun,
            tenant_id=delivery.context.tenant_id,
            video_id=delivery.context.video_id,
            revision=delivery.context.revision,
            outcome=common_pb2.Outcome.Name(finished.manifest.outcome),
            elapsed_ms=finished.manifest.elapsed_ms,
        )

    async def _progress(self, delivery: Delivery, share: float, start: Timestamp, *, retrying: bool = False) -> None:
        record = progressed(
            self._stage,
            delivery.context,
            delivery.spec,
            attempt=delivery.attempt,
            share=share,
            start=start,
            now=self._now(),
            retrying=retrying,
        )
        try:
            await self._producer.send(record)
        except HeimdexError as error:  # progress is a courtesy; the ending is what counts
            _log.warning("progress not sent", stage=self._stage.noun, error=error.message)

    def _now(self) -> Timestamp:
        now = Timestamp()
        now.FromMilliseconds(self._clock.now_ms())
        return now


class _Life:
    """Whether a run shows life: this process's own part always does, the child's only while the child does."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._inside = False

    def in_child(self) -> _Life:
        self._inside = True
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._inside = False

    def shown(self) -> bool:
        return not self._inside or self._child.alive()


class _Reporter:
    """Progress of a child, thinned to one event a second. The last word may be left out, for the end says it."""

    def __init__(self, clock: Clock, send: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._send = send
        self._next_s = 0.0
        self._sending: asyncio.Task[None] | None = None

    def __call__(self, share: float) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_s and (self._sending is None or self._sending.done()):
            self._next_s = now_s + _PROGRESS_EVERY_S
            self._sending = asyncio.ensure_future(self._send(share))

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _made_by(manifest: manifest_pb2.Manifest, attempt: str) -> bool:
    return any(f"/b/{attempt}/" in blob.key for blob in manifest.blobs)


def _succeeded(committing: asyncio.Future[Finished] | None, attempt: str) -> bool:
    if committing is None or committing.cancelled() or committing.exception() is not None:
        return False
    return _made_by(committing.result().manifest, attempt)
