"""Facts: what happened outside a stage -> the record that says so. Pure: the same arguments give the same bytes."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from contracts import codec
from contracts.catalog import SceneRow
from contracts.errors import HeimdexError
from contracts.ports import Record
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2
from heimdex.scene.v1 import scene_pb2

SCENE_TOPIC = "heimdex-scene-v1"


def timestamp(unix_ms: int) -> Timestamp:
    """Return Unix milliseconds as a message."""
    time = Timestamp()
    time.FromMilliseconds(unix_ms)
    return time


def scene_fact(scene: SceneRow, *, now_ms: int, gallery_version: int | None = None) -> Record:
    """Return the complete fact of a searchable scene, people included, key ``scene_id``.

    Args:
        gallery_version: of the gallery that found the people; enters the event id, for people come and go. None while
            nobody has looked for people.
    """
    body = scene_pb2.Scene.FromString(scene.body)
    del body.people[:]
    body.people.extend(
        scene_pb2.ScenePerson(person_id=p.person_id, display_name=p.display_name, confidence=p.confidence)
        for p in scene.people
    )
    time = timestamp(now_ms)
    of_gallery = "" if gallery_version is None else f":people:{gallery_version}"
    return codec.encode(
        events_pb2.SceneFact(tenant_id=scene.tenant_id, scene=body, event_time=time),
        key=scene.scene_id,
        event_id=f"{scene.scene_id}:{scene.revision}{of_gallery}",
        tenant_id=scene.tenant_id,
        time=time,
        topic=SCENE_TOPIC,
    )


def scene_tombstone(tenant_id: str, scene_id: str, *, revision: int = 0) -> Record:
    """Return the end of a scene: no value, so compaction forgets, in a while, everything said of it.

    Args:
        revision: the one that has it no longer; enters the event id, for a later one may have it again. 0 when its
            video is erased.
    """
    headers = (
        ("ce_specversion", "1.0"),
        ("ce_id", f"{scene_id}:{revision}:gone"),
        ("ce_type", events_pb2.SceneFact.DESCRIPTOR.full_name),
        ("ce_source", codec.SOURCE),
        ("ce_subject", scene_id),
        ("ce_tenantid", tenant_id),
    )
    return Record(SCENE_TOPIC, scene_id, None, tuple((name, value.encode()) for name, value in headers))


def video_uploaded(context: context_pb2.EventContext, time: Timestamp) -> Record:
    """Return the fact that begins a revision; ``time`` is the plan's ``create_time``."""
    return codec.encode(
        events_pb2.VideoUploaded(context=context, event_time=time),
        key=context.video_id,
        event_id=f"{context.video_id}:{context.revision}:uploaded",
        tenant_id=context.tenant_id,
        time=time,
        traceparent=context.root_traceparent,
    )


def deletion_requested(tenant_id: str, video_id: str, now_ms: int) -> Record:
    """Return the fact that a video is to be erased."""
    time = timestamp(now_ms)
    return codec.encode(
        events_pb2.VideoDeletionRequested(tenant_id=tenant_id, video_id=video_id, event_time=time),
        key=video_id,
        event_id=f"{video_id}:deletion-requested",
        tenant_id=tenant_id,
        time=time,
    )


def video_erased(tenant_id: str, video_id: str, now_ms: int) -> Record:
    """Return the fact that a video is erased from every store."""
    time = timestamp(now_ms)
    return codec.encode(
        events_pb2.VideoErased(tenant_id=tenant_id, video_id=video_id, event_time=time),
        key=video_id,
        event_id=f"{video_id}:erased",
        tenant_id=tenant_id,
        time=time,
    )


def person_enrolled(tenant_id: str, person_id: str, gallery_version: int, now_ms: int) -> Record:
    """Return the fact that somebody was enrolled."""
    time = timestamp(now_ms)
    return codec.encode(
        events_pb2.PersonEnrolled(
            tenant_id=tenant_id, person_id=person_id, gallery_version=gallery_version, event_time=time
        ),
        key=person_id,
        event_id=f"{person_id}:enrolled",
        tenant_id=tenant_id,
        time=time,
    )


def person_deleted(tenant_id: str, person_id: str, gallery_version: int, now_ms: int) -> Record:
    """Return the fact that somebody was erased."""
    time = timestamp(now_ms)
    return codec.encode(
        events_pb2.PersonDeleted(
            tenant_id=tenant_id, person_id=person_id, gallery_version=gallery_version, event_time=time
        ),
        key=person_id,
        event_id=f"{person_id}:deleted",
        tenant_id=tenant_id,
        time=time,
    )


def search_performed(event: events_pb2.SearchPerformed) -> Record:
    """Return the fact that somebody searched, key ``query_id``."""
    return codec.encode(
        event,
        key=event.query_id,
        event_id=f"{event.query_id}:performed",
        tenant_id=event.tenant_id,
        time=event.event_time,
    )


def search_feedback(event: events_pb2.SearchFeedback, feedback_id: str) -> Record:
    """Return the fact that somebody told what became of an answer, key ``query_id``.

    Args:
        feedback_id: tells it from others about the same answer.
    """
    return codec.encode(
        event,
        key=event.query_id,
        event_id=f"{event.query_id}:{feedback_id}",
        tenant_id=event.tenant_id,
        time=event.event_time,
    )


def dead_letter(
    consumer: str,
    record: Record,
    error: HeimdexError,
    *,
    attempts: int,
    now_ms: int,
    context: context_pb2.EventContext | None = None,
) -> Record:
    """Return the fact that a consumer gave up on a record.

    Args:
        consumer: stage noun or control noun.
        record: as it came from the bus; where it lay makes the event id, so that a repetition is the same event.
        context: tenant, video and revision, as far as they could be read.
    """
    time = timestamp(now_ms)
    letter = events_pb2.DeadLetter(
        consumer=consumer,
        source_topic=record.topic,
        source_partition=record.partition,
        source_offset=record.offset,
        key=record.key,
        value=record.value,
        reason=common_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}"),
        message=error.message,
        attempts=attempts,
        event_time=time,
        context=context,
    )
    tenant_id = context.tenant_id if context else ""
    return codec.encode(
        letter,
        key=record.key,
        event_id=f"{consumer}:{record.topic}:{record.partition}:{record.offset}",
        tenant_id=tenant_id,
        time=time,
    )
