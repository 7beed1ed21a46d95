"""Clock: nothing -> the time of this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class SystemClock:
    """``contracts.ports.AlarmClock`` of the operating system."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Unix milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Wait; below zero is zero."""
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call from the event loop after so many seconds."""
        return asyncio.get_running_loop().call_later(seconds, callback)
