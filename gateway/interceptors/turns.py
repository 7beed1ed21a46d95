"""Turns: calls that ended, calls that are refused -> when each of these comes back, as places become free. Pure."""

from __future__ import annotations

import math
from typing import Final

MIN_S: Final = 1.0
"""Nobody comes back sooner."""

MAX_S: Final = 10.0
"""Nobody is sent away for longer: the SDK gives a search as long as that."""

_LASTING: Final = 32
"""How many calls the mean of their seconds remembers."""

_NEWCOMERS: Final = 2
"""One place in two is left to those who come back, the other to who comes for the first time."""


class Turns:
    """One line of those who were refused.

    With all places taken, one becomes free each (seconds of a call) ÷ places. Those who come back do so one by one, at
    half that pace, not all at once: so few are refused again, and refusing costs little.
    """

    def __init__(self) -> None:
        self._mean_s = MIN_S
        self._last_s = -math.inf

    def ended(self, seconds: float) -> None:
        """Take note that a call has ended, after so many seconds."""
        self._mean_s += (seconds - self._mean_s) / _LASTING

    def take(self, now_s: float, places: int) -> float:
        """Return the seconds until the next turn, which is taken with it.

        Args:
            places: calls that may be under way at once, >= 1.
        """
        gap_s = _NEWCOMERS * self._mean_s / places
        self._last_s = min(max(now_s + MIN_S, self._last_s + gap_s), now_s + MAX_S)
        return self._last_s - now_s
