"""Batched vectors: what concurrent callers ask -> calls for several of them; vectors asked for before -> no call."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.batcher import Batcher
from adapters.vectors._recall import Recall
from contracts.ports import EVERYWHERE, Float32, Nearness, Scope, Scored, VectorIndex, VectorRow, Views

_MAX_BATCH = 64
"""Source: of 1, 16 and 64 queries a call, 64 costs Milvus Lite least a query; the scan of the scope is paid once."""

_MAX_READERS = 8
"""Callers whose rows are read together: some 500 rows at first, 35 ms of Milvus Lite, a few when most are kept.
Source: of 100,000 scenes a search costs 74 ms of processor time with one call in flight, 79 with four, 82 with a call
of each caller's own.
"""

_MAX_WAITING = 1000


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """One caller's search; ``kind`` is what searches of one call have in common."""

    collection: str
    tenant_id: str
    vectors: Float32
    limit: int
    scope: Scope

    @property
    def kind(self) -> Hashable:
        return self.collection, self.tenant_id, self.limit, self.scope


@dataclass(frozen=True, slots=True)
class _Read:
    """One caller's rows whose vectors are not kept."""

    collection: str
    tenant_id: str
    row_ids: Sequence[str]

    @property
    def kind(self) -> Hashable:
        return self.collection, self.tenant_id


class BatchedVectors:
    """``VectorIndex`` that sends concurrent searches of one scope together, and keeps vectors of scenes for a while.

    A search or a read beyond 1,000 waiting ones raises LimitExceeded (transient). Writes are as ordered as the inner
    index.
    """

    def __init__(self, inner: VectorIndex) -> None:
        """Configure; ``inner`` stays the caller's."""
        self._inner = inner
        self._batcher: Batcher[_Search, Sequence[Sequence[Scored]]] = Batcher(
            self._search, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING, kind=lambda search: search.kind
        )
        self._reader: Batcher[_Read, Mapping[str, Views]] = Batcher(
            self._read, max_batch=_MAX_READERS, max_waiting=_MAX_WAITING, kind=lambda read: read.kind
        )
        self._recall = Recall()

    async def ensure(self, collection: str, dim: int) -> None:
        """See ``VectorIndex``."""
        await self._inner.ensure(collection, dim)

    async def upsert(self, collection: str, rows: Sequence[VectorRow]) -> None:
        """See ``VectorIndex``."""
        self._recall.forget()
        await self._inner.upsert(collection, rows)

    async def flush(self, collection: str) -> None:
        """See ``VectorIndex``."""
        await self._inner.flush(collection)

    async def search(
        self, collection: str, tenant_id: str, vectors: Float32, *, limit: int, scope: Scope = EVERYWHERE
    ) -> Sequence[Sequence[Scored]]:
        """See ``VectorIndex``; with others of the same scope."""
        return await self._batcher.ask(_Search(collection, tenant_id, vectors, limit, scope))

    async def similarities(
        self, collection: str, tenant_id: str, vector: Float32, row_ids: Sequence[str]
    ) -> Mapping[str, Nearness]:
        """See ``VectorIndex``; rows that are not kept are read with those of others."""
        now_s, unit = asyncio.get_running_loop().time(), vector / (float(np.linalg.norm(vector)) or 1.0)
        near, missing = self._recall.cosines(collection, tenant_id, row_ids, unit, now_s)
        if missing:
            read = await self._reader.ask(_Read(collection, tenant_id, missing))
            self._recall.keep(collection, tenant_id, read, now_s)
            near |= {row: Nearness.of(views, unit) for row, views in read.items()}
        return near

    async def views(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, Views]:
        """See ``VectorIndex``."""
        return await self._inner.views(collection, tenant_id, row_ids)

    async def delete(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> None:
        """See ``VectorIndex``."""
        self._recall.forget()
        await self._inner.delete(collection, tenant_id, row_ids)

    async def delete_video(self, collection: str, tenant_id: str, video_id: str) -> None:
        """See ``VectorIndex``."""
        self._recall.forget()
        await self._inner.delete_video(collection, tenant_id, video_id)

    async def count(self, collection: str, tenant_id: str, video_id: str | None = None) -> int:
        """See ``VectorIndex``."""
        return await self._inner.count(collection, tenant_id, video_id)

    async def _search(self, searches: Sequence[_Search]) -> Sequence[Sequence[Sequence[Scored]]]:
        first = searches[0]
        lists = await self._inner.search(
            first.collection,
            first.tenant_id,
            np.concatenate([search.vectors for search in searches]),
            limit=first.limit,
            scope=first.scope,
        )
        ends = np.cumsum([len(search.vectors) for search in searches])
        return [lists[end - len(search.vectors) : end] for search, end in zip(searches, ends, strict=True)]

    async def _read(self, reads: Sequence[_Read]) -> Sequence[Mapping[str, Views]]:
        first = reads[0]
        rows = list(dict.fromkeys(row for read in reads for row in read.row_ids))
        found = await self._inner.views(first.collection, first.tenant_id, rows)
        return [{row: found[row] for row in read.row_ids if row in found} for read in reads]
