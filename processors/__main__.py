"""The stages of one process: ``python -m processors NOUN…`` runs those named until SIGTERM or SIGINT.

Model stages of a process share one slot: two models at once would need twice the memory and take twice as long. A
light stage has a slot of its own: a short ``validate`` never waits for the minutes of another video's ``scenes``, and
memory stays bounded by one model child a stage.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import cast

import structlog
from pydantic import Field

from adapters import logs, tracing
from adapters.bus.intake import Intake
from adapters.bus.kafka import KafkaProducer
from adapters.bus.lease import Leases
from adapters.bus.observer import StageObserver
from adapters.bus.runner import StageRunner
from adapters.bus.serving import StagePart, serve, stage_part
from adapters.clock import SystemClock
from adapters.inference.child import ModelChild
from adapters.models.settings import to_mapping
from adapters.objects.cached import CachedObjects
from adapters.objects.s3 import S3Connection
from adapters.settings import BusSettings, ObjectSettings, PipelineSettings
from contracts import flow
from contracts.errors import HeimdexError
from contracts.work import Worker

NOUNS = tuple(noun for noun, stage in flow.STAGES.items() if stage.artifact is not None)

_log = structlog.get_logger()


class Settings(BusSettings, ObjectSettings, PipelineSettings):
    """What the process reads from its environment, all with the prefix HEIMDEX_."""

    work_dir: Path = Field(default=Path("work"), description="files of runs; beside the cache, sources are links there")


def worker(noun: str, settings: Settings) -> Worker:
    """Return a stage's worker: ``processors.<noun>.worker.StageWorker``."""
    pipeline = settings.pipeline()
    of_stage = {**pipeline.settings.get(noun, {}), **to_mapping(settings.profile, settings.models())}
    module = importlib.import_module(f"processors.{noun}.worker")
    return cast("Worker", module.StageWorker(pipeline.model_version(noun), of_stage))


async def compose(settings: Settings, nouns: Sequence[str], resources: AsyncExitStack) -> list[StagePart]:
    """Return the stages, wired. Raises DependencyUnavailable (transient)."""
    clock = SystemClock()
    producer = await resources.enter_async_context(KafkaProducer(settings.kafka, prefix=settings.topic_prefix))
    s3 = S3Connection(settings.s3())
    resources.callback(s3.close)
    objects = CachedObjects(s3.bucket(settings.s3_bucket), settings.cache_dir)
    leases = Leases(s3.bucket(settings.s3_lease_bucket), clock, instance_id=settings.instance)
    spans = resources.enter_context(tracing.exporting("heimdex-processors"))
    deployed = settings.pipeline()
    model_slot = asyncio.Semaphore(1)
    parts = []
    for stage in (flow.STAGES[noun] for noun in nouns):
        child = ModelChild(threads=settings.threads)
        resources.push_async_callback(child.close)
        work_dir = settings.work_dir / settings.instance / stage.noun
        # Of a process that was killed: videos, too.
        await asyncio.to_thread(shutil.rmtree, work_dir, ignore_errors=True)
        runner = StageRunner(
            stage,
            worker(stage.noun, settings),
            objects=objects,
            leases=leases,
            producer=producer,
            child=child,
            slot=model_slot if stage.model else asyncio.Semaphore(1),
            work_dir=work_dir,
            deployed=deployed,
            clock=clock,
            observe=StageObserver(spans).run,
            deadline_factor=settings.deadline_factor,
        )
        intake = Intake(stage, runner, objects=objects, producer=producer, clock=clock)
        parts.append(stage_part(stage, intake, settings))
    return parts


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 after a signal, 1 after a failure, 2 for a wrong argument."""
    logs.configure()
    nouns = [noun for noun in NOUNS if noun in arguments]
    if not nouns or len(nouns) < len(arguments):
        _log.error("wrong arguments", given=list(arguments), known=list(NOUNS))
        return 2
    settings = Settings()  # type: ignore[call-arg]  # the environment gives them
    try:
        return 0 if asyncio.run(serve(settings, partial(compose, settings, nouns))) else 1
    except HeimdexError as error:
        _log.error("not started", reason=error.reason, error=error.message)
        return 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # a thread of a Faust app that died may never end
