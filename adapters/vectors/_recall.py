"""Recall: vectors of scenes that were asked for -> their cosines again without asking the store, for a while.

Lexical hits want their cosine in every search, and one row costs Milvus Lite 0.07 ms: 100 of them as much as searching
10,000. A row never changes, but it may be deleted, by others too: what was kept is forgotten after five minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from contracts.ports import Float32, Nearness, Views

_KEPT_BYTES = 64 << 20
_KEPT_S = 300.0

Row = tuple[str, str]
"""Tenant and row id."""


class Recall:
    """Vectors of scenes by collection, tenant and row id, the oldest scene going first, with all of its vectors."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def cosines(
        self, collection: str, tenant_id: str, row_ids: Iterable[str], vector: Float32, now_s: float
    ) -> tuple[dict[str, Nearness], list[str]]:
        """Return how near the scenes that are kept are to ``vector``, of length 1; and the rows that are not kept."""
        asked = dict.fromkeys(row_ids)
        kept = self._kept.get(collection)
        if kept is None:
            return {}, list(asked)
        scenes = kept.scenes.get(tenant_id, {})
        there = {row: scene for row in asked if (scene := scenes.get(row)) and now_s - scene.since_s <= _KEPT_S}
        places = [place for scene in there.values() for place in scene.places]
        cosines = (kept.vectors.take(places, 0) @ vector).tolist()
        if len(places) == len(there):  # most scenes look the same throughout, and there may be hundreds of them
            views = [scene.views[0] for scene in there.values()]
            near = dict(zip(there, map(Nearness, cosines, views), strict=True))
        else:
            each = iter(cosines)
            near = {row: Nearness.best({view: next(each) for view in scene.views}) for row, scene in there.items()}
        return near, [row for row in asked if row not in there]

    def keep(self, collection: str, tenant_id: str, scenes: Mapping[str, Views], now_s: float) -> None:
        """Keep what was found out: vectors of length 1."""
        for row_id, views in scenes.items():
            if collection not in self._kept:
                self._kept[collection] = _Kept(len(next(iter(views.values()))))
            self._kept[collection].put(tenant_id, row_id, views, now_s)

    def forget(self) -> None:
        """Forget everything: rows were written or deleted here."""
        self._kept.clear()


class _Scene(NamedTuple):
    """Since when a scene is kept, and where which of its vectors are."""

    since_s: float
    places: tuple[int, ...]
    views: tuple[int, ...]


class _Kept:
    """One matrix, filled in a ring: a search multiplies a hundred of its rows at once."""

    def __init__(self, dim: int) -> None:
        rows = _KEPT_BYTES // (4 * dim)
        self.vectors = np.empty((rows, dim), np.float32)  # pages of it that nobody has written take no memory
        self._owners: list[Row | None] = [None] * rows
        self.scenes: defaultdict[str, dict[str, _Scene]] = defaultdict(dict)
        self._next = 0

    def put(self, tenant_id: str, row_id: str, views: Views, now_s: float) -> None:
        row, numbers = (tenant_id, row_id), tuple(views)
        before = self.scenes[tenant_id].get(row_id)
        if before is not None and before.views == numbers:
            places = before.places
        else:
            self._drop(row)
            places = tuple(self._taken(row) for _ in numbers)
        self.scenes[tenant_id][row_id] = _Scene(now_s, places, numbers)
        self.vectors[list(places)] = list(views.values())

    def _taken(self, row: Row) -> int:
        """Return the next place, now the row's."""
        place, self._next = self._next, (self._next + 1) % len(self._owners)
        self._drop(self._owners[place])
        self._owners[place] = row
        return place

    def _drop(self, row: Row | None) -> None:
        """Let a scene go with all of its vectors: the best of some of them might not be its best."""
        if row is None:
            return
        tenant_id, row_id = row
        scene = self.scenes[tenant_id].pop(row_id, None)
        for place in scene.places if scene else ():
            self._owners[place] = None
