"""Reader: a process that downloads one object through the cache; its store notes each fetch and waits for leave.

Usage: reader.py CACHE TARGET KEY NOTES LEAVE: NOTES gets a byte a fetch, once half of the bytes are on the disk;
a fetch ends when the file LEAVE is there. TARGET.started tells that the reader is about to ask.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from adapters.objects.cached import CachedObjects
from adapters.objects.memory import MemoryObjects
from contracts.ports import ObjectInfo

BODY = bytes(range(256)) * 400


class Slow(MemoryObjects):
    """A store whose downloads are written half and wait then."""

    def __init__(self, notes: Path, leave: Path) -> None:
        super().__init__()
        self._notes, self._leave = notes, leave

    async def download(self, key: str, path: Path, *, if_match: str | None = None) -> ObjectInfo:
        path.with_name(f".{path.name}.half.part").write_bytes(BODY[: len(BODY) // 2])
        with self._notes.open("ab") as notes:
            notes.write(b".")
        while not self._leave.exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.02)
        path.with_name(f".{path.name}.half.part").unlink()
        return await super().download(key, path, if_match=if_match)


async def read(cache: Path, target: Path, key: str, notes: Path, leave: Path) -> None:
    """Download the object once."""
    store = Slow(notes, leave)
    info = await store.put(key, BODY)
    target.with_suffix(".started").touch()
    await CachedObjects(store, cache, max_bytes=4 * len(BODY)).download(key, target, if_match=info.etag)


if __name__ == "__main__":
    _, cache, target, key, notes, leave = sys.argv
    asyncio.run(read(Path(cache), Path(target), key, Path(notes), Path(leave)))
