"""Traces: what a caller says of its trace goes on; what is none begins one."""

from __future__ import annotations

import re

import pytest
from opentelemetry.trace import SpanContext, TraceFlags, get_current_span

from gateway.interceptors.calls import _W3C, trace_of

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def begun_by(header: str) -> SpanContext:
    return get_current_span(_W3C.extract({"traceparent": header})).get_span_context()


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_callers_trace_goes_on(flags: str) -> None:
    header = f"00-{TRACE_ID}-{SPAN_ID}-{flags}"
    assert trace_of(begun_by(header)).traceparent == header
    assert trace_of(begun_by(header)).trace_id == TRACE_ID


def test_a_span_of_our_own_is_what_work_goes_on_from() -> None:
    own = SpanContext(int(TRACE_ID, 16), 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    assert trace_of(own).traceparent == f"00-{TRACE_ID}-{1:016x}-01"


@pytest.mark.parametrize("header", ["", "x", f"00-{'0' * 32}-{SPAN_ID}-01", f"00-{TRACE_ID}-{'0' * 16}-01"])
def test_a_malformed_trace_is_a_new_one(header: str) -> None:
    trace = trace_of(begun_by(header))
    assert re.fullmatch(r"[0-9a-f]{32}", trace.trace_id)
    assert re.fullmatch(rf"00-{trace.trace_id}-[0-9a-f]{{16}}-01", trace.traceparent)
    assert trace.traceparent != header
