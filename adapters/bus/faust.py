"""Faust: records of ``contracts.ports`` from a real broker, by one Faust app a consumer group.

Faust brings records; this module decides what becomes of them. The handler runs in a task of its own, a record is
acknowledged after it returned and never otherwise, and no actor ends by an exception: Faust would restart it behind
the record that it failed on. What Faust or Kafka cannot get over ends ``run``, and with it the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from faust import App

from adapters.bus.topics import topics_present
from contracts.errors import DependencyUnavailable, Internal
from contracts.ports import Handler, Record

_SESSION_TIMEOUT_S = 15.0  # a dead member's partitions move after this; a restarted one has them back at once
_HEARTBEAT_S = 3.0
_REQUEST_TIMEOUT_S = 90.0
_REBALANCE_TIMEOUT_S = 60.0
_MAX_POLL_INTERVAL_S = 10 * 365 * 86_400.0  # client-side only; a member beyond it leaves and never returns: never
_PROCESSING_TIMEOUT_S = 3_600.0  # Faust only complains; deadlines are the runner's
_COMMIT_S = 1.0
_LAST_COMMIT_S = 5.0
_BUFFER_RECORDS = 16
_TICK_S = 1.0
_LOOK_S = 10.0
_PAUSE_S = 1.0
_DEAD_AFTER_S = 15.0
_STILL_S = 120.0  # chosen, as the 15 s above: longer than any rebalance takes

_log = structlog.get_logger()


class _App(App):
    """A Faust app that keeps nothing on disk."""

    def _create_directories(self) -> None:
        pass


class FaustConsumer:
    """``contracts.ports.Consumer``: single records, in order of their partition, one in flight a partition.

    Several may run in one event loop. A rebalance cancels the handlers of partitions that move; a record whose
    partition stays may come once more after its handler has returned.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        instance: str,
        prefix: str = "",
    ) -> None:
        """Name a membership.

        Args:
            topics: without prefix.
            handler: may take minutes a record.
            instance: stable slot of the process; two live members of a group must not share it.
        """
        self._bootstrap = bootstrap
        self._group = group
        self._topics = tuple(topics)
        self._handler = handler
        self._instance = instance
        self._prefix = prefix
        self._app: Any = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._started = False
        self._crashed = False
        self._failure: asyncio.Future[None] | None = None
        self._actors: list[set[Any]] = []
        self._in_flight = 0
        self._taken: dict[Any, int] = {}
        self._tick_s = time.monotonic()
        self._looked_s = 0.0
        self._behind_s: float | None = None

    async def run(self) -> None:
        """Deliver until ``stop``. Raises what a handler raised, and what Faust cannot get over: exit then."""
        self._started = True
        self._failure = asyncio.get_running_loop().create_future()
        stop = asyncio.create_task(self._stopping.wait())
        start = asyncio.create_task(self._start())
        waited: set[asyncio.Future[Any]] = {stop, start, self._failure}
        try:
            while not stop.done():
                self._tick_s = time.monotonic()
                done, _ = await asyncio.wait(waited, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
                for ended in done - {stop}:
                    ended.result()
                    waited.discard(ended)
                if start.done():
                    await self._look()
        except Exception:
            self._crashed = True
            _log.exception("consumer died", group=self._group)
            raise
        finally:
            for task in (stop, start):
                task.cancel()
            await asyncio.wait({stop, start})
            await self._end()
            self._ended.set()

    async def stop(self) -> None:
        """End gracefully: the record in flight stays unacknowledged."""
        self._stopping.set()
        if self._started:
            await self._ended.wait()

    def healthy(self) -> bool:
        """Return False when it has died, or stands still while there is work; a broker that is away is no illness."""
        now_s = time.monotonic()
        if self._crashed or (self._behind_s is not None and now_s - self._behind_s >= _STILL_S):
            return False
        running = self._started and not self._ended.is_set()
        return not running or now_s - self._tick_s < _DEAD_AFTER_S

    def ready(self) -> bool:
        """Return whether it has partitions and the broker answers."""
        kafka = self._kafka()
        return kafka is not None and bool(kafka.assignment()) and kafka._coordinator.coordinator_id is not None  # noqa: SLF001

    # ---------------------------------------------------------------------------------------------- start

    async def _start(self) -> None:
        # A topic that is made later would not be noticed for minutes.
        while not await self._topics_are_there():  # noqa: ASYNC110 - nobody tells when a broker is there
            await asyncio.sleep(_PAUSE_S)
        self._app = app = self._make_app()
        await app.start()
        _log.info("joining", group=self._group)

    async def _topics_are_there(self) -> bool:
        try:
            return await topics_present(self._bootstrap, prefix=self._prefix, names=self._topics)
        except DependencyUnavailable as error:
            _log.warning("not connected", group=self._group, error=error.message)
            return False

    def _make_app(self) -> Any:
        app = _App(
            f"{self._prefix}{self._group}",
            broker=[f"kafka://{address.strip()}" for address in self._bootstrap.split(",")],
            store="memory://",
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            key_serializer="raw",
            value_serializer="raw",
            broker_max_poll_interval=_MAX_POLL_INTERVAL_S,
            broker_session_timeout=_SESSION_TIMEOUT_S,
            broker_heartbeat_interval=_HEARTBEAT_S,
            broker_request_timeout=_REQUEST_TIMEOUT_S,
            broker_rebalance_timeout=_REBALANCE_TIMEOUT_S,
            broker_commit_interval=_COMMIT_S,
            stream_wait_empty=False,
            stream_processing_timeout=_PROCESSING_TIMEOUT_S,
            stream_buffer_maxsize=_BUFFER_RECORDS,
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=f"{self._group}-{self._instance}",
            worker_redirect_stdouts=False,
        )
        topic = app.topic(*(f"{self._prefix}{name}" for name in self._topics), key_type=bytes, value_type=bytes)
        app.agent(topic, name=self._group, concurrency=1, isolated_partitions=True)(self._act)
        app.finalize()
        return app

    async def _end(self) -> None:
        app = self._app
        if app is None:
            return
        with contextlib.suppress(Exception):  # what is not committed comes again
            async with asyncio.timeout(_LAST_COMMIT_S):
                await app.commit(None)  # Faust's own way out forgets acknowledgements when it rejoins on it
        await app.stop()

    # ------------------------------------------------------------------------------------------- delivery

    async def _act(self, stream: Any) -> None:
        """Take the records of one partition, until Faust cancels it.

        It returns on cancellation instead of raising: Faust restarts what raises, beside the actor that the partition
        will get when it comes back.
        """
        partitions: set[Any] = stream.active_partitions  # filled in when Faust knows them
        self._actors.append(partitions)
        events = stream.noack()
        try:
            async with contextlib.aclosing(aiter(events)) as values:
                async for _ in values:
                    event = events.current_event
                    await self._take(event.message)
                    event.ack()
        except asyncio.CancelledError:
            return
        finally:
            self._actors[:] = [other for other in self._actors if other is not partitions]
            for partition in partitions:
                self._taken.pop(partition, None)

    async def _take(self, message: Any) -> None:
        """Return when the handler did; when it raises, end the consumer and never return: no record is skipped."""
        self._taken[message.tp] = message.offset + 1
        self._behind_s = None
        self._in_flight += 1
        handling = asyncio.ensure_future(self._handler(self._record(message)))
        try:
            await asyncio.wait({handling})
        finally:
            self._in_flight -= 1
            if not handling.done():
                handling.cancel()
                await asyncio.wait({handling})
        error = Internal("a handler was cancelled by itself") if handling.cancelled() else handling.exception()
        if error is None:
            return
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)
        await asyncio.Event().wait()

    def _record(self, message: Any) -> Record:
        return Record(
            topic=message.topic.removeprefix(self._prefix),
            key=(message.key or b"").decode("utf-8", "replace"),
            value=message.value,
            headers=tuple((name, value or b"") for name, value in message.headers or ()),
            partition=message.partition,
            offset=message.offset,
        )

    # --------------------------------------------------------------------------------------------- health

    async def _look(self) -> None:
        """Raise Internal when Faust is dead; note since when it has stood still."""
        app = self._app
        if app.crashed or app.should_stop or not app.consumer._thread._thread.is_alive():  # noqa: SLF001
            raise Internal(f"the Faust app of {self._group} died") from app.crash_reason
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            if self._in_flight or not await self._is_behind():
                self._behind_s = None
            elif self._behind_s is None:
                self._behind_s = now_s

    async def _is_behind(self) -> bool:
        """Return whether there is more to deliver, as far as a broker that answers has told."""
        kafka = self._kafka()
        if kafka is None or self._app.rebalancing:
            return False
        acting = set().union(*self._actors)
        try:
            async with asyncio.timeout(_TICK_S):
                for partition in kafka.assignment():
                    high, answered_ms = kafka.highwater(partition), kafka.last_poll_timestamp(partition)
                    if high is None or time.time() * 1000 - answered_ms > _DEAD_AFTER_S * 1000:
                        continue
                    fetched = await self._app.consumer.position(partition)
                    if fetched < high or self._taken.get(partition, fetched) < fetched or partition not in acting:
                        return True
        except (KafkaError, AssertionError, TimeoutError):  # the partitions are moving
            return False
        return False

    def _kafka(self) -> Any:
        """Return aiokafka's consumer below Faust's, which its thread uses; None while there is none."""
        return self._app.consumer._thread._consumer if self._app is not None else None  # noqa: SLF001
