"""Homes of their own for the tests that run real servers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import pytest

from deploy.local.home import Home, require_config
from deploy.local.supervisor import Managed, Supervisor

pytestmark = pytest.mark.integration
_VERB = "import typer; from deploy.local.commands import register; app = typer.Typer(); register(app); app()"


@dataclass(frozen=True)
class Servers:
    """The backing servers of one home, driven by the operator's verbs as an operator does."""

    home: Home
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one verb on this home and return what it said."""
        verb, *rest = arguments
        command = [sys.executable, "-c", _VERB, verb, "--home", str(self.home.root), *rest]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=400, check=False)

    def up(self) -> subprocess.CompletedProcess[str]:
        """Start the servers; fail with what was said."""
        done = self.run("up", "--servers-only")
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def port(self, name: str) -> int:
        """Return a listener's port."""
        return require_config(self.home).ports[name]

    def managed(self, name: str) -> Managed:
        """Return what the manager says of a process."""
        return Supervisor(self.home).processes()[name]

    def processes(self) -> list[psutil.Process]:
        """Return every process whose command line or environment is of this home."""
        mine = str(self.home.root)
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.cwd()]
            except (psutil.Error, OSError):
                continue
            if any(mine in word for word in words):
                found.append(process)
        return found


def wait_until(true: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
    """Return when `true` says so; fail, naming `what`, when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def new_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Servers]]:
    """Make servers of a new home; all of them are stopped at the end."""
    folder = tmp_path_factory.mktemp("homes")
    made: list[Servers] = []

    def make(name: str) -> Servers:
        environment = os.environ | {"XDG_STATE_HOME": str(folder / "state")}
        made.append(Servers(Home(folder / name), environment))
        return made[-1]

    yield make
    for servers in made:
        servers.run("down")


@pytest.fixture(scope="session")
def running(new_servers: Callable[[str], Servers]) -> Servers:
    """Servers that are up; a test that stops them starts them again."""
    servers = new_servers("first")
    servers.up()
    return servers
