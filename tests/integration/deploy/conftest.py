"""Homes of their own for the tests that run real servers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from deploy.local.home import Home, require_config
from deploy.local.processes import table
from deploy.local.supervisor import Managed, Supervisor
from tests.stack import eventually

SERVERS = ("kafka", "opensearch", "objects", "milvus-text", "milvus-vision")
COMMAND = "from heimdex.cli.main import main; main()"


@dataclass(frozen=True)
class Servers:
    """The backing servers of one home, driven by the `heimdex` command as an operator does.

    Attributes:
        home: Its folder.
        environment: Of the command.
        python: What the command is put after: an interpreter, and before it whatever changes who runs it.
    """

    home: Home
    environment: Mapping[str, str]
    python: Sequence[str] = field(default=(sys.executable,))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one verb on this home and return what it said."""
        command, environment = self._command(arguments), dict(self.environment)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)

    def up(self) -> subprocess.CompletedProcess[str]:
        """Start the servers; fail with what was said."""
        done = self.run("up", "--servers-only")
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def cut_short_up(self, how: signal.Signals, *, at: str) -> subprocess.CompletedProcess[str]:
        """Start the servers, signal as a terminal does at each line that `at` matches; return what was said."""
        command, environment = self._command(["up", "--servers-only"]), dict(self.environment)
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        ) as starting:
            assert starting.stdout is not None
            said = []
            for line in starting.stdout:
                said.append(line)
                if re.match(at, line):
                    os.killpg(starting.pid, how)
        return subprocess.CompletedProcess(command, starting.returncode, "".join(said), "")

    def port(self, name: str) -> int:
        """Return a listener's port."""
        return require_config(self.home).ports[name]

    def managed(self, name: str) -> Managed:
        """Return what the manager says of a process."""
        return Supervisor(self.home).processes()[name]

    def is_ready(self, name: str) -> bool:
        """Say whether a server answers."""
        return next(process for process in table(self.home) if process.name == name).ready()

    def wait_for_another(self, name: str, pid: int) -> None:
        """Return when the manager has a process with another id in the place of `pid`, and it is ready."""
        eventually(
            lambda: self.managed(name).pid not in {0, pid} and self.is_ready(name), f"{name} is back", timeout_s=120
        )

    def processes(self) -> list[psutil.Process]:
        """Return every process of this home: those that have its folder in their command line or work in it."""
        mine = str(self.home.root)
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.cwd()]
            except (psutil.Error, OSError):
                continue
            if process.pid != os.getpid() and any(mine in word for word in words):
                found.append(process)
        return found

    def _command(self, arguments: Sequence[str]) -> list[str]:
        verb, *rest = arguments
        return [*self.python, "-c", COMMAND, verb, "--home", str(self.home.root), *rest]


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Servers]]:
    """Make servers in a folder of their own; all of them are stopped at the end."""
    registry = tmp_path_factory.mktemp("state")
    made: list[Servers] = []

    def make(folder: Path, **environment: str) -> Servers:
        made.append(Servers(Home(folder), os.environ | {"XDG_STATE_HOME": str(registry)} | environment))
        return made[-1]

    yield make
    for servers in made:
        servers.run("down")


@pytest.fixture(scope="session")
def running(homes: Callable[..., Servers], tmp_path_factory: pytest.TempPathFactory) -> Servers:
    """Servers that are up; a test that stops them starts them again."""
    servers = homes(tmp_path_factory.mktemp("homes") / "first")
    servers.up()
    return servers
