"""Memory vectors: ``contracts.ports.VectorIndex`` in dicts, exact and deterministic, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts.errors import DependencyUnavailable, PreconditionFailed
from contracts.ids import view_id
from contracts.ports import EVERYWHERE, Float32, Nearness, Scope, Scored, VectorRow, Views


@dataclass(frozen=True, slots=True)
class _Collection:
    dim: int
    rows: dict[str, VectorRow] = field(default_factory=dict)  # by view


class MemoryVectors:
    """The collections of one process; ties by row id."""

    def __init__(self) -> None:
        self._collections: dict[str, _Collection] = {}

    async def ensure(self, collection: str, dim: int) -> None:
        """Create the collection if it is absent; PreconditionFailed when it has another dimension."""
        existing = self._collections.setdefault(collection, _Collection(dim))
        if existing.dim != dim:
            raise PreconditionFailed(f"collection {collection} has {existing.dim} dimensions, not {dim}")

    async def upsert(self, collection: str, rows: Sequence[VectorRow]) -> None:
        """Write rows. Raises DependencyUnavailable (transient) when nobody has made the collection."""
        if collection not in self._collections:
            raise DependencyUnavailable("memory", f"collection {collection} is not there")
        self._collections[collection].rows.update({view_id(row.row_id, row.view): row for row in rows})

    async def flush(self, collection: str) -> None:
        """Do nothing: what is written is searchable."""

    async def search(
        self, collection: str, tenant_id: str, vectors: Float32, *, limit: int, scope: Scope = EVERYWHERE
    ) -> Sequence[Sequence[Scored]]:
        """Return the nearest scenes of each query."""
        rows = [row for row in self._of(collection, tenant_id) if scope.holds(row.video_id, row.start_ms)]
        return [_nearest(vector, rows)[:limit] for vector in vectors]

    async def similarities(
        self, collection: str, tenant_id: str, vector: Float32, row_ids: Sequence[str]
    ) -> Mapping[str, Nearness]:
        """Return how near each known scene is."""
        wanted = frozenset(row_ids)
        rows = [row for row in self._of(collection, tenant_id) if row.row_id in wanted]
        return {scored.row_id: Nearness(scored.score, scored.view) for scored in _nearest(vector, rows)}

    async def views(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, Views]:
        """Return the vectors of each known scene, with length 1."""
        wanted = frozenset(row_ids)
        found: dict[str, dict[int, Float32]] = {}
        for row in self._of(collection, tenant_id):
            if row.row_id in wanted:
                found.setdefault(row.row_id, {})[row.view] = row.vector / np.linalg.norm(row.vector)
        return found

    async def delete(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> None:
        """Remove all vectors of scenes of the tenant."""
        wanted = frozenset(row_ids)
        self._remove(collection, [row for row in self._of(collection, tenant_id) if row.row_id in wanted])

    async def delete_video(self, collection: str, tenant_id: str, video_id: str) -> None:
        """Remove every row of a video."""
        self._remove(collection, [row for row in self._of(collection, tenant_id) if row.video_id == video_id])

    async def count(self, collection: str, tenant_id: str, video_id: str | None = None) -> int:
        """Return how many vectors there are."""
        return sum(video_id in {None, row.video_id} for row in self._of(collection, tenant_id))

    def _of(self, collection: str, tenant_id: str) -> Iterator[VectorRow]:
        existing = self._collections.get(collection)
        return (row for row in (existing.rows.values() if existing else ()) if row.tenant_id == tenant_id)

    def _remove(self, collection: str, rows: Sequence[VectorRow]) -> None:
        for row in rows:
            del self._collections[collection].rows[view_id(row.row_id, row.view)]


def _nearest(vector: Float32, rows: Sequence[VectorRow]) -> list[Scored]:
    """Return the cosine of every scene, best first."""
    if not rows:
        return []
    matrix = np.stack([row.vector for row in rows])
    cosines = matrix @ vector / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector))
    scored = [
        Scored(row.row_id, float(cosine), row.video_id, row.view) for row, cosine in zip(rows, cosines, strict=True)
    ]
    best: dict[str, Scored] = {}
    for one in sorted(scored, key=lambda item: (-item.score, item.row_id, item.view)):
        best.setdefault(one.row_id, one)
    return list(best.values())
