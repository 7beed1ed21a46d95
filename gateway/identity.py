"""Identity: the call under way -> who calls and by which trace; set by the interceptors, read by the servicers."""

from __future__ import annotations

import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

ADMIN: Final = "admin"
"""Role of who administers the deployment, of whatever tenant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as the verified token says.

    Attributes:
        subject: the user within the tenant.
        expire_ms: Unix milliseconds after which the token is worth nothing.
        roles: what it may do beside what every user may.
    """

    tenant_id: str
    subject: str
    expire_ms: int
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of a call.

    Attributes:
        trace_id: 32 hex digits.
        traceparent: W3C, what goes on with the work that the call begins.
    """

    trace_id: str
    traceparent: str


_principal: ContextVar[Principal] = ContextVar("heimdex_principal")
_trace: ContextVar[Trace] = ContextVar("heimdex_trace")


def principal() -> Principal:
    """Return who calls. LookupError outside an authenticated call: a defect of ours."""
    return _principal.get()


def trace() -> Trace:
    """Return the trace of the call; a new one outside a call."""
    return _trace.get(None) or new_trace()


def enter_principal(who: Principal) -> None:
    """Make ``who`` the caller for the rest of this task: each call has a task of its own."""
    _principal.set(who)


def enter_trace(of: Trace) -> None:
    """Make ``of`` the trace for the rest of this task: each call has a task of its own."""
    _trace.set(of)


def new_trace() -> Trace:
    """Return a trace that nobody has begun before."""
    trace_id = secrets.token_hex(16)
    return Trace(trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-01")
