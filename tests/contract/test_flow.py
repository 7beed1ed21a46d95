"""The law of the flow: its tables agree with each other, with the protos and with the folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from contracts import flow
from contracts.catalog import QUERIES_KEPT_MS
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2, context_pb2, events_pb2

ROOT = Path(__file__).parents[2]
STAGES = list(flow.STAGES.values())


def messages() -> list[type[Message]]:
    """Every message that events.proto declares."""
    return [getattr(events_pb2, name) for name in events_pb2.DESCRIPTOR.message_types_by_name]


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.noun)
def test_a_stage_has_one_noun_everywhere(stage: flow.Stage) -> None:
    assert common_pb2.Stage.Name(stage.number) == f"STAGE_{stage.noun.upper()}"
    assert flow.STAGES[stage.noun] is stage
    assert stage.group == f"heimdex-{stage.noun}"
    folder = "indexer" if stage.noun == "commit" else f"processors/{stage.noun}"
    assert (ROOT / folder / "__init__.py").is_file(), f"no package {folder}"


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.noun)
def test_a_stage_has_a_pure_part_an_edge_and_a_test_of_its_name(stage: flow.Stage) -> None:
    folder = ROOT / ("indexer/commit" if stage.noun == "commit" else f"processors/{stage.noun}")
    parts = ("rows.py", "handler.py") if stage.noun == "commit" else ("stage.py", "worker.py")
    assert [part for part in parts if not (folder / part).is_file()] == []
    assert list((ROOT / "tests").rglob(f"test_{stage.noun}.py"))
    assert stage.redo_topic in flow.TOPICS


def test_every_stage_of_the_proto_is_in_the_table_and_nothing_else_is() -> None:
    declared = {number for number in common_pb2.Stage.values() if number}
    assert {int(s.number) for s in STAGES} == declared
    assert len(flow.STAGE_BY_NUMBER) == len(flow.STAGE_BY_EVENT) == len(STAGES)


def test_processors_has_no_folder_without_a_stage() -> None:
    folders = {p.parent.name for p in (ROOT / "processors").glob("*/stage.py")}
    assert folders == set(flow.STAGES) - {"commit"}


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.noun)
def test_a_stage_waits_only_for_what_comes_before_it(stage: flow.Stage) -> None:
    order = list(flow.STAGES)
    before = {s.emits for s in STAGES[: order.index(stage.noun)]} | {events_pb2.VideoUploaded}
    assert stage.waits_for
    assert set(stage.waits_for) <= before
    assert [s.noun for s in flow.ancestors(stage.noun)] == [
        noun for noun in order if noun in {s.noun for s in flow.ancestors(stage.noun)}
    ]
    assert all(up.emits in stage.waits_for for up in flow.upstream(stage.noun))


def test_every_stage_but_validate_rests_on_validate_and_commit_on_all() -> None:
    assert all("validate" in {s.noun for s in flow.ancestors(s.noun)} for s in STAGES[1:])
    assert {s.noun for s in flow.ancestors("commit")} == set(flow.STAGES) - {"commit"}


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.noun)
def test_a_stage_fact_has_context_and_ending(stage: flow.Stage) -> None:
    event: Any = stage.emits()
    assert isinstance(event.context, context_pb2.EventContext)
    assert isinstance(event.ending, context_pb2.StageEnding)


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.noun)
def test_a_stage_but_commit_has_an_artifact_of_its_own(stage: flow.Stage) -> None:
    if stage.noun == "commit":
        assert stage.artifact is None
    else:
        assert stage.artifact is not None
        assert stage.artifact.DESCRIPTOR.file.name == artifact_pb2.DESCRIPTOR.name
        assert [s for s in STAGES if s.artifact is stage.artifact] == [stage]


@pytest.mark.parametrize("message", messages(), ids=lambda m: m.DESCRIPTOR.name)
def test_every_event_has_exactly_one_topic_named_after_it(message: type[Message]) -> None:
    name = "heimdex-scene-v1" if message is events_pb2.SceneFact else flow.topic_name(message)
    assert flow.TOPICS[name].message is message
    others = [t.name for t in flow.TOPICS.values() if t.message is message and t.name != name]
    assert set(others) <= set(flow.RETRY_TIERS) | {s.redo_topic for s in STAGES}


@pytest.mark.parametrize("topic", flow.TOPICS.values(), ids=lambda t: t.name)
def test_a_topic_is_well_named_and_kept_as_long_as_it_says(topic: flow.Topic) -> None:
    assert re.fullmatch(r"heimdex-[a-z0-9]+(-[a-z0-9]+)*-v[1-9][0-9]*", topic.name), "no dots, no underscores"
    assert len(topic.name) <= 200
    compacted = topic.cleanup is flow.Cleanup.COMPACT
    assert (topic.retention_ms == -1) is compacted
    assert topic.retention_ms <= (flow.ANALYSED_MS if topic.readers == "analysts" else 7 * flow.DAY_MS)


def test_only_scene_facts_are_kept_for_ever() -> None:
    assert [t.name for t in flow.TOPICS.values() if t.cleanup is flow.Cleanup.COMPACT] == ["heimdex-scene-v1"]


def test_what_people_searched_for_is_for_analysts_alone_and_kept_as_long_as_its_texts() -> None:
    analysed = {t.name for t in flow.TOPICS.values() if t.retention_ms == flow.ANALYSED_MS}
    assert analysed == {"heimdex-search-performed-v1", "heimdex-search-feedback-v1"}
    assert not analysed & {name for control in flow.CONTROL.values() for name in control.takes}
    assert flow.ANALYSED_MS == QUERIES_KEPT_MS


def test_names_of_topics_are_unique() -> None:
    events = len(messages())
    assert len(flow.TOPICS) == events + len(flow.RETRY_TIERS) + len(STAGES)


@pytest.mark.parametrize("control", flow.CONTROL.values(), ids=lambda c: c.noun)
def test_a_control_part_takes_topics_that_exist(control: flow.Control) -> None:
    assert set(control.takes) <= set(flow.TOPICS)
    assert control.group not in {s.group for s in STAGES}
    assert (ROOT / "control" / control.noun / "__init__.py").is_file()


def test_the_tracker_hears_of_every_ending() -> None:
    assert {flow.topic_name(s.emits) for s in STAGES} <= set(flow.CONTROL["tracker"].takes)


def test_retry_tiers_wait_longer_and_longer() -> None:
    delays = list(flow.RETRY_TIERS.values())
    assert delays == sorted(set(delays))
    assert delays[0] > 0


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.noun)
def test_a_deadline_grows_with_the_video_and_the_factor(stage: flow.Stage) -> None:
    short, long = (stage.deadline.seconds(d, limit_s=3600) for d in (60, 600))
    assert 0 < short <= long
    assert (short == long) is stage.deadline.of_limit
    assert stage.deadline.seconds(60, limit_s=3600, factor=2) == pytest.approx(2 * short)
