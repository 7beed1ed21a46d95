"""Endings: a run's context and its manifest -> the stage's fact; its progress likewise. Pure."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from contracts import codec, flow, ids
from contracts.ports import Record
from heimdex.events.v1 import context_pb2, events_pb2, manifest_pb2


def stage_event(
    context: context_pb2.EventContext,
    manifest: manifest_pb2.Manifest,
    manifest_key: str,
    manifest_sha256: str,
) -> Message:
    """Return the fact that a manifest is there, as the message that ``manifest.stage`` emits.

    Args:
        context: of the revision, as it came with the stage's input.
        manifest_key: object key of the manifest; empty for commit.
        manifest_sha256: lower-case hex of its bytes; empty for commit.
    """
    event = flow.STAGE_BY_NUMBER[int(manifest.stage)].emits()
    event.context.CopyFrom(context)  # type: ignore[attr-defined]
    ending = event.ending  # type: ignore[attr-defined]
    ending.stage = manifest.stage
    ending.spec = manifest.spec
    ending.outcome = manifest.outcome
    ending.reason = manifest.reason
    ending.message = manifest.message
    ending.manifest_key = manifest_key
    ending.manifest_sha256 = manifest_sha256
    ending.end_time.CopyFrom(manifest.end_time)
    ending.elapsed_ms = manifest.elapsed_ms
    ending.attempts = manifest.attempts
    ending.counts.update(manifest.counts)
    ending.labels.update(manifest.labels)
    return event


def progressed(
    stage: flow.Stage,
    context: context_pb2.EventContext,
    spec: str,
    *,
    attempt: int,
    share: float,
    start: Timestamp,
    now: Timestamp,
    retrying: bool = False,
) -> Record:
    """Return the record that a run is under way.

    Args:
        share: finished share, range [0, 1].
        start: when this try began.
        retrying: it waits for another try.
    """
    event = events_pb2.StageProgressed(
        context=context,
        stage=stage.number,
        spec=spec,
        attempt=attempt,
        progress=share,
        retrying=retrying,
        event_time=now,
        start_time=start,
    )
    run = ids.event_id(context.video_id, context.revision, stage.noun, spec)
    return codec.encode(
        event,
        key=context.video_id,
        event_id=f"{run}:{attempt}:{now.ToMilliseconds()}",
        tenant_id=context.tenant_id,
        time=now,
        traceparent=context.root_traceparent,
    )
