"""Breaker: the latest endings -> whether failing is the rule, so that no topic drains into dead letters."""

from __future__ import annotations

from collections import deque

from contracts.ports import Clock

WINDOW = 20
MIN_SAMPLES = 10
MAX_FAILED_SHARE = 0.5
"""Both chosen: more than half of ten is an outage, no row of bad videos, which are REJECTED and do not count."""

HOLD_S = 30.0


class Breaker:
    """Opens when most of the latest endings are FAILED; closes at the first that is not. REJECTED counts as good."""

    def __init__(self, clock: Clock, *, hold_s: float = HOLD_S) -> None:
        """Configure; ``hold_s`` is the pause between probes while it is open."""
        self._clock = clock
        self._hold_s = hold_s
        self._failed: deque[bool] = deque(maxlen=WINDOW)

    @property
    def open(self) -> bool:
        """Whether another failure should be held back rather than given up."""
        return len(self._failed) >= MIN_SAMPLES and sum(self._failed) > MAX_FAILED_SHARE * len(self._failed)

    def good(self) -> None:
        """Take note of an ending that is not FAILED."""
        if self.open:
            self._failed.clear()
        self._failed.append(False)

    def bad(self) -> None:
        """Take note of a FAILED."""
        self._failed.append(True)

    async def hold(self) -> None:
        """Wait before the same event is tried again: a probe."""
        await self._clock.sleep(self._hold_s)
