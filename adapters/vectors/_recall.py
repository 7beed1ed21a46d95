"""Recall: vectors of rows that were asked for -> their cosines again without asking Milvus, for a while.

Lexical hits want their cosine in every search, and one row costs Milvus Lite 0.07 ms: 100 of them as much as searching
10,000. A row never changes, but it may be deleted, by others too: what was kept is forgotten after five minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from contracts.ports import Float32

_KEPT_BYTES = 64 << 20
_KEPT_S = 300.0

Row = tuple[str, str]
"""Tenant and row id."""


class Recall:
    """Vectors of length 1 by collection, tenant and row id, the oldest going first."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def cosines(
        self, collection: str, tenant_id: str, row_ids: Iterable[str], vector: Float32, now_s: float
    ) -> tuple[dict[str, float], list[str]]:
        """Return the cosine of ``vector``, of length 1, to the rows that are kept; and those that are not."""
        asked = dict.fromkeys(row_ids)
        kept = self._kept.get(collection)
        if kept is None:
            return {}, list(asked)
        places = {row: place for row in asked if (place := kept.place(tenant_id, row, now_s)) is not None}
        cosines = kept.vectors[list(places.values())] @ vector
        return dict(zip(places, cosines.tolist(), strict=True)), [row for row in asked if row not in places]

    def keep(self, collection: str, tenant_id: str, vectors: Mapping[str, Float32], now_s: float) -> None:
        """Keep what was found out."""
        for row_id, vector in vectors.items():
            if collection not in self._kept:
                self._kept[collection] = _Kept(len(vector))
            self._kept[collection].put(tenant_id, row_id, vector, now_s)

    def forget(self) -> None:
        """Forget everything: rows were written or deleted here."""
        self._kept.clear()


class _Kept:
    """One matrix, filled in a ring: a search multiplies a hundred of its rows at once."""

    def __init__(self, dim: int) -> None:
        rows = _KEPT_BYTES // (4 * dim)
        self.vectors = np.empty((rows, dim), np.float32)  # pages of it that nobody has written take no memory
        self._since_s = [0.0] * rows
        self._rows: list[Row | None] = [None] * rows
        self._places: dict[Row, int] = {}
        self._next = 0

    def place(self, tenant_id: str, row_id: str, now_s: float) -> int | None:
        place = self._places.get((tenant_id, row_id))
        return None if place is None or now_s - self._since_s[place] > _KEPT_S else place

    def put(self, tenant_id: str, row_id: str, vector: Float32, now_s: float) -> None:
        place = self._places.get((tenant_id, row_id))
        if place is None:
            place, self._next = self._next, (self._next + 1) % len(self._rows)
            gone = self._rows[place]
            if gone is not None:
                del self._places[gone]
            self._rows[place] = (tenant_id, row_id)
            self._places[tenant_id, row_id] = place
        self.vectors[place] = vector
        self._since_s[place] = now_s
