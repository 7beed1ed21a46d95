"""Artifacts: a coordinate with its SHA-256 -> a verified file in the cache."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.local.failure import DeployError

LOCK_PATH: Final = Path(__file__).with_name("servers.lock")
_TIMEOUT_S: Final = 120
_ATTEMPTS: Final = 3
_TELL_EVERY_BYTES: Final = 20_000_000

Progress = Callable[[str], None]
"""Takes one line that says what is being done now."""


@dataclass(frozen=True)
class Artifact:
    """One file of a Maven repository: `group:name:version:packaging`, its SHA-256 (hex) and size."""

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """Return the file's name in a repository, such as `kafka-clients-4.3.1.jar`."""
        _, name, version, packaging = self.coordinate.split(":")
        return f"{name}-{version}.{packaging}"


def read_lock() -> dict[str, Any]:
    """Return `servers.lock` as it stands beside this module."""
    return tomllib.loads(LOCK_PATH.read_text(encoding="utf-8"))


def artifacts_of(section: dict[str, Any]) -> list[Artifact]:
    """Return the artifacts of one section of the lock, in its order."""
    return [Artifact(a["coordinate"], a["sha256"], a["size_bytes"]) for a in section["artifacts"]]


def maven_context(repository: Path, progress: Progress = lambda _: None) -> Any:
    """Return a jgo context that keeps what it fetches under `repository` and tells of large files."""
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def watch(file_name: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        came_bytes = told_bytes = 0

        def came(more_bytes: int) -> None:
            nonlocal came_bytes, told_bytes
            came_bytes += more_bytes
            if came_bytes - told_bytes >= _TELL_EVERY_BYTES:
                told_bytes = came_bytes
                progress(f"  {file_name}: {came_bytes // 1_000_000} of {total_bytes // 1_000_000} MB")

        yield came

    resolver = PythonResolver(progress_callback=watch)
    return MavenContext(repo_cache=repository, resolver=resolver, timeout=_TIMEOUT_S)


def fetch(artifact: Artifact, downloads: Path, progress: Progress) -> Path:
    """Return the artifact's verified file under `downloads`; fetch it only if it is not there yet.

    Files are named by their digest and renamed into place when verified, so that a broken fetch leaves nothing and
    two processes may fetch at once.

    Raises:
        DeployError: It cannot be fetched, or what comes is not what the lock says.
    """
    kept = downloads / f"{artifact.sha256[:16]}-{artifact.file_name}"
    if kept.exists():
        return kept
    downloads.mkdir(parents=True, exist_ok=True)
    group, name, version, packaging = artifact.coordinate.split(":")
    problem = ""
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=downloads, prefix=".fetch-") as scratch:
            try:
                component = maven_context(Path(scratch), progress).project(group, name).at_version(version)
                came = Path(component.artifact("", packaging).resolve())
            except (
                OSError,
                RuntimeError,
            ) as error:  # of the network; of jgo
                logging.getLogger(__name__).debug("fetch of %s failed", artifact.coordinate, exc_info=True)
                problem = str(error).splitlines()[0] if str(error) else type(error).__name__
                continue
            if _sha256(came) == artifact.sha256:
                came.replace(kept)
                return kept
            problem = f"its SHA-256 is {_sha256(came)}, the lock says {artifact.sha256}"
    message = f"cannot fetch {artifact.coordinate}: {problem}"
    raise DeployError(message, "check the network or the proxy settings and run it again; what came so far is kept")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise DeployError unless the disk of `folder` has `needed_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        message = f"{folder} has {free / 1e9:.1f} GB free, {needed_bytes / 1e9:.1f} GB are needed"
        raise DeployError(message, "free some space, or set XDG_CACHE_HOME to a folder on a larger disk")
