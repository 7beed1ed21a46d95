"""Recall: vectors of rows that were asked for -> the same again without asking Milvus, for a while.

Lexical hits want their cosine in every search, and one row costs Milvus Lite 0.07 ms: 100 of them as much as searching
10,000. A row never changes, but it may be deleted, by others too: what was kept is forgotten after five minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from contracts.ports import Float32

_KEPT_BYTES = 64 << 20
_KEPT_S = 300.0

Key = tuple[str, str, str]


class Recall:
    """Vectors by (collection, tenant, row id), the least lately used going first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, tuple[float, Float32]] = OrderedDict()
        self._bytes = 0

    def look_up(
        self, collection: str, tenant_id: str, row_ids: Iterable[str], now_s: float
    ) -> tuple[dict[str, Float32], list[str]]:
        """Return the vectors that are kept, and the rows of which none is, each once."""
        found: dict[str, Float32] = {}
        missing = []
        for row_id in dict.fromkeys(row_ids):
            key = (collection, tenant_id, row_id)
            since_s, vector = self._kept.get(key, (0.0, None))
            if vector is None or now_s - since_s > _KEPT_S:
                missing.append(row_id)
            else:
                self._kept.move_to_end(key)
                found[row_id] = vector
        return found, missing

    def keep(self, collection: str, tenant_id: str, vectors: Mapping[str, Float32], now_s: float) -> None:
        """Keep what was found out."""
        for row_id, vector in vectors.items():
            self._drop((collection, tenant_id, row_id))
            self._kept[collection, tenant_id, row_id] = (now_s, vector)
            self._bytes += vector.nbytes
        while self._bytes > _KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def forget(self) -> None:
        """Forget everything: rows were written or deleted here."""
        self._kept.clear()
        self._bytes = 0

    def _drop(self, key: Key) -> None:
        if key in self._kept:
            self._bytes -= self._kept.pop(key)[1].nbytes
