"""The line: eleven stages with their real edges, intakes and runners on the memory bus and the memory bucket."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from adapters.bus.intake import Intake
from adapters.bus.lease import Leases
from adapters.bus.memory import MemoryBus
from adapters.bus.runner import Child, StageRunner
from adapters.clock import SystemClock
from adapters.models import profiles
from adapters.models.settings import ModelSettings, to_mapping
from adapters.models.weights import sha256_of
from adapters.objects.memory import MemoryObjects
from contracts import codec, facts, flow, ids, plan
from contracts.ports import Progress, Record
from contracts.work import Job, Perform, Result, read_artifact
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2, context_pb2, events_pb2, manifest_pb2

TENANT, VIDEO = "acme", ids.digest_id("vid", "line")
NOUNS = tuple(noun for noun in flow.STAGES if noun != "commit")
CONTEXT = context_pb2.EventContext(
    tenant_id=TENANT, video_id=VIDEO, revision=1, plan_key=ids.plan_key(TENANT, VIDEO, 1)
)
FAKE = ModelSettings()
_BADLY = {common_pb2.OUTCOME_REJECTED, common_pb2.OUTCOME_FAILED}
_TIMEOUT_S = 300


@dataclass
class InProcess:
    """A model child that is this process. It does every job ``times`` and insists on the same result.

    Attributes:
        instead: noun -> what is done instead of the stage's work.
        jobs: nouns of what was done.
    """

    times: int = 1
    instead: Mapping[str, Perform] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)

    def alive(self) -> bool:
        return True

    async def run(
        self, perform: str, job: object, *, deadline_s: float, on_progress: Callable[[float], None]
    ) -> object:
        assert isinstance(job, Job)
        assert deadline_s > 0
        module, _, function = perform.partition(":")
        noun = module.split(".")[1]
        self.jobs.append(noun)
        work: Perform = self.instead.get(noun) or getattr(importlib.import_module(module), function)
        shares: list[float] = []

        def report(share: float) -> None:
            shares.append(share)
            on_progress(share)

        result = work(job, report)
        made = _content(result)
        for _ in range(self.times - 1):
            assert _content(work(job, report)) == made, f"{noun} gave another result for the same job"
        assert all(0 <= share <= 1 for share in shares)
        assert shares[-1] == 1.0, f"{noun} does not report its end"
        return result


def failing(error: Exception) -> Perform:
    """Return work that fails."""

    def perform(job: Job, progress: Progress) -> Result:
        raise error

    return perform


class Line:
    """One video's way through the stages."""

    def __init__(
        self,
        source: bytes,
        *,
        profile: str = "fake",
        models: ModelSettings = FAKE,
        faces: bool = False,
        child: Child | None = None,
        max_bytes: int = plan.MAX_BYTES,
        max_duration_s: float = plan.MAX_DURATION_S,
    ) -> None:
        self.objects, self.bus = MemoryObjects(), MemoryBus()
        self.endings: dict[str, context_pb2.StageEnding] = {}
        self.dead: list[events_pb2.DeadLetter] = []
        self._source, self._faces = source, faces
        self._ended = asyncio.Event()
        self._pipeline = plan.pipeline(
            profiles.versions(profile, models), max_bytes=max_bytes, max_duration_s=max_duration_s
        )
        clock, slot = SystemClock(), asyncio.Semaphore(1)
        leases = Leases(MemoryObjects(), clock, instance_id="slot-0")
        watched = [flow.DEAD_LETTER, *(flow.topic_name(flow.STAGES[noun].emits) for noun in NOUNS)]
        self._members = [self.bus.consumer(group="watch", topics=watched, handler=self._note)]
        for noun in NOUNS:
            stage = flow.STAGES[noun]
            module = importlib.import_module(f"processors.{noun}.worker")
            settings = dict(self._pipeline.settings.get(noun, {})) | to_mapping(profile, models)
            runner = StageRunner(
                stage,
                module.StageWorker(self._pipeline.model_version(noun), settings),
                objects=self.objects,
                leases=leases,
                producer=self.bus,
                child=child or InProcess(),
                slot=slot,
                work_dir=Path(tempfile.gettempdir()),
                deployed=self._pipeline,
                clock=clock,
            )
            intake = Intake(stage, runner, objects=self.objects, producer=self.bus, clock=clock)
            topics = [flow.topic_name(message) for message in stage.waits_for]
            self._members.append(self.bus.consumer(group=stage.group, topics=topics, handler=intake.handle))

    async def run(self, **declared: object) -> Line:
        """Upload, plan, and wait until the video is through or has failed.

        Args:
            declared: fields of the plan's source that are not those of the stored file.
        """
        key = ids.source_key(TENANT, VIDEO)
        stored = await self.objects.put(key, self._source)
        true: dict[str, object] = {
            "key": key,
            "etag": stored.etag,
            "size_bytes": stored.size_bytes,
            "sha256": hashlib.sha256(self._source).hexdigest(),
        }
        time = Timestamp(seconds=1)
        planned = plan.build_plan(
            self._pipeline,
            tenant_id=TENANT,
            video_id=VIDEO,
            revision=1,
            source=manifest_pb2.Source(**(true | declared)),  # type: ignore[arg-type]
            faces_enabled=self._faces,
            generations=(plan.TargetGeneration(1),),
            create_time=time,
        )
        self._specs = plan.planned_specs(planned)
        await self.objects.put(CONTEXT.plan_key, planned.SerializeToString())
        await self.bus.send(facts.video_uploaded(CONTEXT, time))
        ended = asyncio.create_task(self._ended.wait())
        running = [asyncio.create_task(member.run()) for member in self._members]
        try:
            await asyncio.wait({ended, *running}, timeout=_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            assert ended.done(), f"the line stands still after {sorted(self.endings)}"
        finally:
            ended.cancel()
            for member, task in zip(self._members, running, strict=True):
                await member.stop()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        return self

    def outcomes(self) -> dict[str, str]:
        """Return how each stage ended, by noun."""
        return {
            noun: common_pb2.Outcome.Name(ending.outcome).removeprefix("OUTCOME_")
            for noun, ending in self.endings.items()
        }

    def reason(self, noun: str) -> str:
        """Return why a stage ended badly."""
        return common_pb2.ErrorReason.Name(self.endings[noun].reason).removeprefix("ERROR_REASON_")

    def counts(self, noun: str) -> dict[str, int]:
        """Return what a stage counted."""
        return dict(self.endings[noun].counts)

    async def manifest(self, noun: str) -> manifest_pb2.Manifest:
        """Return what a stage left."""
        body, _ = await self.objects.get(ids.manifest_key(TENANT, VIDEO, noun, self._specs[noun][0]))
        return manifest_pb2.Manifest.FromString(body)

    async def artifact(self, noun: str) -> bytes:
        """Return a stage's artifact."""
        return await read_artifact(self.objects, await self.manifest(noun))

    async def sidecar(self) -> artifact_pb2.Sidecar:
        """Return what everything came to."""
        return artifact_pb2.Sidecar.FromString(await self.artifact("sidecar"))

    async def _note(self, record: Record) -> None:
        message = codec.decode(record)
        if isinstance(message, events_pb2.DeadLetter):
            self.dead.append(message)
            return
        ending: context_pb2.StageEnding = message.ending  # type: ignore[attr-defined]
        stage = flow.STAGE_BY_NUMBER[int(ending.stage)]
        self.endings[stage.noun] = ending
        failed = ending.outcome in _BADLY and stage.after_failure is flow.AfterFailure.FAIL_VIDEO
        if stage.noun == NOUNS[-1] or failed:
            self._ended.set()


def _content(result: Result) -> tuple[object, ...]:
    blobs = {name: sha256_of(path) for name, path in result.blobs.items()}
    return result.outcome, result.artifact, blobs, dict(result.counts), dict(result.labels)
