"""Tracing: a stage run or a call -> its span, sent by OTLP where OTEL_EXPORTER_OTLP_ENDPOINT says; else nothing.

A span's id follows from the run and its try, so a run can link to the runs that made its inputs though nothing but
the revision's root trace travels in events.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING

from contracts import flow
from contracts.delivery import Delivery
from heimdex.events.v1 import manifest_pb2

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer

Say = Callable[[str], None]
"""Notes how the run ended."""

Spans = Callable[[Delivery], AbstractContextManager[Say]]

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_span_id: ContextVar[int] = ContextVar("heimdex_span_id", default=0)


def no_spans(_: Delivery) -> AbstractContextManager[Say]:
    """Trace nothing."""
    return nullcontext(lambda _: None)


@contextmanager
def exporting(service: str) -> Iterator[Spans]:
    """Yield what makes the spans of a process; spans that wait are sent at the end of the block.

    Args:
        service: ``service.name`` of the process.
    """
    if not os.environ.get(_ENDPOINT):
        yield no_spans
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    with recording(service, BatchSpanProcessor(OTLPSpanExporter())) as spans:
        yield spans


@contextmanager
def calls(service: str) -> Iterator[Tracer]:
    """Yield what makes the spans of a process that answers calls; one that records nothing without an endpoint.

    Args:
        service: ``service.name`` of the process.
    """
    from opentelemetry.trace import NoOpTracer

    if not os.environ.get(_ENDPOINT):
        yield NoOpTracer()
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider.get_tracer("heimdex")
    finally:
        provider.shutdown()


@contextmanager
def recording(service: str, processor: SpanProcessor) -> Iterator[Spans]:
    """Yield what makes spans and hands them to ``processor``."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    class Ids(RandomIdGenerator):
        """Gives a run's span the id that follows from the run."""

        def generate_span_id(self) -> int:
            return _span_id.get() or super().generate_span_id()

    provider = TracerProvider(id_generator=Ids(), resource=Resource.create({"service.name": service}))
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("heimdex")
    propagator = TraceContextTextMapPropagator()

    @contextmanager
    def spans(delivery: Delivery) -> Iterator[Say]:
        context = delivery.context
        parent = propagator.extract({"traceparent": context.root_traceparent})
        root = trace.get_current_span(parent).get_span_context()
        made = [delivery.inputs[stage.noun] for stage in flow.upstream(delivery.stage.noun) if root.is_valid]
        of_inputs = [
            trace.SpanContext(root.trace_id, run_span_id(m), is_remote=True, trace_flags=root.trace_flags) for m in made
        ]
        attributes: dict[str, str | int] = {
            "heimdex.tenant_id": context.tenant_id,
            "heimdex.video_id": context.video_id,
            "heimdex.revision": context.revision,
            "heimdex.spec": delivery.spec,
            "heimdex.attempt": delivery.attempt,
        }
        links = [trace.Link(each) for each in of_inputs]
        token = _span_id.set(_id_of(context.video_id, delivery.stage.noun, delivery.spec, delivery.attempt))
        try:
            span = tracer.start_span(
                delivery.stage.noun, parent, trace.SpanKind.CONSUMER, attributes=attributes, links=links
            )
        finally:
            _span_id.reset(token)
        with trace.use_span(span, end_on_exit=True):
            yield lambda outcome: span.set_attribute("heimdex.outcome", outcome)

    try:
        yield spans
    finally:
        provider.shutdown()


def run_span_id(manifest: manifest_pb2.Manifest) -> int:
    """Return the id of the span of the run that made a manifest."""
    noun = flow.STAGE_BY_NUMBER[int(manifest.stage)].noun
    return _id_of(manifest.video_id, noun, manifest.spec, manifest.attempts)


def _id_of(video_id: str, noun: str, spec: str, attempt: int) -> int:
    digest = hashlib.sha256(f"{video_id}:{noun}:{spec}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") or 1
