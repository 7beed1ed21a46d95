"""Milvus Lite as its own server: what survives a kill, who may make a collection, and what batches share."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.vectors.batched import BatchedVectors
from adapters.vectors.milvus import MilvusVectors
from contracts.errors import DependencyUnavailable
from contracts.ports import Float32, VectorRow
from tests.milvus import milvus
from tests.stack import Servers

pytestmark = pytest.mark.integration

DIM = 8


class Lite:
    """A Milvus Lite of the test's own, which it may kill."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.start()

    def start(self) -> None:
        arguments = ["server", "--data-dir", str(self._folder), "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "milvus_lite.cmdline", *arguments], stdout=subprocess.DEVNULL
        )

    def stop(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(60)


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Lite]:
    one = Lite(tmp_path / "milvus")
    yield one
    one.stop(signal.SIGINT)


def rows(count: int) -> list[VectorRow]:
    vectors = np.random.default_rng(1).standard_normal((count, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        VectorRow(f"scene{n}:1", "acme", f"vid_{n % 10}", f"scene{n}", 1, 0, 1000, vector)
        for n, vector in enumerate(vectors)
    ]


async def up(index: MilvusVectors) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                await index.count("any", "acme")
            except DependencyUnavailable:
                await asyncio.sleep(0.2)
            else:
                return


async def best(index: MilvusVectors | BatchedVectors, name: str, vector: Float32) -> str:
    (hits,) = await index.search(name, "acme", vector[None, :], limit=1)
    return hits[0].row_id


async def test_rows_survive_a_kill_and_the_connection_comes_back(lite: Lite) -> None:
    written = rows(300)
    async with MilvusVectors(f"http://127.0.0.1:{lite.port}") as index:
        await up(index)
        await index.ensure("space", DIM)
        await index.upsert("space", written[:200])
        await index.flush("space")
        await index.upsert("space", written[200:])  # not flushed
        await index.delete("space", "acme", [written[0].row_id])
        assert await best(index, "space", written[250].vector) == "scene250:1"

        lite.stop(signal.SIGKILL)
        with pytest.raises(DependencyUnavailable):
            await best(index, "space", written[250].vector)
        lite.start()

        await up(index)
        assert await index.count("space", "acme") == 299
        assert await best(index, "space", written[250].vector) == "scene250:1"
        assert await best(index, "space", written[100].vector) == "scene100:1"
        await index.ensure("space", DIM)
        await index.upsert("space", written[:1])
        assert await best(index, "space", written[0].vector) == "scene0:1"


async def test_two_processes_may_make_a_collection_at_once(servers: Servers) -> None:
    name = f"test_milvus_{secrets.token_hex(4)}"
    async with MilvusVectors(servers.milvus_text) as one, MilvusVectors(servers.milvus_text) as other:
        await asyncio.gather(one.ensure(name, DIM), other.ensure(name, DIM), other.ensure(name, DIM))
        await other.upsert(name, [replace(row, tenant_id=f"tenant-{n}") for n, row in enumerate(rows(20))])
        assert await one.count(name, "tenant-7") == 1
    with milvus(servers.milvus_text) as client:
        client.drop_collection(name)


async def test_batches_share_calls_and_keep_answers_apart(servers: Servers) -> None:
    name, written = f"test_milvus_{secrets.token_hex(4)}", rows(100)
    async with MilvusVectors(servers.milvus_vision) as server:
        index = BatchedVectors(server)
        await index.ensure(name, DIM)
        await index.upsert(name, written)
        await index.flush(name)
        found = await asyncio.gather(*(best(index, name, row.vector) for row in written))
        assert found == [row.row_id for row in written]
    with milvus(servers.milvus_vision) as client:
        client.drop_collection(name)
