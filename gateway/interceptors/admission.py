"""Admission: calls at once -> as many of each class as are served well; the rest is told when to come back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from contracts.errors import LimitExceeded
from contracts.ports import Clock
from gateway import identity
from gateway.interceptors.around import Around, Call
from gateway.interceptors.turns import Turns

UNARY, STREAM, SEARCHES = "unary", "stream", "SearchScenes"
MAX_SEARCHES: Final = 200
"""Searches at once of a process. Source: two cores serve a hundred of one tenant well, and who is let in waits for all
of them: of 300 callers those let in wait 0.8 × as long (P95) as with 224, which let 112 in; pairs of runs."""
TENANT_SHARE = 0.5


def limits(max_searches: int = MAX_SEARCHES) -> Mapping[str, int]:
    """Return class -> calls at once of a process. Streams have one each by name: watches are cheap and long."""
    return {UNARY: 256, SEARCHES: max_searches, "WatchVideo": 1024, "WatchVideos": 256, STREAM: 128}


@dataclass(slots=True)
class _Line:
    """Calls under way, and turns of those who found no place."""

    open: int = 0
    turns: Turns = field(default_factory=Turns)


class Admission(Around):
    """Limits calls by class, and one tenant to half of each: one that floods leaves room for the others.

    gRPC's own ``maximum_concurrent_rpcs`` says no RetryInfo and starves health checks.
    """

    def __init__(self, clock: Clock, limits: Mapping[str, int]) -> None:
        self._clock = clock
        self._limits = limits
        self._all = {kind: _Line() for kind in limits}
        self._of_tenant: dict[tuple[str, str], _Line] = {}

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Count the call while it runs. Raises LimitExceeded(OVERLOADED), transient."""
        name = call.method.rpartition("/")[2]
        kind = UNARY
        if call.streams:
            kind = name if name in self._limits else STREAM
        limit = self._limits[kind]
        key = (kind, identity.principal().tenant_id)
        everybody = self._all[kind]
        tenant = self._of_tenant.get(key) or _Line()
        start_s = self._clock.monotonic_s()
        if everybody.open >= limit:
            raise _full("too many calls of this kind at once", "gateway", everybody.turns.take(start_s, limit))
        share = max(1, int(limit * TENANT_SHARE))
        if tenant.open >= share:
            raise _full("too many calls of this tenant at once", "tenant", tenant.turns.take(start_s, share))
        self._of_tenant[key] = tenant
        for line in (everybody, tenant):
            line.open += 1
        try:
            yield
        finally:
            seconds = self._clock.monotonic_s() - start_s
            for line in (everybody, tenant):
                line.open -= 1
                line.turns.ended(seconds)
            if not tenant.open:
                del self._of_tenant[key]


def _full(message: str, subject: str, retry_after_s: float) -> LimitExceeded:
    return LimitExceeded(message, metadata={"subject": subject}, retry_after_s=retry_after_s)
