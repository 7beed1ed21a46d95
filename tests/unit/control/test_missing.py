"""What a stalled video is to be told again: what nobody has heard, and what somebody still waits for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from contracts import codec, facts, flow, ids, plan
from contracts.catalog import StageRun, Video, VideoState
from contracts.endings import stage_event
from control.reconciler.missing import Found, facts_to_repeat
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2, manifest_pb2

TENANT, VIDEO = "acme", "vid_1"
CONTEXT = context_pb2.EventContext(
    tenant_id=TENANT, video_id=VIDEO, revision=1, plan_key="plan", root_traceparent="00-aa-bb-01"
)
TARGETS = [plan.TargetGeneration(1), plan.TargetGeneration(2, {"vision": "vision.2"})]
BEFORE_COMMIT = [noun for noun in flow.STAGES if noun != "commit"]


def planned(generations: int = 1) -> manifest_pb2.Plan:
    return plan.build_plan(
        plan.pipeline({}),
        tenant_id=TENANT,
        video_id=VIDEO,
        revision=1,
        source=manifest_pb2.Source(sha256="ab"),
        faces_enabled=True,
        generations=TARGETS[:generations],
        create_time=facts.timestamp(1000),
    )


def found(it: manifest_pb2.Plan, *nouns: str, indices: Sequence[int] = (0,)) -> dict[tuple[str, str], Found]:
    """Return manifests of stages that have ended well, for the generations at ``indices``."""
    specs = plan.planned_specs(it)
    made = {}
    for noun in nouns:
        for spec in {plan.spec_of(specs, noun, index) for index in indices}:
            manifest = manifest_pb2.Manifest(
                tenant_id=TENANT, video_id=VIDEO, stage=flow.STAGES[noun].number, spec=spec,
                outcome=common_pb2.OUTCOME_OK, end_time=facts.timestamp(2000), attempts=1,
            )  # fmt: skip
            made[noun, spec] = Found(manifest, manifest.SerializeToString())
    return made


def video(*heard: str, searchable: int = 0) -> Video:
    """Return a video of whose stages the catalogue has ``heard`` that they ended."""
    runs = [
        StageRun(noun, "ENDED" if noun in heard else "RUNNING", "OK" if noun in heard else "") for noun in flow.STAGES
    ]
    return Video(
        VIDEO, TENANT, VideoState.PROCESSING, "a.mp4", 7, "ab", 0, 0, revision=1, searchable_revision=searchable,
        scene_count=4, language="ko", index_ms=9000, stages=tuple(runs),
    )  # fmt: skip


def topics(it: manifest_pb2.Plan, manifests: dict[tuple[str, str], Found], of: Video) -> list[str]:
    return [r.topic for r in facts_to_repeat(of, CONTEXT, it, manifests)]


def test_a_video_that_nothing_has_begun_begins_again_with_the_same_bytes() -> None:
    it = planned()
    [record] = facts_to_repeat(video(), CONTEXT, it, {})
    assert record == facts.video_uploaded(CONTEXT, it.create_time)


def test_an_ending_that_nobody_heard_is_told_with_the_bytes_that_its_stage_sent() -> None:
    it = planned()
    manifests = found(it, "validate")
    [record] = facts_to_repeat(video(), CONTEXT, it, manifests)
    [((_, spec), ending)] = manifests.items()
    key = ids.manifest_key(TENANT, VIDEO, "validate", spec)
    sent = stage_event(CONTEXT, ending.manifest, key, hashlib.sha256(ending.body).hexdigest())
    assert record == codec.encode_stage_event(sent)


def test_an_input_that_somebody_waits_for_is_told_again_though_it_was_heard() -> None:
    it = planned()
    assert topics(it, found(it, "validate", "audio"), video("validate", "audio")) == [
        "heimdex-video-validated-v1",  # scenes has it not
        "heimdex-audio-extracted-v1",  # asr has it not
    ]


def test_a_join_that_still_lacks_an_input_is_not_woken() -> None:
    it = planned()
    heard = ["validate", "audio", "scenes", "frames", "vision", "affect", "faces"]
    assert topics(it, found(it, *heard), video(*heard)) == ["heimdex-audio-extracted-v1"]


def test_of_a_join_all_inputs_are_told() -> None:
    it = planned()
    heard = ["validate", "audio", "asr", "scenes", "frames", "vision", "affect", "faces"]
    assert topics(it, found(it, *heard), video(*heard)) == [
        "heimdex-speech-transcribed-v1", "heimdex-scenes-detected-v1",
    ]  # fmt: skip


def test_what_waits_for_commit_is_its_sidecar() -> None:
    it = planned()
    assert topics(it, found(it, *BEFORE_COMMIT), video(*BEFORE_COMMIT)) == ["heimdex-sidecar-built-v1"]


def test_a_commit_that_nobody_heard_is_told_from_the_catalogue() -> None:
    it = planned()
    [record] = facts_to_repeat(video(*BEFORE_COMMIT, searchable=1), CONTEXT, it, found(it, *BEFORE_COMMIT))
    event = codec.decode(record)
    assert isinstance(event, events_pb2.VideoIndexed)
    assert (event.scene_count, event.ending.outcome, event.ending.labels["language"]) == (
        4,
        common_pb2.OUTCOME_OK,
        "ko",
    )
    assert event.ending.end_time.ToMilliseconds() == 9000
    spec = plan.spec_of(plan.planned_specs(it), "commit", 0)
    assert codec.headers(record)["ce_id"] == ids.event_id(VIDEO, 1, "commit", spec)


def test_where_everything_is_said_nothing_is_said_again() -> None:
    it = planned()
    assert topics(it, found(it, *BEFORE_COMMIT), video(*flow.STAGES, searchable=1)) == []


def test_of_two_generations_the_one_that_lags_is_woken() -> None:
    it = planned(2)
    manifests = found(it, *(noun for noun in BEFORE_COMMIT if noun not in {"vision", "sidecar"}), indices=(0, 1))
    manifests |= found(it, "vision", "sidecar")
    records = facts_to_repeat(video(*BEFORE_COMMIT), CONTEXT, it, manifests)
    events = [codec.decode(record) for record in records]
    assert [type(event) for event in events] == [events_pb2.FramesSampled, events_pb2.SidecarBuilt]


@pytest.mark.parametrize("noun", BEFORE_COMMIT)
def test_every_fact_is_told_once(noun: str) -> None:
    it = planned(2)
    upto = BEFORE_COMMIT[: BEFORE_COMMIT.index(noun) + 1]
    records = facts_to_repeat(video(), CONTEXT, it, found(it, *upto, indices=(0, 1)))
    ids_ = [codec.headers(record)["ce_id"] for record in records]
    assert len(set(ids_)) == len(ids_)
    assert {codec.headers(record)["ce_subject"] for record in records} == {VIDEO}
