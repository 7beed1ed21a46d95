"""Rows: memory forms of both stores, that hold rows and find nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.errors import PreconditionFailed
from contracts.ports import Float32, Scored, TextHit, TextQuery, TextRow, VectorRow


class MemoryVectors:
    """``contracts.ports.VectorIndex``: rows count once they are flushed."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, VectorRow]] = {}
        self._dims: dict[str, int] = {}

    async def ensure(self, collection: str, dim: int) -> None:
        if self._dims.setdefault(collection, dim) != dim:
            raise PreconditionFailed(f"{collection} has another dimension")
        self.rows.setdefault(collection, {})

    async def upsert(self, collection: str, rows: Sequence[VectorRow]) -> None:
        self.rows[collection].update({row.row_id: row for row in rows})

    async def flush(self, collection: str) -> None:
        return

    async def search(
        self, collection: str, tenant_id: str, vectors: Float32, *, limit: int, video_ids: Sequence[str] = ()
    ) -> Sequence[Sequence[Scored]]:
        raise NotImplementedError

    async def similarities(
        self, collection: str, tenant_id: str, vector: Float32, row_ids: Sequence[str]
    ) -> Mapping[str, float]:
        raise NotImplementedError

    async def delete(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> None:
        for row_id in row_ids:
            self.rows.get(collection, {}).pop(row_id, None)

    async def delete_video(self, collection: str, tenant_id: str, video_id: str) -> None:
        rows = self.rows.get(collection, {})
        for row_id in [r.row_id for r in rows.values() if (r.tenant_id, r.video_id) == (tenant_id, video_id)]:
            del rows[row_id]

    async def count(self, collection: str, tenant_id: str, video_id: str | None = None) -> int:
        rows = self.rows.get(collection, {}).values()
        return sum(r.tenant_id == tenant_id and video_id in {None, r.video_id} for r in rows)


class MemoryText:
    """``contracts.ports.TextIndex``."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, TextRow]] = {}

    async def ensure(self, index: str) -> None:
        self.rows.setdefault(index, {})

    async def upsert(self, index: str, rows: Sequence[TextRow]) -> None:
        self.rows[index].update({row.row_id: row for row in rows})

    async def refresh(self, index: str) -> None:
        return

    async def search(self, index: str, queries: Sequence[TextQuery]) -> Sequence[Sequence[TextHit]]:
        raise NotImplementedError

    async def highlight(self, index: str, text: str, transcripts: Sequence[str]) -> Sequence[Sequence[tuple[int, int]]]:
        raise NotImplementedError

    async def delete(self, index: str, row_ids: Sequence[tuple[str, str]]) -> None:
        for row_id, _ in row_ids:
            self.rows.get(index, {}).pop(row_id, None)

    async def delete_video(self, index: str, tenant_id: str, video_id: str) -> None:
        rows = self.rows.get(index, {})
        for row_id in [r.row_id for r in rows.values() if (r.tenant_id, r.video_id) == (tenant_id, video_id)]:
            del rows[row_id]

    async def count(self, index: str, tenant_id: str, video_id: str | None = None) -> int:
        rows = self.rows.get(index, {}).values()
        return sum(r.tenant_id == tenant_id and video_id in {None, r.video_id} for r in rows)
