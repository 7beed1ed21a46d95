"""Supervisor: the table of processes -> `supervisord` and its answers over a unix socket."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.local.environment import inherited
from deploy.local.failure import DeployError
from deploy.local.home import Home
from deploy.local.leftovers import record
from deploy.local.process import Process

_LOG_BYTES: Final = 10 * 1024 * 1024
_LOG_BACKUPS: Final = 3
_STEADY_S: Final = 10  # a process that ends sooner is started again after a growing pause
_RETRIES: Final = 1_000_000
_START_TIMEOUT_S: Final = 20
_CALL_TIMEOUT_S: Final = 30
_POLL_S: Final = 0.1
_LAST_RANK: Final = 100
_TOO_QUICK: Final = "Exited too quickly"  # supervisord's words
_ALIVE_STATES: Final = {"STARTING", "RUNNING", "BACKOFF", "STOPPING"}

WATCHDOG: Final = "watchdog"
MANAGER: Final = "0-manager"  # first among the leftovers, so that it starts nothing anew while they are ended


@dataclass(frozen=True)
class Managed:
    """What the manager says of one process.

    Attributes:
        name: As in the table of processes.
        state: In supervisord's words.
        pid: 0 when it does not run.
        started_s: When it was last started, Unix seconds; 0 for never.
        uptime_s: 0 when it does not run.
        note: Why it does not run, where that is known.
    """

    name: str
    state: str
    pid: int
    started_s: float
    uptime_s: float
    note: str

    @property
    def is_up(self) -> bool:
        """Say whether the manager has it, or is about to have it, running."""
        return self.state in _ALIVE_STATES


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_CALL_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _SocketTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002 -- of the base class
        return _SocketConnection(self._path)


class Supervisor:
    """The manager of one home; every call is one XML-RPC over its socket."""

    def __init__(self, home: Home) -> None:
        """Know the home; nothing is started or asked yet."""
        self._home = home

    def is_running(self) -> bool:
        """Say whether the manager answers."""
        try:
            self._proxy().supervisor.getState()
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return False
        return True

    def launch(self, processes: Iterable[Process]) -> None:
        """Start the manager, with no process yet, and wait until it answers.

        Raises:
            DeployError: It does not come up.
        """
        runtime = self._home.create_runtime()
        socket_file = runtime / "supervisor.sock"
        socket_file.unlink(missing_ok=True)
        self._place.write_text(json.dumps({"socket": str(socket_file)}), encoding="utf-8")
        configuration = self._home.conf / "supervisord.conf"
        configuration.write_text(render(self._home, socket_file, processes), encoding="utf-8")
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
        done = subprocess.run(
            command,
            env=inherited(),
            cwd=self._home.root,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for whoever starts it
            check=False,
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.is_running():
                record(self._home, MANAGER, self.pid())
                return
            time.sleep(_POLL_S)
        said = (done.stderr or done.stdout).strip().splitlines()
        message = f"the process manager does not start: {said[-1] if said else 'no answer'}"
        raise DeployError(message, f"see {self._home.logs / 'supervisord.log'}")

    def processes(self) -> dict[str, Managed]:
        """Return what the manager says of every process."""
        answer: Any = self._proxy().supervisor.getAllProcessInfo()
        return {
            item["name"]: Managed(
                name=item["name"],
                state=item["statename"],
                pid=item["pid"],
                started_s=float(item["start"]),
                uptime_s=float(item["now"] - item["start"]) if item["pid"] else 0.0,
                note=_note(item),
            )
            for item in answer
        }

    def start(self, names: Iterable[str]) -> None:
        """Start those of the named processes that are not up; return at once."""
        known = self.processes()
        for name in names:
            if not known[name].is_up:
                self._proxy().supervisor.startProcess(name, False)

    def stop(self, names: Iterable[str], timeout_s: float) -> None:
        """Stop the named processes together and return when none of them runs; the manager kills the stubborn."""
        wanted = set(names)
        for name, process in self.processes().items():
            if name in wanted and process.is_up and process.state != "STOPPING":
                self._proxy().supervisor.stopProcess(name, False)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not any(process.is_up for name, process in self.processes().items() if name in wanted):
                return
            time.sleep(_POLL_S)

    def shut_down(self) -> None:
        """End the manager itself and remove its socket's folder."""
        pid = self.pid()
        self._proxy().supervisor.shutdown()
        deadline = time.monotonic() + _CALL_TIMEOUT_S
        while time.monotonic() < deadline and (self.is_running() or Path(f"/proc/{pid}").exists()):
            time.sleep(_POLL_S)
        self.forget()

    def forget(self) -> None:
        """Remove what a manager that is gone left of its socket."""
        socket_file = self._socket()
        if socket_file is not None:
            socket_file.unlink(missing_ok=True)
            if socket_file.parent != self._home.run and socket_file.parent.exists():
                socket_file.parent.rmdir()
        self._place.unlink(missing_ok=True)

    def pid(self) -> int:
        """Return the manager's process id."""
        return int(str(self._proxy().supervisor.getPID()))

    @property
    def _place(self) -> Path:
        return self._home.run / "manager.json"

    def _socket(self) -> Path | None:
        try:
            return Path(json.loads(self._place.read_text(encoding="utf-8"))["socket"])
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def _proxy(self) -> xmlrpc.client.ServerProxy:
        socket_file = self._socket()
        if socket_file is None:
            raise FileNotFoundError(self._place)
        return xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_SocketTransport(str(socket_file)))


