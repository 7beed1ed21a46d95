"""Missing: a stalled revision's plan, manifests and stage runs -> the facts to send again. Pure.

A fact is sent again where the catalogue has not heard of the ending, or where a stage that could go on has not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from contracts import codec, facts, flow, ids, plan
from contracts.catalog import Video
from contracts.endings import stage_event
from contracts.ports import Record
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2, manifest_pb2

_COMMIT = flow.STAGES["commit"]


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest as it lies in the bucket; ``body`` is its bytes."""

    manifest: manifest_pb2.Manifest
    body: bytes


def facts_to_repeat(
    video: Video,
    context: context_pb2.EventContext,
    planned: manifest_pb2.Plan,
    manifests: Mapping[tuple[str, str], Found],
) -> tuple[Record, ...]:
    """Return the facts in the order of the flow, each once.

    Args:
        manifests: (noun, spec) -> manifest, of every planned run that has one.
    """
    specs = plan.planned_specs(planned)
    heard = {run.stage for run in video.stages if run.state == "ENDED"}
    wanted: set[tuple[str, str]] = {run for run in manifests if run[0] not in heard}
    begin = False
    for noun, choices in specs.items():
        for index, spec in enumerate(choices):
            if (noun, spec) in manifests or (noun == _COMMIT.noun and _committed(video)):
                continue
            inputs = [(stage.noun, plan.spec_of(specs, stage.noun, index)) for stage in flow.upstream(noun)]
            if all(run in manifests for run in inputs):
                wanted.update(inputs)
                begin = begin or not inputs
    repeated = [facts.video_uploaded(context, planned.create_time)] if begin else []
    for noun, choices in specs.items():
        repeated += [_again(context, noun, spec, manifests[noun, spec]) for spec in choices if (noun, spec) in wanted]
    if _committed(video) and _COMMIT.noun not in heard:
        repeated.append(_indexed_again(video, context, plan.spec_of(specs, _COMMIT.noun, 0)))
    return tuple(repeated)


def _committed(video: Video) -> bool:
    return video.searchable_revision >= video.revision > 0


def _again(context: context_pb2.EventContext, noun: str, spec: str, found: Found) -> Record:
    key = ids.manifest_key(context.tenant_id, context.video_id, noun, spec)
    digest = hashlib.sha256(found.body).hexdigest()
    return codec.encode_stage_event(stage_event(context, found.manifest, key, digest))


def _indexed_again(video: Video, context: context_pb2.EventContext, spec: str) -> Record:
    """Return VIDEO_INDEXED from what the catalogue knows: commit leaves no manifest, and its outbox row is gone."""
    ending = manifest_pb2.Manifest(
        stage=_COMMIT.number,
        spec=spec,
        outcome=common_pb2.OUTCOME_OK,
        end_time=facts.timestamp(video.index_ms),
        attempts=1,
        counts={"scenes": video.scene_count},
        labels={"language": video.language} if video.language else {},
    )
    event = stage_event(context, ending, "", "")
    if not isinstance(event, events_pb2.VideoIndexed):
        raise TypeError("the ending is not commit's")
    event.scene_count = video.scene_count
    return codec.encode_stage_event(event)
