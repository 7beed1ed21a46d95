"""Control: the environment -> the named consumers and sweepers in one process, until SIGTERM or SIGINT.

``python -m control [relay tracker people eraser retry reconciler builder]`` runs those named, all by default;
``python -m control topics`` makes topics and buckets, and exits.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
from pydantic import Field

from adapters import logs, ops
from adapters.bus.kafka import BatchHandler, KafkaBatchConsumer, KafkaConsumer, KafkaProducer
from adapters.bus.topics import ensure_topics, topics_present
from adapters.catalog.sql import SqlCatalog
from adapters.clock import SystemClock
from adapters.objects.buckets import ensure_buckets
from adapters.objects.s3 import S3Connection
from adapters.settings import BusSettings, CatalogSettings, ObjectSettings, PipelineSettings, StoreSettings
from contracts import flow
from contracts.errors import HeimdexError, PreconditionFailed
from contracts.ports import Consumer, Handler, Objects
from control.builder.builder import GRACE_S
from control.eraser.eraser import LEASE_WAIT_S
from control.guard import Guard, together

_COME_UP_S = 60.0
_PAUSE_S = 1.0
_STOP_S = 10.0  # of consumers and sweepers, and then of the relay; the process manager kills after 30 s

_log = structlog.get_logger()


class TopicsSettings(BusSettings, ObjectSettings):
    """What ``topics`` reads."""

    topic_partitions: int = Field(default=4, ge=1, description="partitions of every topic")
    topic_replicas: int = Field(default=1, ge=1, description="replication factor of topics that are made")


class Settings(BusSettings, ObjectSettings, StoreSettings, CatalogSettings, PipelineSettings):
    """What the consumers read."""

    erasure_wait_s: float = Field(
        default=LEASE_WAIT_S, ge=0, description="how long an erasure waits for leases and late writers, seconds"
    )
    generation_grace_s: float = Field(
        default=GRACE_S, ge=0, description="how long the index of a dropped generation stays, seconds"
    )


@dataclass(frozen=True, slots=True)
class Part:
    """Something that runs: ``stop`` asks it to end; without one it is cancelled."""

    noun: str
    run: Callable[[], Awaitable[None]]
    healthy: Callable[[], bool]
    stop: Callable[[], Awaitable[None]] | None = None


class Process:
    """The parts of one process and what they share."""

    def __init__(self, settings: Settings, resources: AsyncExitStack) -> None:
        self._settings = settings
        self._resources = resources
        self._clock = SystemClock()
        self._catalog = SqlCatalog(settings.catalog)
        self._producer = KafkaProducer(settings.kafka, prefix=settings.topic_prefix)
        self._s3: S3Connection | None = None

    async def start(self) -> None:
        """Open what every part needs. Raises DependencyUnavailable (transient) and PreconditionFailed (permanent)."""
        await self._resources.enter_async_context(self._catalog)
        await self._catalog.ready()
        if not await topics_present(self._settings.kafka, prefix=self._settings.topic_prefix):
            raise PreconditionFailed("topics are missing: run `python -m control topics`")
        await self._resources.enter_async_context(self._producer)

    async def part(self, noun: str) -> Part:
        """Make a part by its noun in ``flow.CONTROL``."""
        of_catalogue_and_bus = {
            "relay": self._relay,
            "tracker": self._tracker,
            "people": self._people,
            "retry": self._retry,
            "reconciler": self._reconciler,
        }
        match noun:
            case "eraser":
                return await self._eraser()
            case "builder":
                return await self._builder()
            case _ if noun in of_catalogue_and_bus:
                return of_catalogue_and_bus[noun]()
        raise ValueError(f"no control part {noun!r}")

    def _relay(self) -> Part:
        from control.relay.relay import Relay

        relay = Relay(self._catalog, self._producer, self._clock, holder=self._settings.instance)
        return Part("relay", relay.run, relay.healthy, relay.stop)

    def _tracker(self) -> Part:
        from control.tracker.tracker import Tracker

        return self._batching("tracker", Tracker(self._catalog, self._clock).apply)

    def _people(self) -> Part:
        from adapters.models import profiles
        from control.people.matcher import Matcher

        faces = profiles.face_model(self._settings.profile, self._settings.models())
        return self._consuming("people", Matcher(self._catalog, self._objects(), faces, self._clock).handle)

    async def _eraser(self) -> Part:
        from adapters.objects.cached import CachedObjects
        from adapters.text.opensearch import OpenSearchText
        from adapters.vectors.milvus import MilvusVectors
        from control.eraser.eraser import Eraser

        enter, settings = self._resources.enter_async_context, self._settings
        text_vectors = await enter(MilvusVectors(settings.milvus_text))
        one = settings.milvus_vision == settings.milvus_text
        vision_vectors = text_vectors if one else await enter(MilvusVectors(settings.milvus_vision))
        text = await enter(OpenSearchText(settings.opensearch))
        objects = CachedObjects(self._objects(), settings.cache_dir)
        eraser = Eraser(
            self._catalog,
            objects,
            text_vectors,
            vision_vectors,
            text,
            leases=self._bucket(settings.s3_lease_bucket),
            clock=self._clock,
            lease_wait_s=settings.erasure_wait_s,
        )
        guard = Guard("eraser", eraser.handle, self._producer, self._clock)
        return self._batching("eraser", together(guard.handle))  # each waits for leases: all at once, not in turn

    def _retry(self) -> Part:
        from control.retry.retry import Retry

        return self._consuming("retry", Retry(self._producer, self._clock).handle)

    def _reconciler(self) -> Part:
        from control.reconciler.reconciler import Reconciler

        reconciler = Reconciler(self._catalog, self._objects(), self._clock)
        return Part("reconciler", reconciler.run, reconciler.healthy)

    async def _builder(self) -> Part:
        from adapters.text.opensearch import OpenSearchText
        from control.builder.builder import Builder

        text = await self._resources.enter_async_context(OpenSearchText(self._settings.opensearch))
        builder = Builder(self._catalog, text, self._clock, grace_s=self._settings.generation_grace_s)
        return Part("builder", builder.run, builder.healthy)

    def _consuming(self, noun: str, handler: Handler) -> Part:
        """Make a part that takes single records; what time does not heal becomes a dead letter."""
        control = flow.CONTROL[noun]
        consumer = KafkaConsumer(
            self._settings.kafka,
            group=control.group,
            topics=control.takes,
            handler=Guard(noun, handler, self._producer, self._clock).handle,
            instance=self._settings.instance,
            prefix=self._settings.topic_prefix,
        )
        return _of_consumer(noun, consumer)

    def _batching(self, noun: str, handler: BatchHandler) -> Part:
        """Make a part that takes many records at once."""
        control = flow.CONTROL[noun]
        consumer = KafkaBatchConsumer(
            self._settings.kafka,
            group=control.group,
            topics=control.takes,
            handler=handler,
            instance=self._settings.instance,
            prefix=self._settings.topic_prefix,
        )
        return _of_consumer(noun, consumer)

    def _objects(self) -> Objects:
        return self._bucket(self._settings.s3_bucket)

    def _bucket(self, name: str) -> Objects:
        if self._s3 is None:
            self._s3 = S3Connection(self._settings.s3())
            self._resources.callback(self._s3.close)
        return self._s3.bucket(name)


def _of_consumer(noun: str, consumer: Consumer) -> Part:
    return Part(noun, consumer.run, consumer.healthy, consumer.stop)


async def make_topics(settings: TopicsSettings) -> None:
    """Make topics and buckets. Raises PreconditionFailed for other partition counts (permanent)."""
    await ensure_topics(
        settings.kafka,
        prefix=settings.topic_prefix,
        partitions=settings.topic_partitions,
        replicas=settings.topic_replicas,
    )
    connection = S3Connection(settings.s3())
    try:
        await ensure_buckets(connection, settings.s3_bucket, settings.s3_lease_bucket)
    finally:
        connection.close()


async def when_up(work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work``, again for up to 60 s while servers come up. Raises its last error."""
    until_s = asyncio.get_running_loop().time() + _COME_UP_S
    while True:
        try:
            return await work()
        except HeimdexError as error:
            if not error.retryable or asyncio.get_running_loop().time() >= until_s:
                raise
            _log.warning("waiting for servers", reason=error.reason, error=error.message)
        await asyncio.sleep(_PAUSE_S)


