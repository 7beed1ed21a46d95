"""Timing: work and a number of seconds -> its result, or ``Late``; time is the clock's, so tests own it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from contracts.errors import DependencyUnavailable
from contracts.ports import AlarmClock

DEADLINE = "DEADLINE_EXCEEDED"

Result = TypeVar("Result")


class Late(Exception):
    """The work did not end within its seconds; never leaves this package."""


async def within(clock: AlarmClock, seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what ``work`` returns; it is cancelled, and has ended, when this raises.

    Raises: Late after ``seconds`` (at once when they are <= 0), and whatever ``work`` raises.
    """
    if seconds <= 0:
        work.close()
        raise Late
    now_s = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(None) as limit:  # no task of its own: a search has a dozen limits
            alarm = clock.call_later(seconds, lambda: limit.reschedule(now_s()))
            try:
                return await work
            finally:
                alarm.cancel()
    except TimeoutError:
        if limit.expired():
            raise Late from None
        raise


async def in_time(clock: AlarmClock, until_s: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the catalogue reads. Raises DependencyUnavailable (transient) at ``until_s``, and as ``work``."""
    try:
        return await within(clock, until_s - clock.monotonic_s(), work)
    except Late:
        raise DependencyUnavailable(
            "catalog", "the catalogue did not answer in time; try again", reason=DEADLINE
        ) from None


async def stop(tasks: tuple[asyncio.Future[Any], ...]) -> None:
    """Cancel what still runs and wait for it; what it raises then is nobody's any more."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in tasks:
        if not task.cancelled():
            task.exception()
