"""Milvus vectors: ``contracts.ports.VectorIndex`` on Milvus Lite's server and on a Milvus cluster.

**Lite** has no index: it then reads every row in scope, exactly. Its HNSW is no quicker (Python loops over the scope
cost more than distances), loses hits to filters (of a tenth of the rows 0.81 of the nearest were found, of one video
among 200 only 0.40), and is not searchable after a restart until somebody loads it. What narrows the scope are
partitions: a tenant is one of 16 hash buckets, and always the filter too. Vectors are written with length 1, so that
the inner product, which costs Lite a third less than the cosine, is the cosine.

**A cluster** has HNSW and the tenant as partition key.

Each of a scene's vectors is a row, with the id of ``contracts.ids.view_id``; the scenes are made of them here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from adapters.vectors._link import RETRY, Absent, Link, Server
from adapters.vectors._scope import TENANT_BUCKETS, bucket, bucket_name, only, within
from contracts.errors import DependencyUnavailable, PreconditionFailed
from contracts.ids import split_view_id, view_id
from contracts.ports import EVERYWHERE, MAX_VIEWS, Float32, Nearness, Scope, Scored, VectorRow, Views

if TYPE_CHECKING:
    from pymilvus import AsyncMilvusClient, CollectionSchema

_READ_S = 5.0
_WRITE_S = 60.0
_MAX_SCENES = 500  # of one call
_OTHERS_CREATE_S = (0.0, 0.1, 0.4, 1.5)
"""Pauses in which a collection appears that another process is creating; ours failed because of it."""

_ID, _TENANT, _VIDEO, _VECTOR = "row_id", "tenant_id", "video_id", "vector"

_HNSW = {"M": 16, "efConstruction": 200}
_MIN_EF = 128
"""Explored at search, at least; else twice the limit. Source: recall@10 >= 0.999 on 10,000 rows."""


class MilvusVectors:
    """Collections of one Milvus; use it as a context manager.

    A collection that does not exist is empty: searches come, and erasures, before the first commit. Errors besides the
    port's: DependencyUnavailable (transient), also for a write to a collection that nobody has made; Internal
    (permanent) for a defect.
    """

    def __init__(self, uri: str) -> None:
        """Configure; nothing is sent before the first call.

        Args:
            uri: ``http://host:port`` or ``https://user:password@host:port``.
        """
        self._link = Link(uri)
        self._making = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Load the library."""
        await self._link.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self._link.close()

    async def ensure(self, collection: str, dim: int) -> None:
        """Create the collection if it is absent, or what is missing of it; several may at once."""
        async with self._making:
            existing = await self._dim(collection) or await self._make(collection, dim)
            if existing != dim:
                raise PreconditionFailed(f"collection {collection} has {existing} dimensions, not {dim}")
            await self._ensure_partitions(collection)

    async def upsert(self, collection: str, rows: Sequence[VectorRow]) -> None:
        """Write rows, those of a tenant in one call."""
        by_tenant: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_tenant.setdefault(row.tenant_id, []).append(_entity(row))
        for tenant_id, entities in by_tenant.items():
            await self._link.call(_WRITE_S, partial(_upsert, collection, tenant_id, entities))

    async def flush(self, collection: str) -> None:
        """Make all that was written searchable and quick.

        Lite: rows that are not flushed cost 30 ms a search per 1,000. A cluster searches growing segments and rations
        flushes, so there it is one read that waits until everything written before is visible.
        """

        async def work(server: Server) -> None:
            if server.lite:
                await server.client.flush(collection, **RETRY)
            else:
                await server.client.query(collection, output_fields=[_ID], limit=1, consistency_level="Strong", **RETRY)

        with suppress(Absent):
            await self._link.call(_WRITE_S, work)

    async def search(
        self, collection: str, tenant_id: str, vectors: Float32, *, limit: int, scope: Scope = EVERYWHERE
    ) -> Sequence[Sequence[Scored]]:
        """Return the nearest scenes of each query; all queries share one reading of the scope.

        Where vectors of one scene take the places of others, the query is sent again for more of them: every row that
        is returned costs Lite 0.4 ms, so nobody pays for spare ones.
        """
        found: dict[int, list[Scored]] = {}
        asked, todo, most = limit, list(range(len(vectors))), limit * MAX_VIEWS
        while todo:
            lists = dict(
                zip(todo, await self._nearest(collection, tenant_id, vectors[todo], asked, scope), strict=True)
            )
            found |= {query: _scenes(views)[:limit] for query, views in lists.items()}
            cut = [query for query, views in lists.items() if len(views) == asked < most]
            todo = [query for query in cut if len(found[query]) < limit]
            asked = min(asked + 2 * max((limit - len(found[query]) for query in todo), default=0), most)
        return [found[query] for query in range(len(vectors))]

    async def similarities(
        self, collection: str, tenant_id: str, vector: Float32, row_ids: Sequence[str]
    ) -> Mapping[str, Nearness]:
        """Return how near each known scene is, computed here: a search among given rows may miss some."""
        unit = _unit(vector)
        known = await self.views(collection, tenant_id, row_ids)
        return {row: Nearness.of(views, unit) for row, views in known.items()}

    async def views(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, Views]:
        """Return the vectors of each known scene, with length 1."""
        found: dict[str, Views] = {}
        for start in range(0, len(row_ids), _MAX_SCENES):
            found |= await self._views(collection, tenant_id, _ids(row_ids[start : start + _MAX_SCENES]))
        return found

    async def delete(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> None:
        """Remove all vectors of scenes of the tenant."""
        for start in range(0, len(row_ids), _MAX_SCENES):
            filter_ = within(tenant_id, row_ids=_ids(row_ids[start : start + _MAX_SCENES]))
            await self._delete(collection, tenant_id, filter_)

    async def delete_video(self, collection: str, tenant_id: str, video_id: str) -> None:
        """Remove every row of a video."""
        await self._delete(collection, tenant_id, within(tenant_id, Scope((video_id,))))

    async def drop(self, collection: str) -> None:
        """Remove a collection with all that is in it; absent is no error."""
        with suppress(Absent):
            await self._link.call(_WRITE_S, lambda server: server.client.drop_collection(collection, **RETRY))

    async def count(self, collection: str, tenant_id: str, video_id: str | None = None) -> int:
        """Return how many vectors there are; everything written before is counted."""
        filter_ = within(tenant_id, EVERYWHERE if video_id is None else Scope((video_id,)))
        try:
            rows = await self._link.call(
                _WRITE_S, lambda server: _query(server, collection, tenant_id, filter_, ["count(*)"])
            )
        except Absent:
            return 0
        return int(rows[0]["count(*)"])

    async def _dim(self, collection: str) -> int | None:
        """Return the dimensions of a collection; None when it is not there."""
        try:
            described = await self._link.call(
                _READ_S, lambda server: server.client.describe_collection(collection, **RETRY)
            )
        except Absent:
            return None
        return next(int(field["params"]["dim"]) for field in described["fields"] if field["name"] == _VECTOR)

    async def _make(self, collection: str, dim: int) -> int:
        """Create the collection; return its dimensions, which are another's when somebody else was quicker."""
        try:
            await self._link.call(_WRITE_S, lambda server: _create(server, collection, dim))
        except DependencyUnavailable:
            for pause_s in _OTHERS_CREATE_S:
                await asyncio.sleep(pause_s)
                made = await self._dim(collection)
                if made is not None:
                    return made
            raise
        return dim

    async def _ensure_partitions(self, collection: str) -> None:
        """Make the partitions that are missing on Lite; somebody else may be making them too."""
        missing = await self._link.call(_READ_S, partial(_missing_partitions, collection))
        for name in missing:
            try:
                await self._link.call(_READ_S, partial(_create_partition, collection, name))
            except DependencyUnavailable:
                if name in await self._link.call(_READ_S, partial(_missing_partitions, collection)):
                    raise

    async def _nearest(
        self, collection: str, tenant_id: str, vectors: Float32, limit: int, scope: Scope
    ) -> Sequence[Sequence[Scored]]:
        """Return the ``limit`` nearest vectors of each query, best first."""
        try:
            found = await self._link.call(
                _READ_S,
                lambda server: server.client.search(
                    collection,
                    data=list(_unit(vectors)),
                    filter=within(tenant_id, scope),
                    limit=limit,
                    output_fields=[_VIDEO],  # and ids; Lite sends everything when none are named
                    anns_field=_VECTOR,
                    search_params=_search_params(server, limit),
                    partition_names=_partitions(server, tenant_id),
                    **RETRY,
                ),
            )
        except Absent:
            return [[] for _ in vectors]
        return [_best_first(hits) for hits in found]

    async def _views(self, collection: str, tenant_id: str, ids: Sequence[str]) -> Mapping[str, Views]:
        """Return vectors by row and view. Lite finds rows by id alone at once, and scans for any other filter."""

        async def work(server: Server) -> Sequence[Mapping[str, Any]]:
            filter_ = only(ids) if server.lite else within(tenant_id, row_ids=ids)
            return await _query(server, collection, tenant_id, filter_, [_ID, _TENANT, _VECTOR])

        try:
            rows = await self._link.call(_READ_S, work)
        except Absent:
            return {}
        found: dict[str, dict[int, Float32]] = {}
        for row in rows:
            if row[_TENANT] == tenant_id:
                scene, view = split_view_id(row[_ID])
                found.setdefault(scene, {})[view] = _unit(np.asarray(row[_VECTOR], np.float32))
        return found

    async def _delete(self, collection: str, tenant_id: str, filter_: str) -> None:
        with suppress(Absent):
            await self._link.call(
                _WRITE_S,
                lambda server: server.client.delete(
                    collection, filter=filter_, partition_name=_partition(server, tenant_id), **RETRY
                ),
            )


def _partition(server: Server, tenant_id: str) -> str:
    """Return where the rows of a tenant lie; empty where the partition key decides it."""
    return bucket(tenant_id) if server.lite else ""


def _partitions(server: Server, tenant_id: str) -> list[str] | None:
    return [bucket(tenant_id)] if server.lite else None


def _search_params(server: Server, limit: int) -> dict[str, Any]:
    if server.lite:
        return {"metric_type": "IP"}
    return {"metric_type": "COSINE", "params": {"ef": max(_MIN_EF, 2 * limit)}}


async def _query(
    server: Server, collection: str, tenant_id: str, filter_: str, fields: list[str]
) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = await server.client.query(
        collection,
        filter=filter_,
        output_fields=fields,
        partition_names=_partitions(server, tenant_id),
        consistency_level="Strong",
        **RETRY,
    )
    return rows


async def _missing_partitions(collection: str, server: Server) -> list[str]:
    if not server.lite:
        return []
    there = frozenset(await server.client.list_partitions(collection, **RETRY))
    return [name for name in map(bucket_name, range(TENANT_BUCKETS)) if name not in there]


async def _create_partition(collection: str, name: str, server: Server) -> None:
    await server.client.create_partition(collection, name, **RETRY)


async def _upsert(collection: str, tenant_id: str, entities: list[dict[str, Any]], server: Server) -> None:
    await server.client.upsert(collection, entities, partition_name=_partition(server, tenant_id), **RETRY)


async def _create(server: Server, collection: str, dim: int) -> None:
    """Create the collection: on Lite bare, on a cluster with its index, loaded."""
    client = server.client
    schema = _schema(client, dim, partitioned=not server.lite)
    if server.lite:
        await client.create_collection(collection, schema=schema, **RETRY)
        return
    index = client.prepare_index_params()
    index.add_index(_VECTOR, index_type="HNSW", metric_type="COSINE", params=_HNSW)
    await client.create_collection(collection, schema=schema, index_params=index, consistency_level="Bounded", **RETRY)


def _schema(client: AsyncMilvusClient, dim: int, *, partitioned: bool) -> CollectionSchema:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(_ID, DataType.VARCHAR, max_length=128, is_primary=True)
    schema.add_field(_TENANT, DataType.VARCHAR, max_length=64, is_partition_key=partitioned)
    schema.add_field(_VIDEO, DataType.VARCHAR, max_length=64)
    schema.add_field("revision", DataType.INT64)
    schema.add_field("start_ms", DataType.INT64)
    schema.add_field("end_ms", DataType.INT64)
    schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=dim)
    return schema


