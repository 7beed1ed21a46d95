"""Ports: a stack's name of a listener -> a free TCP port on the loopback; a port -> the process in its way."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.local.failure import DeployError

LOOPBACK: Final = "127.0.0.1"
BASE: Final = 17000  # below the kernel's ephemeral ports (32768 and up) and free in the registry of well-known ports
BLOCK: Final = 32
NAMES: Final = (
    "gateway",
    "kafka",
    "kafka-controller",
    "opensearch",
    "opensearch-transport",
    "objects",
    "milvus-text",
    "milvus-vision",
    "inference",
    "gateway-ops",
    "inference-ops",
    "light-ops",
    "asr-ops",
    "embeddings-ops",
    "vision-ops",
    "affect-ops",
    "faces-ops",
    "commit-ops",
    "control-ops",
)
_LAST_BASE: Final = BASE + 256 * BLOCK


def block(base: int) -> dict[str, int]:
    """Return the ports of a stack whose block starts at `base`; its order never changes, names are only appended."""
    return {name: base + offset for offset, name in enumerate(NAMES)}


def is_free(port: int) -> bool:
    """Say whether nothing listens on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are closing do not count
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def occupant(port: int) -> str:
    """Return who listens on the port, such as `pid 4711 (nginx: master process)`."""
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                return "a process of another user"
            try:
                command = " ".join(psutil.Process(connection.pid).cmdline()) or psutil.Process(connection.pid).name()
            except psutil.Error:
                command = "just ended"
            return f"pid {connection.pid} ({command[:120]})"
    return "a process that cannot be seen from here"


def require_free(ports: Mapping[str, int]) -> None:
    """Raise DeployError naming the first of the ports that is taken, and by whom."""
    for name, port in ports.items():
        if not is_free(port):
            message = f"port {port} ({name}) is in use by {occupant(port)}"
            raise DeployError(message, "stop that process, or move this stack with `heimdex up --ports FIRST`")


def choose(root: Path, wanted_base: int | None, registry: Path) -> tuple[dict[str, int], str]:
    """Return ports for the home at `root`, and a line that says why if they are not the first choice.

    A home keeps its block while it exists, also while its stack is down: `registry` remembers who has which.

    Raises:
        DeployError: No block is free, or the wanted one is not.
    """
    reason = ""
    with _registry(registry) as claims:
        if wanted_base is not None:
            require_free(block(wanted_base))
            _claim(claims, wanted_base, root)
            return block(wanted_base), reason
        for base in range(BASE, _LAST_BASE, BLOCK):
            ports = block(base)
            if claims.get(str(base), str(root)) != str(root):
                reason = reason or f"ports from {base} on belong to the stack in {claims[str(base)]}"
                continue
            taken = next((port for port in ports.values() if not is_free(port)), None)
            if taken is not None:
                reason = reason or f"port {taken} is in use by {occupant(taken)}"
                continue
            _claim(claims, base, root)
            return ports, f"{reason}: using {base} and up" if reason else ""
    raise DeployError(
        "no block of ports is free", "stop what listens there, or choose one with `heimdex up --ports FIRST`"
    )


def registry_file() -> Path:
    """Return the user's list of which home has which ports (`XDG_STATE_HOME`, else `~/.local/state`)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "heimdex" / "ports.json"


def _claim(claims: dict[str, str], base: int, root: Path) -> None:
    for other in [known for known, home in claims.items() if home == str(root)]:
        del claims[other]
    claims[str(base)] = str(root)


@contextmanager
def _registry(path: Path) -> Iterator[dict[str, str]]:
    """Yield the claims (first port -> home) of homes that exist, alone, and keep what the caller made of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        try:
            known = json.loads(stream.read())
        except ValueError:  # new, or damaged: then homes that are down may lose their place to another
            known = {}
        claims = {base: home for base, home in known.items() if Path(home, "config.json").exists()}
        yield claims
        stream.seek(0)
        stream.truncate()
        json.dump(claims, stream, indent=2)
