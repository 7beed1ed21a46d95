"""Leftovers: records of what ran in a home -> those processes ended, if they still run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import psutil

from deploy.local.home import Home

_CLOCK_TICK_S: Final = 0.02  # start times are whole kernel ticks, of 10 ms
_WAIT_S: Final = 10


def record(home: Home, name: str, pid: int | None = None, *, waiting_for: str = "") -> None:
    """Write down that this process, or the one with `pid`, is the home's `name`, and what it waits for to begin."""
    process = psutil.Process(pid)
    document = {"pid": process.pid, "started_s": process.create_time(), "waiting_for": waiting_for}
    scratch = home.run / f".{name}.{process.pid}"
    scratch.write_text(json.dumps(document), encoding="utf-8")
    scratch.replace(_file(home, name))


def recorded(home: Home, name: str) -> psutil.Process | None:
    """Return the recorded process if that very one still runs, not merely one that has got its id since."""
    try:
        document = json.loads(_file(home, name).read_text(encoding="utf-8"))
        process = psutil.Process(document["pid"])
        same = abs(process.create_time() - document["started_s"]) < _CLOCK_TICK_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (FileNotFoundError, psutil.Error, ValueError, KeyError):
        return None


def waiting_for(home: Home, name: str) -> str:
    """Return the name of the process that `name` waits for before it begins, or an empty string."""
    try:
        return str(json.loads(_file(home, name).read_text(encoding="utf-8"))["waiting_for"])
    except (FileNotFoundError, ValueError, KeyError):
        return ""


def end_leftovers(home: Home) -> list[str]:
    """Kill what an earlier manager left behind, with its descendants; return the names of what was found."""
    found = []
    doomed: list[psutil.Process] = []
    for path in sorted(home.run.glob("*.pid.json")):
        name = path.name.removesuffix(".pid.json")
        process = recorded(home, name)
        if process is not None and process.pid != os.getpid():
            found.append(name)
            doomed += [process, *_descendants(process)]
        path.unlink(missing_ok=True)
    for process in doomed:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(doomed, timeout=_WAIT_S)
    return found


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _file(home: Home, name: str) -> Path:
    return home.run / f"{name}.pid.json"
