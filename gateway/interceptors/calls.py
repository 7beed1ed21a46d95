"""Calls: every call -> its trace, its metrics and the words that its log lines share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

from gateway import identity
from gateway.identity import Trace
from gateway.interceptors.around import Around, Call

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_CALLS = Counter("heimdex_gateway_calls_total", "Calls that have ended, by gRPC code.", ("method", "code"))
_OPEN = Gauge("heimdex_gateway_calls_open", "Calls under way.", ("method",))
_SECONDS = Histogram("heimdex_gateway_call_seconds", "Seconds of a call to its end.", ("method",), buckets=_BUCKETS)

_W3C = TraceContextTextMapPropagator()


class Calls(Around):
    """The outermost interceptor."""

    def __init__(self, tracer: trace.Tracer) -> None:
        """Configure; ``tracer`` makes a span of each call."""
        self._tracer = tracer

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Begin or continue the trace; count and time the call."""
        name = call.method.rpartition("/")[2]
        start_s = time.monotonic()
        code = "OK"
        _OPEN.labels(name).inc()
        with self._tracer.start_as_current_span(
            call.method.lstrip("/"),
            context=_W3C.extract(call.metadata),
            kind=trace.SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            begun = trace_of(span.get_span_context())
            identity.enter_trace(begun)
            try:
                with structlog.contextvars.bound_contextvars(method=name, trace_id=begun.trace_id):
                    yield
            except BaseException:
                code = _code(call)
                raise
            finally:
                span.set_attributes(_attributes(call, code))
                _OPEN.labels(name).dec()
                _CALLS.labels(name, code).inc()
                _SECONDS.labels(name).observe(time.monotonic() - start_s)


def trace_of(span: trace.SpanContext) -> Trace:
    """Return the trace of a span; a new one when there is none, for work that the call begins goes on with it."""
    if not span.is_valid:
        return identity.new_trace()
    trace_id = trace.format_trace_id(span.trace_id)
    return Trace(trace_id, f"00-{trace_id}-{trace.format_span_id(span.span_id)}-{span.trace_flags:02x}")


def _attributes(call: Call, code: str) -> Mapping[str, str]:
    service, _, name = call.method.lstrip("/").partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name, "rpc.response.status_code": code}


def _code(call: Call) -> str:
    """Return the name of the code that a call was ended with; CANCELLED when it was ended with none."""
    code = call.context.code()
    name = getattr(code, "name", None)  # an integer before anything was said
    return str(name) if name and name != "OK" else "CANCELLED"
