"""Stack: an older or a stranger's home is migrated, or refused in one line; one verb at a time."""

from __future__ import annotations

import fcntl
import sqlite3
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.local.commands import register
from deploy.local.failure import DeployError
from deploy.local.home import Home, new_config, write_config
from deploy.local.ports import block
from deploy.local.stack import down, run_once


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    write_config(home, new_config(block(31000), "small"))
    return home


def test_a_home_without_a_catalogue_gets_one_and_one_of_a_later_version_is_refused(
    app: typer.Typer, home: Home
) -> None:
    verb = ["migrate", "--home", str(home.root)]
    assert CliRunner().invoke(app, verb).exit_code == 0
    with sqlite3.connect(home.data / "catalog.db") as catalog:
        catalog.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = CliRunner().invoke(app, verb)
    assert refused.exit_code == 5
    assert refused.stderr.count("\n") == 1
    assert "the catalogue is at version 9999, later than" in refused.stderr
    assert "use the program that made it" in refused.stderr


def test_only_the_last_run_is_in_the_log_of_what_runs_once(home: Home) -> None:
    for module in ("this", "__hello__"):
        run_once(home, "example", (module,), {})
    assert (home.logs / "example.log").read_text() == "Hello world!\n"
    with pytest.raises(DeployError, match=r"example failed: .*No module named no_such; see .*example\.log"):
        run_once(home, "example", ("no_such",), {})


def test_two_verbs_at_once_are_refused(home: Home) -> None:
    with (home.run / "verb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DeployError, match="another `up` or `down` of"):
            down(home, lambda _: None)


def test_down_of_a_home_whose_records_were_cleared_away_is_no_error(home: Home) -> None:
    home.run.rmdir()
    said: list[str] = []
    down(home, said.append)
    assert said == ["not running"]
