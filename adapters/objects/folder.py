"""Folder: entries by name, made once and handed out as hard links -> a bounded folder that processes of a host share.

An entry ``x`` is the folder ``x`` (its ``file``, and an empty sparse ``room`` as long as the file is or will be) beside
its lock ``x.lock``. Whoever changes an entry holds its lock, so what a dead process left is what nobody holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

_POLL_S = 0.1
_ROOM = "room"
_LOCK = ".lock"


class BoundedFolder:
    """Files of one host, of at most ``max_bytes`` together; the least recently used go first."""

    def __init__(self, folder: Path, *, max_bytes: int, max_age_s: float) -> None:
        """Open the folder, and make it when it is missing.

        Args:
            max_age_s: entries unused for so long go when another one comes.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextlib.asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """Hold an entry against every other coroutine and process of this host; a dead process holds nothing."""
        while True:
            with _lock(self._folder / f"{name}{_LOCK}") as ours:
                if ours:
                    yield
                    return
            await asyncio.sleep(_POLL_S)

    def file(self, name: str) -> Path:
        """Return where the file of an entry is, or is to be put."""
        return self._folder / name / "file"

    def reserve(self, name: str, size_bytes: int) -> bool:
        """Make room for an entry that is held and not there; False when others are using too much."""
        entry = self._folder / name
        with (self._folder / ".making-room").open("a") as making_room:
            fcntl.flock(making_room, fcntl.LOCK_EX)
            shutil.rmtree(entry, ignore_errors=True)
            if not self._make_room(size_bytes):
                return False
            entry.mkdir(exist_ok=True, mode=0o700)
            with (entry / _ROOM).open("wb") as room:
                room.truncate(size_bytes)
        return True

    def hand_out(self, name: str, path: Path) -> None:
        """Link the file of an entry that is held to ``path`` (atomic rename), read-only."""
        file = self.file(name)
        file.chmod(0o400)
        os.utime(file.with_name(_ROOM))
        part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
        try:
            try:
                part.hardlink_to(file)
            except OSError:  # another file system, or no more links
                shutil.copyfile(file, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)  # a link over another link of the same file stays

    async def forget(self, chosen: Callable[[str], bool]) -> None:
        """Remove the entries whose name is chosen; waits until nobody holds them."""
        for name in self._names():
            if chosen(name):
                async with self.held(name):
                    await asyncio.to_thread(self._remove, name)

    def _names(self) -> list[str]:
        return [lock.name.removesuffix(_LOCK) for lock in self._folder.glob(f"*{_LOCK}")]

    def _make_room(self, size_bytes: int) -> bool:
        if size_bytes > self._max_bytes:
            return False
        entries = sorted((*self._usage(name), name) for name in self._names())
        total = sum(size for _, size, _ in entries) + size_bytes
        oldest = time.time() - self._max_age_s
        for used_at, size, name in entries:
            if used_at < oldest or total > self._max_bytes or not self.file(name).exists():
                with _lock(self._folder / f"{name}{_LOCK}") as ours:
                    if ours:
                        self._remove(name)
                        total -= size
        return total <= self._max_bytes

    def _usage(self, name: str) -> tuple[float, int]:
        """Return when an entry was last used (Unix seconds) and its size in bytes."""
        try:
            room = (self._folder / name / _ROOM).stat()
        except FileNotFoundError:
            return 0.0, 0
        return room.st_mtime, room.st_size

    def _remove(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)
        (self._folder / f"{name}{_LOCK}").unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Try to hold a file lock; give False when somebody else does, or has just removed it."""
    with path.open("a") as file:
        yield _flock(file.fileno()) and _same(file.fileno(), path)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
