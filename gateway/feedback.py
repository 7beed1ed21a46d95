"""Feedback: what a user tells of an answer -> an event for analysts, once a ``request_id``."""

from __future__ import annotations

from typing import Final

from contracts import facts, ids
from contracts.catalog import Catalog
from contracts.ports import Clock
from gateway import validation
from gateway.identity import Principal
from gateway.requests import idempotency
from heimdex.events.v1 import events_pb2
from heimdex.search.v1 import search_service_pb2 as pb

_KINDS: Final = frozenset(pb.FeedbackKind.values()) - {pb.FEEDBACK_KIND_UNSPECIFIED}


class Feedback:
    """Takes feedback; nothing but the event is kept."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    async def record(self, who: Principal, request: pb.RecordFeedbackRequest) -> None:
        """Write an event to the outbox, or find that this ``request_id`` has done so before.

        Raises:
            InvalidRequest: with proto paths; a ``query_id`` is not looked up: no answer is kept. Permanent.
            NotFound: the tenant has no such scene, or it is shown no more. Permanent.
            AlreadyExists: REQUEST_ID_REUSED. Permanent.
            DependencyUnavailable: SQL is away. Transient.
        """
        call = idempotency(who, "RecordFeedback", request)
        event = events_pb2.SearchFeedback(
            tenant_id=who.tenant_id,
            query_id=validation.resource_id(request.query_id, "query_id", "qry"),
            kind=_kind(request),
            scene_id=_scene_id(request),
            rank=_rank(request),
            event_time=facts.timestamp(self._clock.now_ms()),
        )
        record = facts.search_feedback(event, ids.new_id("fbk"))
        await self._catalog.record_feedback(who.tenant_id, event.scene_id, call, [record])


def _kind(request: pb.RecordFeedbackRequest) -> pb.FeedbackKind.ValueType:
    if request.kind not in _KINDS:
        raise validation.invalid("kind", "is none of OPENED, PLAYED, RELEVANT, IRRELEVANT and NOT_FOUND")
    return request.kind


def _scene_id(request: pb.RecordFeedbackRequest) -> str:
    if request.kind != pb.FEEDBACK_KIND_NOT_FOUND:
        return validation.resource_id(request.scene_id, "scene_id", "scn")
    if request.scene_id:
        raise validation.invalid("scene_id", "must be empty with NOT_FOUND, which is of the whole answer")
    return ""


def _rank(request: pb.RecordFeedbackRequest) -> int:
    if request.rank < 0:
        raise validation.invalid("rank", f"is {request.rank}, below 0")
    return request.rank
