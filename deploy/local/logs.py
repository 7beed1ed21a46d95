"""Logs: a home and names of processes -> their last lines, and those that follow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.failure import NoSuchThing
from deploy.local.home import Home

_POLL_S: Final = 0.3
_TAIL_BYTES: Final = 64 * 1024


@dataclass
class _Followed:
    path: Path
    position: int
    inode: int


def log_files(home: Home, name: str | None) -> list[Path]:
    """Return the log of `name`, or every log.

    Raises:
        NoSuchThing: There is no such log.
    """
    present = sorted(home.logs.glob("*.log"))
    if name is None:
        return present
    chosen = [path for path in present if path.stem == name]
    if not chosen:
        names = ", ".join(path.stem for path in present) or "none yet"
        raise NoSuchThing(f"there is no log called {name}", f"there are: {names}")
    return chosen


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a file."""
    with path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        last = stream.read().decode(errors="replace").splitlines()
        return last[max(0, len(last) - lines) :]


def follow(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """Return (name, line) of lines as they are written from now on, also after a rotation; for ever."""
    return _follow([_Followed(path, path.stat().st_size, path.stat().st_ino) for path in paths])


def _follow(followed: list[_Followed]) -> Iterator[tuple[str, str]]:
    while True:
        for one in followed:
            yield from ((one.path.stem, line) for line in _new_lines(one))
        time.sleep(_POLL_S)


def _new_lines(one: _Followed) -> list[str]:
    try:
        status = one.path.stat()
    except FileNotFoundError:  # between the two steps of a rotation
        return []
    if status.st_ino != one.inode or status.st_size < one.position:
        one.inode, one.position = status.st_ino, 0
    if status.st_size == one.position:
        return []
    with one.path.open("rb") as stream:
        stream.seek(one.position)
        text = stream.read()
    whole = text.rfind(b"\n") + 1  # a line that is still being written waits
    one.position += whole
    return text[:whole].decode(errors="replace").splitlines()
