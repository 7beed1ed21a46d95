"""Refusals: calls that were told to come back -> how many they were, in the log once a second."""

from __future__ import annotations

from collections import Counter
from typing import Final

import structlog

from contracts.ports import AlarmClock

EVERY_S: Final = 1.0

_log = structlog.get_logger()


class Refusals:
    """Counts refusals: a crowd that is sent away must not cost a line each. Metrics count all calls anyway."""

    def __init__(self, clock: AlarmClock) -> None:
        self._clock = clock
        self._counted: Counter[tuple[str, str, str, str]] = Counter()

    def add(self, reason: str, message: str) -> None:
        """Count the refusal of the call under way; a line says so within a second, one for all that are alike."""
        if not self._counted:
            self._clock.call_later(EVERY_S, self._say)
        words = structlog.contextvars.get_contextvars()
        self._counted[words.get("method", ""), words.get("tenant", ""), reason, message] += 1

    def _say(self) -> None:
        structlog.contextvars.clear_contextvars()  # an alarm runs in a copy of the context of the call that set it
        counted, self._counted = self._counted, Counter()
        for (method, tenant, reason, message), calls in counted.items():
            _log.warning("calls refused", method=method, tenant=tenant, reason=reason, error=message, calls=calls)
