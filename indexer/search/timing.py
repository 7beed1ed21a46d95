"""Timing: work and a number of seconds -> its result, or ``Late``; time is the clock's, so tests own it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from contracts.errors import DependencyUnavailable
from contracts.ports import Clock

DEADLINE = "DEADLINE_EXCEEDED"

Result = TypeVar("Result")


class Late(Exception):
    """The work did not end within its seconds; never leaves this package."""


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what ``work`` returns; it is cancelled, and has ended, when this raises.

    Raises: Late after ``seconds`` (at once when they are <= 0), and whatever ``work`` raises.
    """
    if seconds <= 0:
        work.close()
        raise Late
    task, timer = asyncio.ensure_future(work), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Late
        return task.result()
    finally:
        await stop((task, timer))


async def in_time(clock: Clock, until_s: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the catalogue reads. Raises DependencyUnavailable (transient) at ``until_s``, and as ``work``."""
    try:
        return await within(clock, until_s - clock.monotonic_s(), work)
    except Late:
        raise DependencyUnavailable("catalog", "the catalogue did not answer in time", reason=DEADLINE) from None


async def stop(tasks: tuple[asyncio.Future[Any], ...]) -> None:
    """Cancel what still runs and wait for it; what it raises then is nobody's any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
