"""Child: dies with its manager, waits for what it needs, and stops being root where it must."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local.child import wait_for
from deploy.local.home import Home
from deploy.local.leftovers import waiting_for
from deploy.local.probes import HttpProbe
from deploy.local.process import Process

ORPHAN_TO_BE = """
from deploy.local.child import die_with_parent
die_with_parent()
import time
print(1, flush=True)
time.sleep(600)
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {ORPHAN_TO_BE!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_kill_9_of_the_parent_kills_the_child() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
        _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to leave")
def test_root_becomes_somebody_else_and_files_stay_roots(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    program = (
        "from deploy.local.child import leave_root; import os, pathlib; leave_root(); "
        f"pathlib.Path({str(tmp_path / 'made')!r}).write_text(''); print(os.getuid(), os.geteuid())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["65534", "65534"]
    assert (tmp_path / "made").stat().st_uid == 0


class _Later:
    """Ready once told."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.asked = threading.Event()

    def __call__(self) -> bool:
        self.asked.set()
        return self.told.is_set()


def test_it_waits_until_what_it_needs_is_ready_and_says_for_what(tmp_path: Path) -> None:
    home, later = Home(tmp_path), _Later()
    home.create()
    kafka = Process("kafka", ("/bin/true",), later, later, {"kafka": 1}, 4, 1)
    waiting = threading.Thread(target=wait_for, args=([kafka], home, "asr"))
    waiting.start()
    assert later.asked.wait(10)
    while waiting_for(home, "asr") != "kafka":
        assert waiting.is_alive()
    later.told.set()
    waiting.join(10)
    assert not waiting.is_alive()
    assert waiting_for(home, "asr") == ""


def test_a_ready_one_is_not_waited_for(tmp_path: Path) -> None:
    home, later = Home(tmp_path), _Later()
    home.create()
    later.told.set()
    process = Process("kafka", ("/bin/true",), HttpProbe(1, "/"), HttpProbe(1, "/"), {"kafka": 1}, 4, 1)
    wait_for([replace(process, ready=later)], home, "asr")
    assert waiting_for(home, "asr") == ""
