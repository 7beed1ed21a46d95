"""The law of metrics: every stage has the same series, each named by its noun."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from adapters import metrics
from adapters.bus.observer import StageObserver, outcome_name
from contracts import flow
from contracts.delivery import Delivery
from contracts.ports import Record
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, manifest_pb2

KINDS = {"events", "endings", "run_seconds", "retries", "dead_letters"}


@pytest.mark.parametrize("noun", flow.STAGES)
def test_every_stage_has_its_series(noun: str) -> None:
    metrics.of_stage(noun)
    names = {metric.name for metric in REGISTRY.collect()}
    assert {name.removeprefix(f"heimdex_{noun}_") for name in names if name.startswith(f"heimdex_{noun}_")} == KINDS


@pytest.mark.parametrize("outcome", common_pb2.Outcome.values())
def test_an_outcome_is_told_by_its_name(outcome: common_pb2.Outcome.ValueType) -> None:
    assert f"OUTCOME_{outcome_name(outcome)}" == common_pb2.Outcome.Name(outcome)


def test_a_run_is_counted_by_how_it_ended() -> None:
    context = context_pb2.EventContext(video_id="vid_1")
    run = Delivery(flow.STAGES["asr"], Record("t", "k", b""), context, manifest_pb2.Plan(), "s", 0, {}, 1)
    before = endings("NO_SPEECH"), runs()
    with StageObserver().run(run) as ended:
        ended(common_pb2.OUTCOME_NO_SPEECH)
    assert (endings("NO_SPEECH"), runs()) == (before[0] + 1, before[1] + 1)
    with pytest.raises(ValueError, match="broken"), StageObserver().run(run):
        raise ValueError("broken")
    assert (endings("NO_SPEECH"), runs()) == (before[0] + 1, before[1] + 2)


def endings(outcome: str) -> float:
    return REGISTRY.get_sample_value("heimdex_asr_endings_total", {"outcome": outcome}) or 0.0


def runs() -> float:
    return REGISTRY.get_sample_value("heimdex_asr_run_seconds_count") or 0.0
