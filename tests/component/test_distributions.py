"""Distributions: this tree -> three wheels; the SDK's two suffice for the client half of the `heimdex` command."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.distributions import ROOT, build, run

PACKAGES = ("contracts", "gateway", "processors", "indexer", "control", "adapters", "deploy")


def test_the_server_wheel_holds_every_tracked_file_of_its_packages(tmp_path: Path) -> None:
    tracked = run("git", "ls-files", "--", *PACKAGES)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: nothing to compare the wheel with")
    with zipfile.ZipFile(build(ROOT, tmp_path)) as wheel:
        packed = set(wheel.namelist())
    assert {name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()} - packed == set()


def test_the_sdk_imports_with_its_own_wheels_only(sdk_python: Path, tmp_path: Path) -> None:
    done = run(sdk_python, "-c", "import heimdex.client, heimdex.video.v1.video_pb2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_client_verbs_are_there_without_the_server(sdk_python: Path, tmp_path: Path) -> None:
    done = run(sdk_python.with_name("heimdex"), "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "search" in done.stdout


def test_operator_verbs_name_the_missing_package_in_one_line(sdk_python: Path, tmp_path: Path) -> None:
    done = run(sdk_python.with_name("heimdex"), "up", cwd=tmp_path)
    assert done.returncode == 2
    assert "heimdex-server" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
