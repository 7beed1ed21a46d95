"""Commands: usage errors are 2, an unavailable stack is 5, and each is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.local.commands import _duration_s, register


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def test_every_verb_has_its_help(app: typer.Typer) -> None:
    printed = CliRunner().invoke(app, ["--help"]).stdout
    for verb in ("up", "down", "status", "logs", "doctor", "migrate", "token", "tenant"):
        assert f" {verb} " in printed


def test_an_empty_home_is_the_usual_one(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDEX_HOME", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["status", "--home", ""])
    assert result.exit_code == 5
    assert str(tmp_path / "data" / "heimdex") in result.stderr


@pytest.mark.parametrize("verb", [["status"], ["logs"], ["migrate"], ["token", "--tenant", "acme", "--user", "u"]])
def test_a_home_without_a_stack_is_one_line_and_exit_code_5(app: typer.Typer, tmp_path: Path, verb: list[str]) -> None:
    result = CliRunner().invoke(app, [*verb, "--home", str(tmp_path / "none")])
    assert result.exit_code == 5
    assert result.stderr.count("\n") == 1
    assert "heimdex up" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "--tenant", "Not A Tenant", "--user", "u"],
        ["token", "--tenant", "acme", "--user", "u", "--ttl", "forever"],
        ["token", "--tenant", "acme", "--user", ""],
        ["token", "--tenant", "acme", "--user", "u" * 256],
        ["token", "--tenant", "acme", "--user", "u", "--ttl", "0s"],
        ["tenant", "set", "acme", "--faces", "maybe"],
        ["tenant", "set", "acme", "--keep-queries", "maybe"],
        ["tenant", "set", "acme"],
        ["up", "--set", "PATH=/bin"],
        ["up", "--set", "HEIMDEX_MAX_SEARCHES"],
        ["up", "--set", "HEIMDEX_MAX_DURATION=1200"],
        ["up", "--catalog", "mysql://host/heimdex"],
        ["logs", "--lines", "-1"],
    ],
)
def test_wrong_usage_is_exit_code_2(app: typer.Typer, tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--home", str(tmp_path / "home")])
    assert result.exit_code == 2
    assert not (tmp_path / "home").exists()


def test_a_setting_that_no_process_reads_is_refused_with_the_nearest(app: typer.Typer, tmp_path: Path) -> None:
    arguments = ["up", "--set", "HEIMDEX_MAX_DURATION=1200", "--home", str(tmp_path / "home")]
    said = " ".join(CliRunner().invoke(app, arguments, terminal_width=400).output.split())
    assert "'HEIMDEX_MAX_DURATION' is no setting" in said
    assert "HEIMDEX_MAX_DURATION_S?" in said


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("12h", 43200), ("30d", 2592000)])
def test_durations_are_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert _duration_s(text) == seconds
