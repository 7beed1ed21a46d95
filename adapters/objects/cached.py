"""Cached objects: downloads of uploaded files by pinned ETag -> hard links into a bounded folder of this host.

Four stages read the same video; one of them fetches it. All else goes to the store behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from adapters.objects.folder import BoundedFolder
from contracts.errors import NotFound, PreconditionFailed
from contracts.ports import ObjectInfo, Objects, Part, SignedUrl

GIB = 1 << 30
_SOURCE = "/source/original"


class CachedObjects:
    """``Objects`` with a host-local cache of uploaded files; processes of a host share the folder.

    Content is pinned by key and ETag, so an entry never goes stale. The store is asked each time whether the object
    is still there: only the bytes are kept, and an erased video is not handed out.
    """

    def __init__(self, store: Objects, folder: Path, *, max_bytes: int = 4 * GIB, max_age_s: float = 3600.0) -> None:
        """Wrap ``store``.

        Args:
            folder: of the cache; made when it is missing.
            max_bytes: bound of the whole folder; a file for which there is no room is fetched past it.
            max_age_s: entries unused for so long go when another one comes, so that erased videos do not linger.
        """
        self._store = store
        self._folder = BoundedFolder(folder, max_bytes=max_bytes, max_age_s=max_age_s)

    async def download(self, key: str, path: Path, *, if_match: str | None = None) -> ObjectInfo:
        """Link the cached file to ``path``, fetching it first where needed. The file must not be written to."""
        if if_match is None or not key.endswith(_SOURCE):
            return await self._store.download(key, path, if_match=if_match)
        info = await self._store.head(key)
        if info is None:
            raise NotFound("object", key)
        if info.etag != if_match:
            raise PreconditionFailed(f"object {key!r} is not in the state asked for")
        name = f"{quote(key, safe='')}@{hashlib.sha256(if_match.encode()).hexdigest()[:32]}"
        async with self._folder.held(name):
            if await self._there(name, info):
                await asyncio.to_thread(self._folder.hand_out, name, path)
                return info
        return await self._store.download(key, path, if_match=if_match)

    async def _there(self, name: str, info: ObjectInfo) -> bool:
        """Fetch an entry unless it is there; False when there is no room for it."""
        file = self._folder.file(name)
        if await asyncio.to_thread(file.exists):
            return True
        if not await asyncio.to_thread(self._folder.reserve, name, info.size_bytes):
            return False
        await self._store.download(info.key, file, if_match=info.etag)
        return True

    async def purge(self, prefix: str) -> int:
        """Purge the store, and forget what this host has of it."""
        removed = await self._store.purge(prefix)
        await self._folder.forget(lambda name: unquote(name.rpartition("@")[0]).startswith(prefix))
        return removed

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

    async def sign_get(self, key: str, *, ttl_s: int, content_type: str | None = None) -> SignedUrl:
        """As the store."""
        return await self._store.sign_get(key, ttl_s=ttl_s, content_type=content_type)

    async def sign_put(self, key: str, *, ttl_s: int, size_bytes: int, sha256_hex: str, content_type: str) -> SignedUrl:
        """As the store."""
        return await self._store.sign_put(
            key, ttl_s=ttl_s, size_bytes=size_bytes, sha256_hex=sha256_hex, content_type=content_type
        )

    async def create_multipart(self, key: str, *, content_type: str, checksums: bool = True) -> str:
        """As the store."""
        return await self._store.create_multipart(key, content_type=content_type, checksums=checksums)

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
