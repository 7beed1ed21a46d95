"""Spans of stage runs: named by the noun, below the revision's root, linked to the runs that made their inputs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters import tracing
from contracts import flow
from contracts.delivery import Delivery
from contracts.errors import ModelUnavailable
from contracts.ports import Record
from heimdex.events.v1 import context_pb2, manifest_pb2

TRACE_ID, ROOT_ID = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
ROOT = f"00-{TRACE_ID:032x}-{ROOT_ID:016x}-01"


def delivery(noun: str, root: str = ROOT) -> Delivery:
    context = context_pb2.EventContext(tenant_id="acme", video_id="vid_1", revision=3, root_traceparent=root)
    inputs = {stage.noun: manifest(stage.noun) for stage in flow.ancestors(noun)}
    return Delivery(
        flow.STAGES[noun], Record("t", "k", b""), context, manifest_pb2.Plan(), f"spec-{noun}", 0, inputs, 2
    )


def manifest(noun: str, attempts: int = 2) -> manifest_pb2.Manifest:
    return manifest_pb2.Manifest(
        video_id="vid_1", stage=flow.STAGES[noun].number, spec=f"spec-{noun}", attempts=attempts
    )


def spans_of(*runs: Delivery) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    with tracing.recording("heimdex-test", SimpleSpanProcessor(exporter)) as spans:
        for run in runs:
            with spans(run) as say:
                say("OK")
    return list(exporter.get_finished_spans())


def test_a_run_is_a_span_below_the_root_of_its_revision() -> None:
    [span] = spans_of(delivery("scenes"))
    assert span.name == "scenes"
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (TRACE_ID, ROOT_ID)
    assert span.attributes is not None
    assert dict(span.attributes) == {
        "heimdex.tenant_id": "acme",
        "heimdex.video_id": "vid_1",
        "heimdex.revision": 3,
        "heimdex.spec": "spec-scenes",
        "heimdex.attempt": 2,
        "heimdex.outcome": "OK",
    }
    assert span.resource.attributes["service.name"] == "heimdex-test"


def test_a_join_links_to_the_runs_that_made_its_inputs() -> None:
    asr, scenes, align = spans_of(delivery("asr"), delivery("scenes"), delivery("align"))
    assert [link.context.span_id for link in align.links] == [asr.context.span_id, scenes.context.span_id]
    assert {link.context.trace_id for link in align.links} == {TRACE_ID}


def test_another_try_is_another_span() -> None:
    first, second = manifest("asr", attempts=1), manifest("asr", attempts=2)
    assert tracing.run_span_id(first) != tracing.run_span_id(second)


def test_a_run_without_a_root_begins_a_trace_of_its_own() -> None:
    [span] = spans_of(delivery("scenes", root=""))
    assert span.parent is None
    assert not span.links


def test_an_error_is_in_the_span_and_goes_on() -> None:
    exporter = InMemorySpanExporter()
    with (
        tracing.recording("heimdex-test", SimpleSpanProcessor(exporter)) as spans,
        pytest.raises(ModelUnavailable),
        spans(delivery("asr")),
    ):
        raise ModelUnavailable("model", "died", reason="CRASHED")
    [span] = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert [event.name for event in span.events] == ["exception"]


def test_without_an_endpoint_nothing_is_even_imported() -> None:
    code = (
        "import sys; from adapters import tracing\n"
        "with tracing.exporting('heimdex-test') as spans: assert spans is tracing.no_spans\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={})
