"""Codec: protobuf event <-> Kafka record with CloudEvents headers (Kafka protocol binding, binary mode)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from contracts import flow, ids
from contracts.errors import BadArtifact
from contracts.ports import Record

SOURCE = "heimdex"
CONTENT_TYPE = "application/protobuf"

_BY_TYPE: Mapping[str, type[Message]] = {t.message.DESCRIPTOR.full_name: t.message for t in flow.TOPICS.values()}

# Headers that only retried records have.
ATTEMPT = "heimdex-attempt"  # tries so far, decimal
NOT_BEFORE_MS = "heimdex-not-before-ms"  # Unix ms, decimal
STAGE = "heimdex-stage"  # who retries
REASON = "heimdex-reason"  # ErrorReason of the last try


def timestamp_iso(value: Timestamp) -> str:
    """Return RFC 3339 in UTC with milliseconds."""
    at = datetime.fromtimestamp(value.seconds + value.nanos / 1e9, tz=UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(
    message: Message,
    *,
    key: str,
    event_id: str,
    tenant_id: str,
    time: Timestamp,
    traceparent: str = "",
    topic: str | None = None,
) -> Record:
    """Return the record of an event: a pure function, so re-emission is byte-identical.

    Args:
        topic: the message's own topic by default.
    """
    headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", event_id),
        ("ce_type", message.DESCRIPTOR.full_name),
        ("ce_source", SOURCE),
        ("ce_time", timestamp_iso(time)),
        ("ce_subject", key),
        ("ce_tenantid", tenant_id),
        ("content-type", CONTENT_TYPE),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent))
    return Record(
        topic=topic or flow.topic_name(type(message)),
        key=key,
        value=message.SerializeToString(deterministic=True),
        headers=tuple((k, v.encode()) for k, v in headers),
    )


def encode_stage_event(message: Message) -> Record:
    """Return the record of a stage fact (a message with ``context`` and ``ending``)."""
    context, ending = message.context, message.ending  # type: ignore[attr-defined]
    stage = flow.STAGE_BY_NUMBER[ending.stage]
    return encode(
        message,
        key=context.video_id,
        event_id=ids.event_id(context.video_id, context.revision, stage.noun, ending.spec),
        tenant_id=context.tenant_id,
        time=ending.end_time,
        traceparent=context.root_traceparent,
    )


def headers(record: Record) -> dict[str, str]:
    """Return the headers as text; undecodable bytes are replaced."""
    return {k: v.decode("utf-8", "replace") for k, v in record.headers}


def decode(record: Record) -> Message:
    """Return the event in a record, by ``ce_type``, else by topic.

    Raises:
        BadArtifact: no value, unknown type, or bytes that are no such message. Permanent: a dead letter.
    """
    ce_type = headers(record).get("ce_type", "")
    topic = flow.TOPICS.get(record.topic)
    cls = _BY_TYPE.get(ce_type) or (topic.message if topic else None)
    if cls is None:
        raise BadArtifact(f"unknown event type {ce_type!r} on {record.topic}")
    if not record.value:
        raise BadArtifact(f"empty value on {record.topic}")
    message = cls()
    try:
        message.ParseFromString(record.value)
    except DecodeError as error:
        raise BadArtifact(f"not a {cls.DESCRIPTOR.full_name} on {record.topic}") from error
    return message
