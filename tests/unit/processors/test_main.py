"""Arguments of ``python -m processors``, and the workers it makes."""

from __future__ import annotations

import pytest

from contracts import flow
from processors.__main__ import NOUNS, Settings, main, worker

SETTINGS = Settings(
    kafka="k:1", s3_endpoint="http://s", s3_public_endpoint="http://s", s3_access_key="a", s3_secret_key="b"
)


@pytest.mark.parametrize("arguments", [[], ["nope"], ["asr", "nope"], ["commit"]], ids=lambda a: "-".join(a) or "none")
def test_a_wrong_noun_is_a_line_and_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    [line] = (captured.out + captured.err).splitlines()
    assert "validate" in line


def test_every_stage_but_commit_runs_here() -> None:
    assert {*NOUNS, "commit"} == set(flow.STAGES)


@pytest.mark.parametrize("noun", NOUNS)
def test_each_stage_has_a_worker_of_the_deployed_model(noun: str) -> None:
    made = worker(noun, SETTINGS)
    assert made.stage == noun
    assert made.model_version == SETTINGS.pipeline().model_version(noun)
    assert made.perform == f"processors.{noun}.child:perform"
