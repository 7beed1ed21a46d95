"""The verb: what needs no server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.evaluation.commands import register
from indexer.evaluation.lists import NAMES
from indexer.evaluation.metrics import MEASURES
from indexer.evaluation.report import Judged, report

Saved = Callable[[str, float], Path]


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)  # with one verb alone its name would be no argument
    register(app)
    return app


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    def save(name: str, value: float) -> Path:
        figures = {channel: dict.fromkeys(MEASURES, value) for channel in NAMES}
        path = tmp_path / name
        path.write_text(json.dumps(report({}, [Judged("q1", "exact", figures, none=False)])))
        return path

    return save


def test_two_reports_are_compared(command: typer.Typer, saved: Saved) -> None:
    pair = [str(saved("before.json", 0.25)), str(saved("after.json", 0.75))]
    shown = CliRunner().invoke(command, ["eval", "--compare", *pair])
    assert shown.exit_code == 0, shown.output
    (fused,) = (line for line in shown.stdout.splitlines() if "fused" in line and "all" in line)
    assert fused.split() == ["fused", "all", "1", "0.250", "0.750", "+0.500", "+0.500", "to", "+0.500", "certain"]
    as_json = CliRunner().invoke(command, ["eval", "--json", "--compare", *pair])
    assert len(json.loads(as_json.stdout)["changes"]) == len(NAMES) + 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["absent"],
        ["absent", "--compare", "a", "b"],
        ["--compare", "absent.json", "absent.json"],
        ["--fit"],
        ["--fit", "--compare", "a", "b"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(command: typer.Typer, arguments: list[str]) -> None:
    shown = CliRunner().invoke(command, ["eval", *arguments])
    assert shown.exit_code == 2
    assert shown.stderr.strip()


def test_what_is_no_report_is_named(command: typer.Typer, saved: Saved, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"queries": []}')
    shown = CliRunner().invoke(command, ["eval", "--compare", str(saved("one.json", 0.5)), str(other)])
    assert shown.exit_code == 2
    assert "no report" in shown.stderr
