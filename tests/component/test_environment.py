"""Setup: a machine that lacks something -> one line that says what to do, and no half-made environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUTS = (
    "deploy/environment.sh",
    "requirements.lock",
    "build-constraints.txt",
    "pyproject.toml",
    "gen/pyproject.toml",
    "clients/python/pyproject.toml",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of what setup reads, in a folder whose name has a space."""
    tree = tmp_path / "a tree"
    for name in INPUTS:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    return tree


def setup(tree: Path, *, python: str = "", **machine: str) -> subprocess.CompletedProcess[str]:
    """Run setup where each named program of the machine prints the given text instead."""
    bin_ = tree.parent / "bin"
    bin_.mkdir()
    for program, output in machine.items():
        (bin_ / program).write_text(f"#!/bin/sh\n{output}\n", encoding="utf-8")
        (bin_ / program).chmod(0o755)
    env = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}"} | ({"PYTHON": python} if python else {})
    script = tree / "deploy" / "environment.sh"
    return subprocess.run(
        [str(script), ".venv", "requirements.lock"], env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("machine", "named"),
    [
        ({"uname": "echo 'Darwin arm64'"}, "Linux x86-64"),
        ({"getconf": "exit 1"}, "glibc 2.28"),
        ({"getconf": "echo 'glibc 2.17'"}, "glibc 2.28"),
        ({"python": "no-such-python"}, "Python 3.11"),
        ({"python": "bare-python", "bare-python": 'case "$*" in *ensurepip*) exit 1 ;; esac'}, "python3.11-venv"),
        ({"df": r"printf 'head\n/dev/x 9 9 1048576 9 /\n'"}, "GB of free disk"),
    ],
    ids=["platform", "musl", "old glibc", "no python", "python without venv", "full disk"],
)
def test_what_is_missing_is_named_in_one_line(tree: Path, machine: dict[str, str], named: str) -> None:
    done = setup(tree, **machine)
    assert done.returncode == 1
    assert done.stderr.startswith("setup: ")
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tree / ".venv").exists()
