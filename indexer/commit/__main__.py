"""The commit process, ``python -m indexer.commit``: the last stage on its Faust app, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from functools import partial

import structlog
from pydantic import Field

from adapters import logs, tracing
from adapters.bus.intake import Intake
from adapters.bus.kafka import KafkaProducer
from adapters.bus.observer import StageObserver
from adapters.bus.serving import StagePart, serve, stage_part
from adapters.catalog.sql import SqlCatalog
from adapters.clock import SystemClock
from adapters.objects.s3 import S3Connection
from adapters.settings import BusSettings, CatalogSettings, ObjectSettings, PipelineSettings, StoreSettings
from adapters.text.opensearch import OpenSearchText
from adapters.vectors.milvus import MilvusVectors
from contracts import flow
from contracts.errors import HeimdexError
from indexer.commit.handler import GRACE_S, CommitHandler

_STAGE = flow.STAGES["commit"]

_log = structlog.get_logger()


class Settings(BusSettings, ObjectSettings, StoreSettings, CatalogSettings, PipelineSettings):
    """What the process reads from its environment, all with the prefix HEIMDEX_."""

    commit_grace_s: float = Field(default=GRACE_S, ge=0, description="how long rows of a replaced revision stay")


async def compose(settings: Settings, resources: AsyncExitStack) -> list[StagePart]:
    """Return the stage, wired. Raises DependencyUnavailable (transient) while the catalogue or Kafka is away."""
    enter, clock = resources.enter_async_context, SystemClock()
    catalog = await enter(SqlCatalog(settings.catalog))
    await catalog.ready()
    producer = await enter(KafkaProducer(settings.kafka, prefix=settings.topic_prefix))
    s3 = S3Connection(settings.s3())
    resources.callback(s3.close)
    objects = s3.bucket(settings.s3_bucket)
    text_vectors = await enter(MilvusVectors(settings.milvus_text))
    one = settings.milvus_vision == settings.milvus_text
    vision_vectors = text_vectors if one else await enter(MilvusVectors(settings.milvus_vision))
    handler = CommitHandler(
        catalog,
        objects,
        text_vectors,
        vision_vectors,
        await enter(OpenSearchText(settings.opensearch)),
        producer=producer,
        clock=clock,
        observe=StageObserver(resources.enter_context(tracing.exporting("heimdex-commit"))).run,
        grace_s=settings.commit_grace_s,
        deadline_factor=settings.deadline_factor,
    )
    resources.push_async_callback(handler.close)
    intake = Intake(_STAGE, handler, objects=objects, producer=producer, clock=clock)
    return [stage_part(_STAGE, intake, settings)]


def main() -> int:
    """Return the exit code: 0 after a signal, 1 after a failure."""
    logs.configure()
    settings = Settings()  # type: ignore[call-arg]  # the environment gives them
    try:
        return 0 if asyncio.run(serve(settings, partial(compose, settings))) else 1
    except HeimdexError as error:
        _log.error("not started", reason=error.reason, error=error.message)
        return 1


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a thread of a Faust app that died may never end
