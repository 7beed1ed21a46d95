"""Doctor: this machine and a home -> what was checked, and one line of what to do about each that fails."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from deploy.local import ports as port_book
from deploy.local.failure import DeployError
from deploy.local.home import Home, read_config
from deploy.local.machine import require_platform
from deploy.local.processes import table
from deploy.local.provision import cache_folder, java_home, missing, trees
from deploy.local.supervisor import Supervisor

_DISK_BYTES: Final = 5_000_000_000
_MEMORY_BYTES: Final = 4_000_000_000
_SPARE_MEMORY_BYTES: Final = 500_000_000  # while the stack is up and has its own
_FILES: Final = 4096


@dataclass(frozen=True)
class Finding:
    """One check: what it is about, whether all is well, what was seen, and what to do if not."""

    name: str
    is_well: bool
    seen: str
    remedy: str = ""


def examine(home: Home) -> list[Finding]:
    """Return every finding; nothing is changed or started."""
    checks: tuple[Callable[[Home], Iterator[Finding]], ...] = (
        _platform,
        _java,
        _disk,
        _memory,
        _files,
        _namespaces,
        _provisioned,
        _models,
        _stack,
    )
    return [finding for check in checks for finding in check(home)]


def _platform(_: Home) -> Iterator[Finding]:
    try:
        require_platform()
    except DeployError as error:
        yield Finding("platform", is_well=False, seen=error.problem, remedy=error.remedy)
    else:
        yield Finding("platform", is_well=True, seen="Linux x86-64, glibc and Python fit")


def _java(_: Home) -> Iterator[Finding]:
    try:
        java = java_home() / "bin" / "java"
        said = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=True).stderr
    except DeployError as error:
        yield Finding("java", is_well=False, seen=error.problem, remedy=error.remedy)
    except (OSError, subprocess.CalledProcessError) as error:
        remedy = "remove .venv and run `make setup`, on a disk that allows programs to run"
        yield Finding("java", is_well=False, seen=f"the Java runtime does not run: {error}", remedy=remedy)
    else:
        yield Finding("java", is_well=True, seen=said.splitlines()[0])


def _disk(home: Home) -> Iterator[Finding]:
    for name, folder in (("disk of the home", home.root), ("disk of the cache", cache_folder())):
        free = shutil.disk_usage(_existing(folder)).free
        seen = f"{free / 1e9:.1f} GB free at {folder}"
        yield Finding(name, is_well=free >= _DISK_BYTES, seen=seen, remedy="free some space: 5 GB are wanted")


def _memory(home: Home) -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    wanted = _SPARE_MEMORY_BYTES if Supervisor(home).is_running() else _MEMORY_BYTES
    seen = f"{available / 1e9:.1f} GB available"
    remedy = f"close other programs: {wanted / 1e9:.1f} GB are wanted"
    yield Finding("memory", is_well=available >= wanted, seen=seen, remedy=remedy)


def _files(_: Home) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    well = hard == resource.RLIM_INFINITY or hard >= _FILES
    yield Finding(
        "open files", is_well=well, seen=f"{soft}, at most {hard}", remedy=f"raise the limit to {_FILES} (ulimit -Hn)"
    )


def _namespaces(_: Home) -> Iterator[Finding]:
    if os.geteuid() != 0:
        return
    try:
        allowed = int(Path("/proc/sys/user/max_user_namespaces").read_text(encoding="ascii")) > 0
    except (OSError, ValueError):
        allowed = False
    remedy = "OpenSearch refuses root: run as a normal user, or allow user namespaces (sysctl user.max_user_namespaces)"
    yield Finding("user namespaces", is_well=allowed, seen="allowed" if allowed else "forbidden", remedy=remedy)


def _provisioned(_: Home) -> Iterator[Finding]:
    absent = missing(cache_folder())
    seen = f"{', '.join(absent)} not there yet: `heimdex up` fetches them" if absent else "fetched"
    yield Finding("servers", is_well=True, seen=seen)


def _models(_: Home) -> Iterator[Finding]:
    models = trees(cache_folder()).models
    present = models.is_dir() and any(models.iterdir())
    seen = str(models) if present else "not there yet: `heimdex up` assembles them"
    yield Finding("models", is_well=True, seen=seen)


def _stack(home: Home) -> Iterator[Finding]:
    config = read_config(home)
    if config is None:
        yield Finding("stack", is_well=True, seen=f"none yet in {home.root}")
        return
    if not Supervisor(home).is_running():
        yield Finding("stack", is_well=True, seen="not running")
        for name in port_book.NAMES:
            port = config.ports[name]
            if not port_book.is_free(port):
                seen = f"{port} ({name}) is in use by {port_book.occupant(port)}"
                remedy = "stop that process, or move this stack with `heimdex up --ports FIRST`"
                yield Finding("port", is_well=False, seen=seen, remedy=remedy)
        return
    for process in table(home, config):
        ready = process.ready()
        remedy = f"see `heimdex logs {process.name}`; `heimdex up` starts what is stopped"
        yield Finding(process.name, is_well=ready, seen="ready" if ready else "not ready", remedy=remedy)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
