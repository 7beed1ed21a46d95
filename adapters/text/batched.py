"""Batched text: searches of concurrent callers -> calls with several queries; everything else passes through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.batcher import Batcher
from contracts.ports import Suggested, TextHit, TextIndex, TextQuery, TextRow
from contracts.vocabulary import COMMITTED, Vocabulary

_MAX_BATCH = 16
_MAX_CALLS = 2
"""Source of both: two calls of up to 16 queries in flight have the most queries a second of what was measured."""

_MAX_WAITING = 1000


@dataclass(frozen=True, slots=True)
class _Search:
    index: str
    queries: tuple[TextQuery, ...]


class BatchedText:
    """``TextIndex`` that sends concurrent searches of one index together.

    A search beyond 1,000 waiting ones raises LimitExceeded (transient). Writes are as ordered as the inner index.
    """

    def __init__(self, inner: TextIndex) -> None:
        """Configure; ``inner`` stays the caller's."""
        self._inner = inner
        self._batcher: Batcher[_Search, Sequence[Sequence[TextHit]]] = Batcher(
            self._search,
            max_batch=_MAX_BATCH,
            max_waiting=_MAX_WAITING,
            max_calls=_MAX_CALLS,
            kind=lambda search: search.index,
        )

    async def ensure(self, index: str, vocabulary: Vocabulary = COMMITTED) -> None:
        """See ``TextIndex``."""
        await self._inner.ensure(index, vocabulary)

    async def upsert(self, index: str, rows: Sequence[TextRow]) -> None:
        """See ``TextIndex``."""
        await self._inner.upsert(index, rows)

    async def refresh(self, index: str) -> None:
        """See ``TextIndex``."""
        await self._inner.refresh(index)

    async def search(self, index: str, queries: Sequence[TextQuery]) -> Sequence[Sequence[TextHit]]:
        """See ``TextIndex``; with others of the same index."""
        return await self._batcher.ask(_Search(index, tuple(queries)))

    async def holding(self, index: str, tenant_id: str, row_ids: Sequence[str], texts: Sequence[str]) -> frozenset[str]:
        """See ``TextIndex``."""
        return await self._inner.holding(index, tenant_id, row_ids, texts)

    async def highlight(self, index: str, text: str, transcripts: Sequence[str]) -> Sequence[Sequence[tuple[int, int]]]:
        """See ``TextIndex``."""
        return await self._inner.highlight(index, text, transcripts)

    async def suggest(
        self, index: str, tenant_id: str, beginnings: Sequence[str], *, limit: int
    ) -> Sequence[Sequence[Suggested]]:
        """See ``TextIndex``."""
        return await self._inner.suggest(index, tenant_id, beginnings, limit=limit)

    async def delete(self, index: str, row_ids: Sequence[tuple[str, str]]) -> None:
        """See ``TextIndex``."""
        await self._inner.delete(index, row_ids)

    async def delete_video(self, index: str, tenant_id: str, video_id: str) -> None:
        """See ``TextIndex``."""
        await self._inner.delete_video(index, tenant_id, video_id)

    async def count(self, index: str, tenant_id: str, video_id: str | None = None) -> int:
        """See ``TextIndex``."""
        return await self._inner.count(index, tenant_id, video_id)

    async def drop(self, index: str) -> None:
        """See ``TextIndex``."""
        await self._inner.drop(index)

    async def _search(self, searches: Sequence[_Search]) -> Sequence[Sequence[Sequence[TextHit]]]:
        lists = iter(
            await self._inner.search(searches[0].index, [query for search in searches for query in search.queries])
        )
        return [[next(lists) for _ in search.queries] for search in searches]
