"""Batched vectors: rows of concurrent callers are read together, and none twice while it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from adapters.vectors.batched import BatchedVectors
from adapters.vectors.memory import MemoryVectors
from contracts.errors import DependencyUnavailable
from contracts.ports import Float32, VectorRow, Views


class Reads(MemoryVectors):
    """Says which rows were read in which call, once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, ...]] = []
        self.open = asyncio.Event()
        self.broken = False

    async def views(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, Views]:
        self.calls.append(tuple(row_ids))
        await self.open.wait()
        if self.broken:
            raise DependencyUnavailable("memory", "broken")
        return await super().views(collection, tenant_id, row_ids)


def unit(*weights: float) -> Float32:
    vector = np.asarray(weights, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


@pytest.fixture
async def inner() -> Reads:
    reads = Reads()
    await reads.ensure("c", 2)
    rows = [("a", unit(1, 0)), ("b", unit(0, 1)), ("c", unit(1, 1)), ("d", unit(-1, 0))]
    await reads.upsert("c", [VectorRow(row, "acme", "vid_1", row, 1, 0, 1000, vector) for row, vector in rows])
    return reads


async def cosines(index: BatchedVectors, *rows: str, tenant: str = "acme") -> dict[str, float]:
    near = await index.similarities("c", tenant, unit(1, 0) * 3, rows)
    return {row: found.cosine for row, found in near.items()}


async def everybody_waits() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_rows_of_those_who_come_during_a_call_are_read_together(inner: Reads) -> None:
    index = BatchedVectors(inner)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(cosines(index, "a"))
        await everybody_waits()
        others = [group.create_task(cosines(index, *rows)) for rows in (("b", "c"), ("c", "d"), ("no such", "b"))]
        theirs = group.create_task(cosines(index, "b", tenant="other"))
        await everybody_waits()
        inner.open.set()
    assert inner.calls == [("a",), ("b", "c", "d", "no such"), ("b",)]
    assert first.result() == {"a": pytest.approx(1.0)}
    half = pytest.approx(0.5**0.5)
    assert [other.result() for other in others] == [
        {"b": pytest.approx(0.0), "c": half}, {"c": half, "d": pytest.approx(-1.0)}, {"b": pytest.approx(0.0)},
    ]  # fmt: skip
    assert theirs.result() == {}, "rows of another tenant"


async def test_what_was_read_is_not_read_again_until_something_is_written(inner: Reads) -> None:
    index = BatchedVectors(inner)
    inner.open.set()
    once = await cosines(index, "a", "b")
    assert await cosines(index, "b", "a") == once
    assert await cosines(index, "b", "c") == {"b": pytest.approx(0.0), "c": pytest.approx(0.5**0.5)}
    assert inner.calls == [("a", "b"), ("c",)]
    await index.delete("c", "acme", ["a"])
    assert await cosines(index, "a", "b") == {"b": pytest.approx(0.0)}
    await index.delete_video("c", "acme", "vid_1")
    assert await cosines(index, "a", "b") == {}


async def test_a_failure_is_that_of_all_who_asked_together_and_of_nobody_else(inner: Reads) -> None:
    index = BatchedVectors(inner)
    inner.open.set()
    known = await cosines(index, "a")
    inner.broken = True
    for failed in await asyncio.gather(cosines(index, "b"), cosines(index, "c"), return_exceptions=True):
        assert isinstance(failed, DependencyUnavailable)
    assert await cosines(index, "a") == known
    inner.broken = False
    assert await cosines(index, "b") == {"b": pytest.approx(0.0)}
