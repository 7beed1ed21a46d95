"""Status: a home -> one row a process: state, pid, memory, port, readiness."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

from deploy.local.home import Home
from deploy.local.leftovers import waiting_for
from deploy.local.process import Process
from deploy.local.processes import table
from deploy.local.supervisor import Managed, Supervisor


@dataclass(frozen=True)
class Row:
    """What `status` shows of one process.

    Attributes:
        name: As in the table of processes.
        state: `ready`, `starting`, `waiting for X`, `failing` (it ends and is started again), `stopped`.
        pid: 0 when it does not run.
        pss_bytes: Its memory and its children's, shared pages counted in parts.
        port: Where it answers; 0 for the manager, which has a socket in the home.
        note: Why it is not ready, where the manager knows.
    """

    name: str
    state: str
    pid: int
    pss_bytes: int
    port: int
    note: str


def rows(home: Home) -> list[Row]:
    """Return a row for every process, in the order of the table; every one `stopped` when the manager does not run."""
    processes = table(home)
    manager = Supervisor(home)
    managed = manager.processes() if manager.is_running() else {}
    with ThreadPoolExecutor(max_workers=8) as pool:  # a hanging process costs its probe's time-out
        return list(pool.map(lambda process: _row(home, process, managed.get(process.name)), processes))


def manager_row(home: Home, others: Sequence[Row]) -> list[Row]:
    """Return a row for the manager and its watchdog, which hold what `others` do not; none when it does not run."""
    manager = Supervisor(home)
    if not manager.is_running():
        return []
    pid = manager.pid()
    held = pss_bytes(pid) - sum(row.pss_bytes for row in others)
    return [Row("manager", "ready", pid, max(held, 0), 0, "")]


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its descendants; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_full_info().pss
        except psutil.Error:  # it has just ended, or is another user's
            continue
    return total


def _row(home: Home, process: Process, managed: Managed | None) -> Row:
    if managed is None or not managed.is_up:
        return Row(process.name, "stopped", 0, 0, _port(process), managed.note if managed else "")
    return Row(
        process.name, _state(home, process, managed), managed.pid, pss_bytes(managed.pid), _port(process), managed.note
    )


def _state(home: Home, process: Process, managed: Managed) -> str:
    if managed.state in {"BACKOFF", "STOPPING"}:
        return {"BACKOFF": "failing", "STOPPING": "stopping"}[managed.state]
    if needed := waiting_for(home, process.name):
        return f"waiting for {needed}"
    return "ready" if process.ready() else "starting"


def _port(process: Process) -> int:
    return next(iter(process.ports.values()))
