"""Calls: every call -> its trace, its metrics and the words that its log lines share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import Counter, Gauge, Histogram

from gateway import identity
from gateway.interceptors.around import Around, Call

_CALLS = Counter("heimdex_gateway_calls_total", "Calls that have ended, by gRPC code.", ("method", "code"))
_OPEN = Gauge("heimdex_gateway_calls_open", "Calls under way.", ("method",))
_SECONDS = Histogram("heimdex_gateway_call_seconds", "Seconds of a unary call.", ("method",))


class Calls(Around):
    """The outermost interceptor."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Begin or continue the trace; count and time the call."""
        trace = identity.parse_trace(call.metadata.get("traceparent", ""))
        identity.enter_trace(trace)
        name = call.method.rpartition("/")[2]
        start_s = time.monotonic()
        code = "OK"
        _OPEN.labels(name).inc()
        try:
            with structlog.contextvars.bound_contextvars(method=name, trace_id=trace.trace_id):
                yield
        except BaseException:
            code = _code(call)
            raise
        finally:
            _OPEN.labels(name).dec()
            _CALLS.labels(name, code).inc()
            if not call.streams:
                _SECONDS.labels(name).observe(time.monotonic() - start_s)


def _code(call: Call) -> str:
    """Return the name of the code that a call was ended with; CANCELLED when it was ended with none."""
    code = call.context.code()
    name = getattr(code, "name", None)  # an integer before anything was said
    return str(name) if name and name != "OK" else "CANCELLED"
