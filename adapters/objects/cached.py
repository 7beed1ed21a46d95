"""Cached objects: downloads of uploaded files by pinned ETag -> hard links into a bounded folder of this host.

Four stages read the same video; one of them fetches it. All else goes to the store behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from contracts.ports import ObjectInfo, Objects, Part, SignedUrl

GIB = 1 << 30
_SOURCE = "source/original"
_LOCK_POLL_S = 0.1


class CachedObjects:
    """``Objects`` with a host-local cache of uploaded files; processes of a host share the folder.

    Content is pinned by key and ETag, so an entry never goes stale; the least recently used go first.
    """

    def __init__(self, store: Objects, folder: Path, *, max_bytes: int = 4 * GIB, max_age_s: float = 3600.0) -> None:
        """Wrap ``store``.

        Args:
            folder: of the cache; made when it is missing.
            max_bytes: bound of the whole folder.
            max_age_s: entries unused for so long go, so that erased videos do not linger.
        """
        self._store = store
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def download(self, key: str, path: Path, *, if_match: str | None = None) -> ObjectInfo:
        """Link the cached file to ``path``, fetching it first where needed. The file must not be written to."""
        if if_match is None or not key.endswith(_SOURCE):
            return await self._store.download(key, path, if_match=if_match)
        entry = self._entry(key, if_match)
        async with _alone(entry.with_name(f"{entry.name}.lock")):
            if not entry.exists():
                await self._store.download(key, entry, if_match=if_match)
                entry.chmod(0o400)
                await self.sweep(keep=entry)
            os.utime(entry)
            await asyncio.to_thread(_link, entry, path)
        return ObjectInfo(key, path.stat().st_size, if_match)

    async def purge(self, prefix: str) -> int:
        """Purge the store, and forget what this host has of it."""
        removed = await self._store.purge(prefix)
        await asyncio.to_thread(shutil.rmtree, self._folder / _name(prefix), ignore_errors=True)
        return removed

    async def sweep(self, keep: Path | None = None) -> None:
        """Remove entries that are too old, and the least recently used beyond the bound."""
        await asyncio.to_thread(self._sweep, keep)

    def _sweep(self, keep: Path | None) -> None:
        entries = []
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                if path.suffix not in {".lock", ".part"}:
                    entries.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, _ in entries)
        oldest = time.time() - self._max_age_s
        for used_at, size, path in sorted(entries):
            if path != keep and (total > self._max_bytes or used_at < oldest):
                path.unlink(missing_ok=True)
                total -= size

    def _entry(self, key: str, etag: str) -> Path:
        folder = self._folder / _name(key.removesuffix(_SOURCE))
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder / _name(etag)

    # What follows is the store's.

    async def head(self, key: str) -> ObjectInfo | None:
        """As the store."""
        return await self._store.head(key)

    async def get(self, key: str, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """As the store."""
        return await self._store.get(key, if_match=if_match)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        if_none_match: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """As the store."""
        return await self._store.put(
            key, body, content_type=content_type, if_none_match=if_none_match, if_match=if_match
        )

    async def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        """As the store."""
        return await self._store.upload(path, key, content_type=content_type)

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """As the store."""
        return self._store.list(prefix)

    async def delete(self, keys: Sequence[str]) -> None:
        """As the store."""
        await self._store.delete(keys)

    async def sign_get(self, key: str, *, ttl_s: int, file_name: str | None = None) -> SignedUrl:
        """As the store."""
        return await self._store.sign_get(key, ttl_s=ttl_s, file_name=file_name)

    async def sign_put(self, key: str, *, ttl_s: int, size_bytes: int, sha256_hex: str, content_type: str) -> SignedUrl:
        """As the store."""
        return await self._store.sign_put(
            key, ttl_s=ttl_s, size_bytes=size_bytes, sha256_hex=sha256_hex, content_type=content_type
        )

    async def create_multipart(self, key: str, *, content_type: str) -> str:
        """As the store."""
        return await self._store.create_multipart(key, content_type=content_type)

    async def sign_part(
        self, key: str, multipart_id: str, number: int, *, ttl_s: int, size_bytes: int, sha256_hex: str | None
    ) -> SignedUrl:
        """As the store."""
        return await self._store.sign_part(
            key, multipart_id, number, ttl_s=ttl_s, size_bytes=size_bytes, sha256_hex=sha256_hex
        )

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[Part]:
        """As the store."""
        return await self._store.list_parts(key, multipart_id)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> ObjectInfo:
        """As the store."""
        return await self._store.complete_multipart(key, multipart_id, parts)

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """As the store."""
        await self._store.abort_multipart(key, multipart_id)


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


@contextlib.asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """Hold a file lock against other coroutines and processes of this host."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_LOCK_POLL_S)
                continue
            break
        yield
