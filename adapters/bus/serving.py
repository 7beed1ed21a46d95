"""Serving: the stages of one process -> one Faust app each in one event loop, until a signal or a death."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from adapters import ops
from adapters.bus.faust import FaustConsumer
from adapters.bus.intake import Intake
from adapters.bus.topics import topics_present
from adapters.settings import BusSettings
from contracts import flow
from contracts.errors import DependencyUnavailable, HeimdexError

_PAUSE_S = 1.0
_STOP_S = 20.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StagePart:
    """A stage that takes its records."""

    intake: Intake
    consumer: FaustConsumer

    def ready(self) -> bool:
        """Return whether it has partitions of a broker that answers, and does not hold events back."""
        return self.consumer.ready() and self.intake.healthy()


Compose = Callable[[AsyncExitStack], Awaitable[Sequence[StagePart]]]
"""Makes the parts of a process, and enters what they need."""


def stage_part(stage: flow.Stage, intake: Intake, settings: BusSettings) -> StagePart:
    """Return a stage with the consumer of what it waits for and of what comes back to it."""
    consumer = FaustConsumer(
        settings.kafka,
        group=stage.group,
        topics=(*map(flow.topic_name, stage.waits_for), stage.redo_topic),
        handler=intake.handle,
        instance=settings.instance,
        prefix=settings.topic_prefix,
    )
    return StagePart(intake, consumer)


async def serve(settings: BusSettings, compose: Compose) -> bool:
    """Run the parts until SIGTERM or SIGINT; return False when one of them has died.

    Servers that are away are waited for: the process is live and not ready. Raises what time does not heal.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parts: list[StagePart] = []
    async with AsyncExitStack() as resources:
        if settings.ops_port:
            pages = await ops.serve(
                settings.ops_port,
                live=lambda: all(part.consumer.healthy() for part in parts),
                ready=lambda: bool(parts) and not stop.is_set() and all(part.ready() for part in parts),
            )
            resources.callback(pages.close)
        stopped = asyncio.create_task(stop.wait())
        composing = asyncio.create_task(_when_up(settings, compose))
        await asyncio.wait({stopped, composing}, return_when=asyncio.FIRST_COMPLETED)
        if not composing.done():
            composing.cancel()
            await asyncio.wait({composing})
            return True
        opened, made = composing.result()
        await resources.enter_async_context(opened)
        parts += made
        runs = [asyncio.create_task(part.consumer.run()) for part in parts]
        _log.info("running", parts=len(parts))
        await asyncio.wait({stopped, *runs}, return_when=asyncio.FIRST_COMPLETED)
        died = any(run.done() for run in runs)
        stopped.cancel()
        _leave_at_last()
        await asyncio.gather(*(part.consumer.stop() for part in parts))
        await asyncio.wait(runs)
    _log.info("stopped", died=died)
    return not died


async def _when_up(settings: BusSettings, compose: Compose) -> tuple[AsyncExitStack, Sequence[StagePart]]:
    """Compose, as soon as what is needed answers."""
    while True:
        async with AsyncExitStack() as trial:
            try:
                if not await topics_present(settings.kafka, prefix=settings.topic_prefix):
                    raise DependencyUnavailable("kafka", "topics are missing: run `python -m control topics`")
                parts = await compose(trial)
                return trial.pop_all(), parts
            except HeimdexError as error:
                if not error.retryable:
                    raise
                _log.warning("waiting for servers", reason=error.reason, error=error.message)
        await asyncio.sleep(_PAUSE_S)


def _leave_at_last() -> None:
    """End the process in any case: a thread of Faust that waits for its broker would keep it."""
    timer = threading.Timer(_STOP_S, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