async def run(settings: Settings, nouns: Sequence[str]) -> bool:
    """Run the parts until a signal; return False when one of them has died."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ready = asyncio.Event()
    parts: list[Part] = []
    async with AsyncExitStack() as resources:
        if settings.ops_port:
            pages = await ops.serve(
                settings.ops_port, live=lambda: all(part.healthy() for part in parts), ready=ready.is_set
            )
            resources.callback(pages.close)
        process = Process(settings, resources)
        starting = asyncio.create_task(when_up(process.start))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return True
        await starting
        parts += [await process.part(noun) for noun in nouns]
        tasks = {part.noun: asyncio.ensure_future(part.run()) for part in parts}
        ready.set()
        _log.info("running", parts=list(tasks))
        await asyncio.wait({stopped, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        ready.clear()
        died = [noun for noun, task in tasks.items() if task.done()]
        if died:
            _log.error("part died", parts=died)
        stopped.cancel()
        await _stop(parts, tasks)
    _log.info("stopped")
    return not died


async def _stop(parts: Sequence[Part], tasks: Mapping[str, asyncio.Future[None]]) -> None:
    """End the consumers and sweepers, then the relay, which sends what they have just written."""
    for last in (False, True):
        await asyncio.gather(*(_end(part, tasks[part.noun]) for part in parts if (part.noun == "relay") is last))


async def _end(part: Part, task: asyncio.Future[None]) -> None:
    try:
        async with asyncio.timeout(_STOP_S):
            if part.stop is not None:
                await part.stop()
            else:
                task.cancel()
            await asyncio.wait({task})
    except TimeoutError:
        _log.error("did not stop in time", part=part.noun)
        task.cancel()
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        _log.error("part failed", part=part.noun, exc_info=error)


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 after a signal, 1 after a failure, 2 for a wrong argument."""
    logs.configure()
    nouns = tuple(arguments) or tuple(flow.CONTROL)
    unknown = sorted(set(nouns) - set(flow.CONTROL) - {"topics"})
    if unknown or ("topics" in nouns and len(nouns) > 1):
        _log.error("wrong arguments", given=list(nouns), known=[*flow.CONTROL, "topics"])
        return 2
    try:
        if nouns == ("topics",):
            settings = TopicsSettings()  # type: ignore[call-arg]  # the environment gives them
            asyncio.run(when_up(lambda: make_topics(settings)))
            return 0
        ordered = [noun for noun in flow.CONTROL if noun in nouns]
        return 0 if asyncio.run(run(Settings(), ordered)) else 1  # type: ignore[call-arg]
    except HeimdexError as error:
        _log.error("not started", reason=error.reason, error=error.message)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