def _note(item: dict[str, Any]) -> str:
    if item["spawnerr"].startswith(_TOO_QUICK):
        return "ends as soon as it is started"
    return item["spawnerr"] or (f"exit status {item['exitstatus']}" if item["exitstatus"] else "")


def render(home: Home, socket_file: Path, processes: Iterable[Process]) -> str:
    """Return supervisord's configuration for the home."""
    runs_as = ["user=root"] if os.geteuid() == 0 else []
    lines = [
        "[unix_http_server]",
        f"file={_escaped(socket_file)}",
        "chmod=0600",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisord]",
        f"logfile={_escaped(home.logs / 'supervisord.log')}",
        f"logfile_maxbytes={_LOG_BYTES}",
        f"logfile_backups={_LOG_BACKUPS}",
        f"pidfile={_escaped(home.run / 'supervisord.pid')}",
        f"childlogdir={_escaped(home.logs)}",
        f"directory={_escaped(home.root)}",
        "umask=077",
        *runs_as,
    ]
    for process in processes:
        wrapper = (sys.executable, "-m", "deploy.local.child", str(home.root), process.name)
        lines += _program(home, process.name, wrapper, process.stop_signal, process.stop_wait_s)
        lines.append(f"priority={_LAST_RANK - process.stop_rank}")  # a signalled manager stops the highest first
    watchdog = (sys.executable, "-m", "deploy.local.watchdog", str(home.root))
    lines += [*_program(home, WATCHDOG, watchdog, "TERM", 5), f"priority={_LAST_RANK + 1}"]
    return "\n".join(lines) + "\n"


def _program(home: Home, name: str, command: tuple[str, ...], stop_signal: str, stop_wait_s: int) -> list[str]:
    return [
        f"[program:{name}]",
        f"command={' '.join(_quoted(part) for part in command)}",
        f"directory={_escaped(home.root)}",
        "autostart=false",
        "autorestart=true",
        f"startsecs={_STEADY_S}",
        f"startretries={_RETRIES}",
        f"stopsignal={stop_signal}",
        f"stopwaitsecs={stop_wait_s}",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_escaped(home.logs / name)}.log",
        f"stdout_logfile_maxbytes={_LOG_BYTES}",
        f"stdout_logfile_backups={_LOG_BACKUPS}",
    ]


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _quoted(part: str) -> str:
    escaped = part.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
