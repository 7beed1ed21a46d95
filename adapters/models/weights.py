"""Weights: name of a file -> its path, or a clear error; digests of files; what runtimes raise -> a typed error."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from contracts.errors import HeimdexError, ModelUnavailable

Maker = Literal["assets", "pull"]
"""Module that fills the models folder: ``assets`` from packages, ``pull`` from a hub."""

_CHUNK_BYTES = 1 << 20


def in_package(package: str, *parts: str) -> Path:
    """Return a data file of an installed package, without importing the package.

    Raises: ModelUnavailable (transient: install the package) when it is not there.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, *parts)
        if path.is_file():
            return path
    raise ModelUnavailable("models", f"file {'/'.join(parts)} of package {package} is missing: run `make setup`")


def in_folder(models_dir: Path, *parts: str, maker: Maker) -> Path:
    """Return a file or folder under ``models_dir``.

    Raises: ModelUnavailable (transient) naming the command that makes it, when it is not there.
    """
    path = models_dir.joinpath(*parts)
    if not path.exists():
        remedy = f"run `python -m adapters.models.{maker} {models_dir}`"
        raise ModelUnavailable("models", f"{path} is missing: {remedy}")
    return path


def sha256_of(path: Path) -> str:
    """Return the lower-case hex SHA-256 of a file; bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def loading(task: str) -> Iterator[None]:
    """Turn whatever is raised while a model loads into ModelUnavailable (transient): files are all that it is given.

    Libraries raise anything on a damaged file: errors of their own, ``ValueError``, ``EOFError``.
    """
    try:
        yield
    except HeimdexError:
        raise
    except Exception as error:
        raise ModelUnavailable(task, f"{task} model does not load: {_line(error)}") from error


@contextmanager
def running(task: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn failures of a runtime (and ``kinds``, its own) into ModelUnavailable (transient); defects of ours pass."""
    failures: tuple[type[Exception], ...] = (RuntimeError, MemoryError, OSError, *kinds)
    try:
        yield
    except failures as error:
        raise ModelUnavailable(task, f"{task} runtime failed: {_line(error)}") from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