def _ids(row_ids: Iterable[str]) -> list[str]:
    """Return the ids of whatever vectors scenes may have."""
    return [view_id(row, view) for row in row_ids for view in range(MAX_VIEWS)]


def _entity(row: VectorRow) -> dict[str, Any]:
    return {
        _ID: view_id(row.row_id, row.view),
        _TENANT: row.tenant_id,
        _VIDEO: row.video_id,
        "revision": row.revision,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms,
        _VECTOR: _unit(row.vector),
    }


def _best_first(hits: Any) -> list[Scored]:
    """Return the vectors of one query's hits of the client."""
    found = zip(map(split_view_id, hits.ids), hits.distances, hits, strict=True)
    scored = [Scored(row, float(cosine), hit["entity"][_VIDEO], view) for (row, view), cosine, hit in found]
    return sorted(scored, key=lambda item: (-item.score, item.row_id, item.view))


def _scenes(views: Sequence[Scored]) -> list[Scored]:
    """Return each scene once, by its best vector; ``views`` are best first."""
    best: dict[str, Scored] = {}
    for view in views:
        best.setdefault(view.row_id, view)
    return list(best.values())


def _unit(vectors: Float32) -> Float32:
    """Return the vectors, float32 (dim,) or (n, dim), with length 1; nothing stays nothing."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Float32 = np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)
    return unit
