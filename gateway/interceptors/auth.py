"""Auth: the call's bearer token -> ``gateway.identity.principal()``; calls without a good one end here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from gateway import identity
from gateway.interceptors.around import Around, Call
from gateway.tokens import TokenVerifier


class Auth(Around):
    """Verifies tokens."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Make the token's principal the caller. Raises Unauthenticated (permanent)."""
        who = self._verifier.verify(call.metadata.get("authorization"))
        identity.enter_principal(who)
        structlog.contextvars.bind_contextvars(tenant=who.tenant_id)  # to the end of the call's task
        yield
