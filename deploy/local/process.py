"""Process: what the manager must know of one long-running process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.local.probes import Probe


@dataclass(frozen=True)
class Process:
    """One row of the table of processes.

    Attributes:
        name: Also the name of its log and of its group in `status`.
        command: Absolute executable and arguments.
        ready: Answers when the process can be used.
        live: Answers while the process is not stuck; it is killed when this keeps failing.
        ports: The listeners it opens, by name; the first is the one people ask for.
        stop_rank: `down` stops lower ranks first, those of one rank together.
        memory_bound_bytes: Memory of its own (mapped files apart) above which the watchdog restarts it.
        is_server: One of the backing servers (else one of Heimdex's own processes).
        after: Names of processes that must be ready before this one starts, also when it is started again.
        environment: What it gets beyond the manager's own environment.
        stop_signal: Asks it to end gracefully.
        stop_wait_s: Afterwards it is killed.
        refuses_root: It will not run as root: it gets a user namespace in which it is somebody else.
    """

    name: str
    command: tuple[str, ...]
    ready: Probe
    live: Probe
    ports: Mapping[str, int]
    stop_rank: int
    memory_bound_bytes: int
    is_server: bool = False
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    refuses_root: bool = False
