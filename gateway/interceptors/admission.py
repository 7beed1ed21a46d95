"""Admission: calls at once -> as many of each class as are served well; the rest is told to come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from contracts.errors import LimitExceeded
from gateway import identity
from gateway.interceptors.around import Around, Call

UNARY, STREAM = "unary", "stream"
LIMITS: Mapping[str, int] = {UNARY: 256, "SearchScenes": 256, "WatchVideo": 1024, "WatchVideos": 256, STREAM: 128}
"""Class -> calls at once of a process. Streams have one each by name: watches are cheap and long, and a hundred of one
tenant may search at once."""
TENANT_SHARE = 0.5


class Admission(Around):
    """Limits calls by class, and one tenant to half of each: one that floods leaves room for the others.

    gRPC's own ``maximum_concurrent_rpcs`` says no RetryInfo and starves health checks.
    """

    def __init__(self, limits: Mapping[str, int] = LIMITS) -> None:
        super().__init__()
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._of_tenant: Counter[tuple[str, str]] = Counter()

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Count the call while it runs. Raises LimitExceeded(OVERLOADED), transient."""
        name = call.method.rpartition("/")[2]
        kind = UNARY
        if call.streams:
            kind = name if name in self._limits else STREAM
        key = (kind, identity.principal().tenant_id)
        limit = self._limits[kind]
        if self._open[kind] >= limit:
            raise LimitExceeded(f"more than {limit} calls of this kind at once", metadata={"subject": "gateway"})
        if self._of_tenant[key] >= max(1, int(limit * TENANT_SHARE)):
            raise LimitExceeded("too many calls of this tenant at once", metadata={"subject": "tenant"})
        self._open[kind] += 1
        self._of_tenant[key] += 1
        try:
            yield
        finally:
            self._open[kind] -= 1
            self._of_tenant[key] -= 1
            if not self._of_tenant[key]:
                del self._of_tenant[key]
