"""Clock: nothing -> the time of this machine."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """``contracts.ports.Clock`` of the operating system."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Unix milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Wait; below zero is zero."""
        await asyncio.sleep(max(0.0, seconds))
