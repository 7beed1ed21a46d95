"""Watchdog: the live probes of a home -> stuck or bloated processes killed, for the manager to start anew.

Run by the manager itself: `python -m deploy.local.watchdog HOME`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Final
from xmlrpc.client import Error

import psutil

from deploy.local.child import die_with_parent
from deploy.local.home import Home
from deploy.local.leftovers import record, waiting_for
from deploy.local.process import Process
from deploy.local.processes import table
from deploy.local.supervisor import WATCHDOG, Managed, Supervisor

PERIOD_S: Final = 5.0
FAILURES: Final = 6  # in a row: half a minute of silence
START_GRACE_S: Final = 120.0  # a process that was never live yet gets this long


@dataclass
class Judge:
    """Counts what was seen of each process and says when one is to be killed."""

    failures: dict[str, int] = field(default_factory=dict)
    seen_live: dict[str, int] = field(default_factory=dict)

    def verdict(self, process: Process, managed: Managed, *, is_live: bool, held_bytes: int) -> str:
        """Return why the process is to be killed now, or an empty string.

        Args:
            process: Its row of the table.
            managed: What the manager says of it.
            is_live: What its probe just said.
            held_bytes: Its memory but for mapped files.
        """
        if managed.state not in {"RUNNING", "STARTING"}:
            self.failures.pop(process.name, None)
            return ""
        if held_bytes > process.memory_bound_bytes:
            return f"{held_bytes // 1_000_000} MB of memory, bound {process.memory_bound_bytes // 1_000_000} MB"
        if is_live:
            self.failures.pop(process.name, None)
            self.seen_live[process.name] = managed.pid
            return ""
        if self.seen_live.get(process.name) != managed.pid and managed.uptime_s < START_GRACE_S:
            return ""
        count = self.failures[process.name] = self.failures.get(process.name, 0) + 1
        if count < FAILURES:
            return ""
        self.failures.pop(process.name)
        return f"no sign of life in {count} probes"


def held_bytes(pid: int) -> int:
    """Return the memory a process holds for itself; 0 when it is gone. Mapped files are the kernel's to reclaim."""
    try:
        memory = psutil.Process(pid).memory_info()
        return int(memory.rss - memory.shared)
    except psutil.Error:
        return 0


def look(home: Home, manager: Supervisor, processes: tuple[Process, ...], judge: Judge) -> None:
    """Probe every process once and kill those that deserve it."""
    managed = manager.processes()
    for process in processes:
        state = managed.get(process.name)
        if state is None or not state.pid or waiting_for(home, process.name):
            continue
        reason = judge.verdict(process, state, is_live=process.live(), held_bytes=held_bytes(state.pid))
        if reason:
            print(f"killing {process.name} (pid {state.pid}): {reason}", flush=True)
            kill_group(state.pid)


def kill_group(pid: int) -> None:
    """Kill a process with all that it started."""
    try:
        os.killpg(pid, signal.SIGKILL)  # the manager makes each process the leader of a group
    except ProcessLookupError:
        return


def main(home: Home) -> None:
    """Look around for ever."""
    die_with_parent()
    record(home, WATCHDOG)
    manager, processes, judge = Supervisor(home), table(home), Judge()
    while True:
        try:
            look(home, manager, processes, judge)
        except (
            OSError,
            Error,
            HTTPException,
        ) as error:  # it is about to end, or busy
            print(f"the manager does not answer: {error}", flush=True)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main(Home(Path(sys.argv[1])))
