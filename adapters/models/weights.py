"""Weights: name of a file -> its path, or a clear error; digests of files."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from contracts.errors import ModelUnavailable

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


def in_folder(folder: Path, *parts: str, remedy: str) -> Path:
    """Return a file or folder under ``folder``.

    Raises: ModelUnavailable (transient) naming the ``remedy`` when it is not there.
    """
    path = folder.joinpath(*parts)
    if not path.exists():
        raise ModelUnavailable("models", f"{path} is missing: {remedy}")
    return path


def sha256_of(path: Path) -> str:
    """Return the lower-case hex SHA-256 of a file; bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
