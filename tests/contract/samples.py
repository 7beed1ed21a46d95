"""Samples: one record for every topic, made as its producer makes it; ``python -m tests.contract.samples`` writes
the golden file of a topic that has none. One that is there is never written again: it must be read for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from contracts import codec, facts, flow
from contracts.catalog import ScenePerson, SceneRow
from contracts.endings import progressed, stage_event
from contracts.errors import BadArtifact
from contracts.ports import Record
from control.retry import retry
from gateway.performed import query_hash
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2, manifest_pb2
from heimdex.scene.v1 import scene_pb2
from heimdex.search.v1 import search_service_pb2 as search_pb2

GOLDEN = Path(__file__).parent / "golden"
TOMBSTONE = "tombstone"

_TENANT, _VIDEO, _SCENE, _PERSON = "acme", "vid_01hzy0000000000000000000aa", "scn_0a", "per_01hzy0000000000000000000bb"
_QUERY = "qry_01hzy0000000000000000000cc"
_NOW_MS = 1_700_000_000_123
_SPEC = "0123456789abcdef"
_CONTEXT = context_pb2.EventContext(
    tenant_id=_TENANT,
    video_id=_VIDEO,
    revision=3,
    plan_key=f"t/{_TENANT}/v/{_VIDEO}/plan/000003/plan.pb",
    root_traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)

# Endings other than OK, where a stage is known for one; and what its fact counts and names.
_ENDINGS: Mapping[str, Mapping[str, Any]] = {
    "validate": {"counts": {"duration_ms": 12_345, "width_px": 1920, "height_px": 1080},
                 "labels": {"content_type": "video/mp4", "browser_playable": "true"}},
    "audio": {"outcome": common_pb2.OUTCOME_NO_AUDIO_TRACK},
    "asr": {"counts": {"utterances": 4, "words": 31}, "labels": {"language": "ko"}},
    "align": {"outcome": common_pb2.OUTCOME_REJECTED, "reason": common_pb2.ERROR_REASON_TOO_LONG,
              "message": "longer than 600 s"},
    "vision": {"outcome": common_pb2.OUTCOME_FAILED, "reason": common_pb2.ERROR_REASON_CRASHED,
               "message": "the worker died 3 times on it", "attempts": 4},
    "faces": {"outcome": common_pb2.OUTCOME_DISABLED},
    "commit": {"counts": {"scenes": 7}, "labels": {"language": "ko"}},
}  # fmt: skip


def samples() -> Mapping[str, Record]:
    """Return golden name -> record: the topic, and ``{topic}.tombstone`` for a tombstone."""
    made = {record.topic: record for record in (*_stage_facts(), *_other_facts())}
    made |= {record.topic: record for record in _retried(made)}
    made[f"{facts.SCENE_TOPIC}.{TOMBSTONE}"] = facts.scene_tombstone(_TENANT, _SCENE, revision=3)
    return made


def to_golden(record: Record) -> dict[str, Any]:
    """Return a record as its golden file tells it; ``message`` is for people, and to be read the same for ever."""
    message = None if record.value is None else codec.decode(record)
    return {
        "topic": record.topic,
        "key": record.key,
        "headers": {name: value.decode() for name, value in record.headers},
        "value_hex": None if record.value is None else record.value.hex(),
        "message": None if message is None else json_format.MessageToDict(message, preserving_proto_field_name=True),
    }


def from_golden(golden: Mapping[str, Any]) -> Record:
    """Return the record of a golden file."""
    value = None if golden["value_hex"] is None else bytes.fromhex(golden["value_hex"])
    headers = tuple((name, text.encode()) for name, text in golden["headers"].items())
    return Record(golden["topic"], golden["key"], value, headers)


def _stage_facts() -> Iterator[Record]:
    for stage in flow.STAGES.values():
        told = dict(_ENDINGS.get(stage.noun, {}))
        manifest = manifest_pb2.Manifest(
            tenant_id=_TENANT,
            video_id=_VIDEO,
            stage=stage.number,
            spec=_SPEC,
            **{"outcome": common_pb2.OUTCOME_OK, "attempts": 1} | told,
            end_time=facts.timestamp(_NOW_MS),
            elapsed_ms=4321,
        )
        commit = stage.noun == "commit"
        key = "" if commit else f"t/{_TENANT}/v/{_VIDEO}/stage/{stage.noun}/{_SPEC}/manifest.pb"
        event = stage_event(_CONTEXT, manifest, key, "" if commit else "ab" * 32)
        if isinstance(event, events_pb2.VideoIndexed):
            event.scene_count = 7
        yield codec.encode_stage_event(event)


def _other_facts() -> Iterator[Record]:
    now = facts.timestamp(_NOW_MS)
    yield facts.video_uploaded(_CONTEXT, now)
    yield progressed(
        flow.STAGES["asr"], _CONTEXT, _SPEC, attempt=2, share=0.5, start=facts.timestamp(_NOW_MS - 9000), now=now,
        retrying=True,
    )  # fmt: skip
    yield facts.scene_fact(_scene(), now_ms=_NOW_MS, gallery_version=5)
    yield facts.person_enrolled(_TENANT, _PERSON, 5, _NOW_MS)
    yield facts.person_deleted(_TENANT, _PERSON, 6, _NOW_MS)
    yield facts.deletion_requested(_TENANT, _VIDEO, _NOW_MS)
    yield facts.video_erased(_TENANT, _VIDEO, _NOW_MS)
    yield facts.search_performed(_performed())
    yield facts.search_feedback(
        events_pb2.SearchFeedback(
            tenant_id=_TENANT,
            query_id=_QUERY,
            kind=search_pb2.FEEDBACK_KIND_PLAYED,
            scene_id=_SCENE,
            rank=2,
            event_time=now,
        ),
        "fbk_01hzy0000000000000000000dd",
    )
    refused = replace(facts.video_uploaded(_CONTEXT, now), partition=2, offset=41)
    error = BadArtifact("unreadable plan")
    yield facts.dead_letter("validate", refused, error, attempts=4, now_ms=_NOW_MS, context=_CONTEXT)


def _performed() -> events_pb2.SearchPerformed:
    event = events_pb2.SearchPerformed(
        tenant_id=_TENANT,
        query_id=_QUERY,
        query_hash=query_hash(b"k" * 32, _TENANT, "민지가 우는 장면"),
        inputs=["text", "person", "filter.video_ids"],
        total_hits=7,
        total_is_lower_bound=True,
        match_quality=search_pb2.MATCH_QUALITY_SUPPORTED,
        degraded=[search_pb2.DegradedChannel(channel=search_pb2.CHANNEL_VISION, cause=search_pb2.DEGRADED_CAUSE_LATE)],
        ranking="calibrated-1",
        generation=1,
        page_size=20,
        elapsed=Duration(nanos=45_000_000),
        event_time=facts.timestamp(_NOW_MS),
    )
    event.timings.add(channel=search_pb2.CHANNEL_LEXICAL, elapsed=Duration(nanos=12_000_000))
    event.timings.add(channel=search_pb2.CHANNEL_VISION, elapsed=Duration(seconds=3))
    return event


def _scene() -> SceneRow:
    body = scene_pb2.Scene(
        scene_id=_SCENE,
        video_id=_VIDEO,
        revision=3,
        index=1,
        start_offset=Duration(seconds=2, nanos=500_000_000),
        end_offset=Duration(seconds=6),
        tags=[
            scene_pb2.Tag(tag="espresso", names=["에스프레소", "espresso"], score=0.5, kind=scene_pb2.TAG_KIND_VISION)
        ],
        keyframe=scene_pb2.Keyframe(
            offset=Duration(seconds=4), object_key="frames/b/try/frame-000002.jpg", width_px=320, height_px=180
        ),
        face_frame_count=2,
        file_name="휴가.mp4",
        degraded_stages=[common_pb2.STAGE_AFFECT],
    )
    body.transcript.add(
        start_offset=Duration(seconds=3), end_offset=Duration(seconds=4), text="커피 한 잔", confidence=0.75
    )
    people = (ScenePerson(_PERSON, "민지", 0.875),)
    return SceneRow(_SCENE, _TENANT, _VIDEO, 3, 1, 2500, 6000, body.SerializeToString(deterministic=True), people)


def _retried(made: Mapping[str, Record]) -> Iterator[Record]:
    """Yield what waits in each tier, and what comes back to each stage."""
    for stage in flow.STAGES.values():
        for attempt, (tier, delay_s) in enumerate(flow.RETRY_TIERS.items(), start=1):
            taken = made[flow.topic_name(stage.waits_for[0])]
            waiting = replace(
                taken,
                topic=tier,
                headers=(
                    *taken.headers,
                    (codec.ATTEMPT, str(attempt).encode()),
                    (codec.NOT_BEFORE_MS, str(_NOW_MS + round(delay_s * 1000)).encode()),
                    (codec.STAGE, stage.noun.encode()),
                    (codec.REASON, b"DEPENDENCY_UNAVAILABLE"),
                ),
            )
            yield waiting
            yield retry.plan(waiting, now_ms=_NOW_MS)[0]


def expected_message(golden: Mapping[str, Any], kind: type[Message]) -> Message:
    """Return the message as a golden file tells it for people."""
    return json_format.ParseDict(golden["message"], kind())


def main() -> None:
    """Write the golden files that are missing."""
    GOLDEN.mkdir(exist_ok=True)
    for name, record in samples().items():
        path = GOLDEN / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(to_golden(record), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
