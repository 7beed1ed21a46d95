"""Leftovers: what a dead manager left is found and ended; a stranger with the same process id is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.home import Home
from deploy.local.leftovers import end_leftovers, recorded, waiting_for

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
HAS_A_CHILD = [
    sys.executable,
    "-c",
    f"import subprocess, time; c = subprocess.Popen({SLEEPS!r}); print(c.pid, flush=True); time.sleep(600)",
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


@pytest.fixture
def family() -> Iterator[tuple[psutil.Process, psutil.Process]]:
    parent = subprocess.Popen(HAS_A_CHILD, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    yield psutil.Process(parent.pid), child
    for process in (parent, child):
        if process.is_running() if isinstance(process, psutil.Process) else process.poll() is None:
            process.kill()
    parent.wait()
    parent.stdout.close()


def write_record(home: Home, name: str, pid: int, started_s: float, needed: str = "") -> None:
    document = {"pid": pid, "started_s": started_s, "waiting_for": needed}
    (home.run / f"{name}.pid.json").write_text(json.dumps(document))


def test_a_leftover_is_ended_with_its_children(home: Home, family: tuple[psutil.Process, psutil.Process]) -> None:
    parent, child = family
    write_record(home, "asr", parent.pid, parent.create_time())
    assert recorded(home, "asr") == parent
    assert end_leftovers(home) == ["asr"]
    _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive
    assert recorded(home, "asr") is None
    assert not list(home.run.glob("*.pid.json"))


def test_another_process_with_the_same_id_is_spared(home: Home, family: tuple[psutil.Process, psutil.Process]) -> None:
    parent, _ = family
    write_record(home, "asr", parent.pid, parent.create_time() - 3600)
    assert recorded(home, "asr") is None
    assert end_leftovers(home) == []
    assert parent.is_running()


@pytest.mark.parametrize("text", ["", "{}", '{"pid": 999999999, "started_s": 1.0}'])
def test_a_record_that_says_nothing_ends_nothing(home: Home, text: str) -> None:
    (home.run / "asr.pid.json").write_text(text)
    assert recorded(home, "asr") is None
    assert waiting_for(home, "asr") == ""
    assert end_leftovers(home) == []
