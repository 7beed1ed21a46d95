"""Deadline: a unary call -> an answer in bounded time, whatever the client asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts.errors import DependencyUnavailable
from gateway.interceptors.around import Around, Call

UNARY_S = 60.0
"""Longest unary call. CompleteUpload of the largest video, joined by a slow store, stays far below."""


class Deadline(Around):
    """Ends unary calls that take too long. A client's own, shorter deadline is gRPC's business: it cancels the call."""

    def __init__(self, *, unary_s: float = UNARY_S) -> None:
        self._unary_s = unary_s

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Bound the time of a unary call. Raises DependencyUnavailable(DEADLINE_EXCEEDED), transient."""
        if call.streams:
            yield
            return
        try:
            async with asyncio.timeout(self._unary_s) as bound:
                yield
        except TimeoutError:
            if not bound.expired():
                raise
            raise DependencyUnavailable(
                "gateway", f"the call did not end within {self._unary_s:g} s", reason="DEADLINE_EXCEEDED"
            ) from None
