"""Milvus vectors: ``contracts.ports.VectorIndex`` on Milvus Lite's server and on a Milvus cluster.

**Lite** has no index: it then reads every row in scope, exactly. Its HNSW is no quicker (Python loops over the scope
cost more than distances), loses hits to filters (of a tenth of the rows 0.81 of the nearest were found, of one video
among 200 only 0.40), and is not searchable after a restart until somebody loads it. What narrows the scope are
partitions: a tenant is one of 16 hash buckets, and always the filter too.

**A cluster** has HNSW and the tenant as partition key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from adapters.vectors._link import RETRY, Absent, Link
from adapters.vectors._scope import TENANT_BUCKETS, bucket, bucket_name, within
from contracts.errors import DependencyUnavailable, PreconditionFailed
from contracts.ports import Float32, Scored, VectorRow

if TYPE_CHECKING:
    from pymilvus import AsyncMilvusClient, CollectionSchema

_READ_S = 5.0
_WRITE_S = 60.0
_MAX_IDS = 500  # of one delete

_ID, _VECTOR, _METRIC = "row_id", "vector", "COSINE"

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
        lite = await self._link.is_lite(_WRITE_S)
        existing = await self._dim(collection)
        if existing is None:
            try:
                await self._link.call(_WRITE_S, lambda client: _create(client, collection, dim, lite=lite))
            except DependencyUnavailable:  # or somebody else was quicker
                existing = await self._dim(collection)
                if existing is None:
                    raise
        if existing not in {None, dim}:
            raise PreconditionFailed(f"collection {collection} has {existing} dimensions, not {dim}")
        if lite:
            await self._ensure_buckets(collection)

    async def upsert(self, collection: str, rows: Sequence[VectorRow]) -> None:
        """Write rows, one call a bucket."""
        lite = await self._link.is_lite(_WRITE_S)
        by_bucket: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_bucket.setdefault(bucket(row.tenant_id) if lite else "", []).append(_entity(row))
        for partition, entities in by_bucket.items():
            await self._upsert(collection, partition, entities)

    async def flush(self, collection: str) -> None:
        """Make all that was written searchable and quick.

        Lite: rows that are not flushed cost 30 ms a search per 1,000. A cluster searches growing segments and rations
        flushes, so there it is one read that waits until everything written before is visible.
        """
        lite = await self._link.is_lite(_WRITE_S)

        async def work(client: AsyncMilvusClient) -> None:
            if lite:
                await client.flush(collection, **RETRY)
            else:
                await client.query(collection, output_fields=[_ID], limit=1, consistency_level="Strong", **RETRY)

        try:
            await self._link.call(_WRITE_S, work)
        except Absent:
            return

    async def search(
        self, collection: str, tenant_id: str, vectors: Float32, *, limit: int, video_ids: Sequence[str] = ()
    ) -> Sequence[Sequence[Scored]]:
        """Return the nearest rows of each query; all queries share one reading of the scope."""
        lite = await self._link.is_lite(_READ_S)
        try:
            found = await self._link.call(
                _READ_S,
                lambda client: client.search(
                    collection,
                    data=list(vectors),
                    filter=within(tenant_id, video_ids=video_ids),
                    limit=limit,
                    output_fields=[_ID],  # Lite sends everything when none are named
                    anns_field=_VECTOR,
                    search_params={"metric_type": _METRIC, "params": {"ef": max(_MIN_EF, 2 * limit)}},
                    partition_names=[bucket(tenant_id)] if lite else None,
                    **RETRY,
                ),
            )
        except Absent:
            return [[] for _ in vectors]
        return [_best_first(hits.ids, hits.distances) for hits in found]

    async def similarities(
        self, collection: str, tenant_id: str, vector: Float32, row_ids: Sequence[str]
    ) -> Mapping[str, float]:
        """Return the cosine to each known row, computed here: a search among given rows may miss some."""
        if not row_ids:
            return {}
        rows = await self._query(_READ_S, collection, tenant_id, [_ID, _VECTOR], row_ids=row_ids)
        if not rows:
            return {}
        matrix = np.asarray([row[_VECTOR] for row in rows], np.float32)
        cosines = matrix @ vector / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector))
        return {row[_ID]: float(cosine) for row, cosine in zip(rows, cosines, strict=True)}

    async def delete(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> None:
        """Remove rows of the tenant."""
        for start in range(0, len(row_ids), _MAX_IDS):
            await self._delete(collection, tenant_id, within(tenant_id, row_ids=row_ids[start : start + _MAX_IDS]))

    async def delete_video(self, collection: str, tenant_id: str, video_id: str) -> None:
        """Remove every row of a video."""
        await self._delete(collection, tenant_id, within(tenant_id, video_ids=[video_id]))

    async def count(self, collection: str, tenant_id: str, video_id: str | None = None) -> int:
        """Return how many rows there are; everything written before is counted."""
        videos = () if video_id is None else (video_id,)
        rows = await self._query(_WRITE_S, collection, tenant_id, ["count(*)"], video_ids=videos)
        return int(rows[0]["count(*)"]) if rows else 0

    # ---------------------------------------------------------------------------------------------- calls

    async def _dim(self, collection: str) -> int | None:
        try:
            described = await self._link.call(_READ_S, lambda client: client.describe_collection(collection, **RETRY))
        except Absent:
            return None
        return next(int(field["params"]["dim"]) for field in described["fields"] if field["name"] == _VECTOR)

    async def _ensure_buckets(self, collection: str) -> None:
        async def work(client: AsyncMilvusClient) -> frozenset[str]:
            there = frozenset(await client.list_partitions(collection, **RETRY))
            missing = wanted - there
            for name in sorted(missing):
                await client.create_partition(collection, name, **RETRY)
            return missing

        wanted = frozenset(bucket_name(number) for number in range(TENANT_BUCKETS))
        try:
            await self._link.call(_WRITE_S, work)
        except DependencyUnavailable:  # or somebody else made the same one: then all but the others are there now
            await self._link.call(_WRITE_S, work)

    async def _upsert(self, collection: str, partition: str, entities: list[dict[str, Any]]) -> None:
        try:
            await self._link.call(
                _WRITE_S, lambda client: client.upsert(collection, entities, partition_name=partition, **RETRY)
            )
        except Absent as error:
            raise DependencyUnavailable("milvus", f"collection {collection} is not there") from error

    async def _query(
        self, limit_s: float, collection: str, tenant_id: str, fields: list[str], **of: Sequence[str]
    ) -> Sequence[Mapping[str, Any]]:
        lite = await self._link.is_lite(limit_s)
        try:
            return await self._link.call(
                limit_s,
                lambda client: client.query(
                    collection,
                    filter=within(tenant_id, **of),
                    output_fields=fields,
                    partition_names=[bucket(tenant_id)] if lite else None,
                    consistency_level="Strong",
                    **RETRY,
                ),
            )
        except Absent:
            return ()

    async def _delete(self, collection: str, tenant_id: str, filter_: str) -> None:
        lite = await self._link.is_lite(_WRITE_S)
        partition = bucket(tenant_id) if lite else ""
        try:
            await self._link.call(
                _WRITE_S,
                lambda client: client.delete(collection, filter=filter_, partition_name=partition, **RETRY),
            )
        except Absent:
            return


async def _create(client: AsyncMilvusClient, collection: str, dim: int, *, lite: bool) -> None:
    """Create the collection: on Lite bare, on a cluster with its index, loaded."""
    schema = _schema(client, dim, partitioned=not lite)
    if lite:
        await client.create_collection(collection, schema=schema, **RETRY)
        return
    index = client.prepare_index_params()
    index.add_index(_VECTOR, index_type="HNSW", metric_type=_METRIC, params=_HNSW)
    await client.create_collection(collection, schema=schema, index_params=index, consistency_level="Bounded", **RETRY)


def _schema(client: AsyncMilvusClient, dim: int, *, partitioned: bool) -> CollectionSchema:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(_ID, DataType.VARCHAR, max_length=128, is_primary=True)
    schema.add_field("tenant_id", DataType.VARCHAR, max_length=64, is_partition_key=partitioned)
    schema.add_field("video_id", DataType.VARCHAR, max_length=64)
    schema.add_field("revision", DataType.INT64)
    schema.add_field("start_ms", DataType.INT64)
    schema.add_field("end_ms", DataType.INT64)
    schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=dim)
    return schema


def _entity(row: VectorRow) -> dict[str, Any]:
    return {
        _ID: row.row_id,
        "tenant_id": row.tenant_id,
        "video_id": row.video_id,
        "revision": row.revision,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms,
        _VECTOR: row.vector,
    }


def _best_first(row_ids: Sequence[str], cosines: Sequence[float]) -> list[Scored]:
    scored = [Scored(row, float(cosine)) for row, cosine in zip(row_ids, cosines, strict=True)]
    return sorted(scored, key=lambda item: (-item.score, item.row_id))
