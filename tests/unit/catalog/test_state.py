"""State: facts merge the same in any order, and a video's state follows from them alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.catalog.state import ENDED, PENDING, RETRYING, RUNNING, Command, derive, merge
from contracts.catalog import StageRun, VideoState
from contracts.flow import STAGES, AfterFailure

runs = st.builds(
    StageRun,
    stage=st.just("asr"),
    state=st.sampled_from([PENDING, RUNNING, RETRYING, ENDED]),
    outcome=st.sampled_from(["", "OK", "FAILED"]),
    attempt=st.integers(0, 3),
    progress=st.sampled_from([0.0, 0.5, 1.0]),
    start_ms=st.integers(0, 3),
    end_ms=st.integers(0, 3),
)
failing = [noun for noun, stage in STAGES.items() if stage.after_failure is AfterFailure.FAIL_VIDEO]
going_on = [noun for noun in STAGES if noun not in failing]


def ended(noun: str, outcome: str = "OK", reason: str = "") -> StageRun:
    return StageRun(noun, ENDED, outcome, attempt=1, reason=reason)


@given(runs, runs, runs)
def test_the_order_of_facts_does_not_matter(a: StageRun, b: StageRun, c: StageRun) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a


@given(runs, runs)
def test_an_ending_is_never_taken_back(a: StageRun, b: StageRun) -> None:
    assert (merge(a, b).state == ENDED) == (ENDED in {a.state, b.state})


@pytest.mark.parametrize("command", [command for command in Command if command is not Command.RUN])
def test_a_command_says_the_state_whatever_the_stages_say(command: Command) -> None:
    every = [ended(noun, "FAILED") for noun in STAGES]
    assert derive(command, every).state == VideoState(command.value)


def test_a_video_is_validated_then_processed_then_indexed() -> None:
    assert derive(Command.RUN, [StageRun(noun, PENDING) for noun in STAGES]).state is VideoState.VALIDATING
    assert derive(Command.RUN, [ended("validate")]).state is VideoState.PROCESSING
    assert derive(Command.RUN, [ended(noun) for noun in STAGES]).state is VideoState.INDEXED


@pytest.mark.parametrize("noun", failing)
@pytest.mark.parametrize("outcome", ["REJECTED", "FAILED"])
def test_a_broken_stage_that_all_the_rest_needs_fails_the_video(noun: str, outcome: str) -> None:
    verdict = derive(Command.RUN, [ended(noun, outcome, reason="WHY")])
    assert (verdict.state, verdict.reason) == (VideoState.FAILED, "WHY")


@pytest.mark.parametrize("noun", going_on)
def test_another_broken_stage_does_not(noun: str) -> None:
    every = [ended(other, "FAILED" if other == noun else "OK") for other in STAGES]
    assert derive(Command.RUN, every).state is VideoState.INDEXED


def test_the_first_of_several_broken_stages_is_to_blame_in_whatever_order_they_are_told() -> None:
    told = [ended(noun, "FAILED", reason=noun.upper()) for noun in reversed(failing)]
    assert derive(Command.RUN, told).reason == failing[0].upper()
