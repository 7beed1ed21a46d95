"""A catalogue that is locked or gone, under a gateway of its own: searches are refused in time, and then served again.

They are of people, which need SQL alone: the other stores are away all the time.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adapters.catalog.migrate import migrate
from heimdex.client import AsyncClient, Unavailable
from heimdex.search.v1 import search_service_pb2 as pb
from tests.component.gateway.test_process import Alone, gateway, serving
from tests.postgres import postgres

pytestmark = pytest.mark.integration

DEADLINE_S = 3.0
PERSON = "per_" + "0" * 26


async def search(client: AsyncClient) -> pb.SearchScenesResponse:
    """Return DONE of a search that only SQL answers."""
    frames = [frame async for frame in client.search("", person_ids=[PERSON], timeout_s=DEADLINE_S)]
    return frames[-1]


async def refused(client: AsyncClient) -> Unavailable:
    """Return how the gateway refuses a search, in time: else the client's own deadline had ended it otherwise."""
    with pytest.raises(Unavailable) as caught:
        await search(client)
    assert caught.value.retry_after_s is not None
    return caught.value


async def answered(client: AsyncClient) -> None:
    """Wait until searches are answered."""
    async with asyncio.timeout(60):
        while True:
            try:
                assert (await search(client)).summary.match_quality == pb.MATCH_QUALITY_NONE
            except Unavailable:
                continue
            return


async def said(alone: Alone, status: int) -> None:
    """Wait until the gateway says how it is."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{alone.port}") as channel, asyncio.timeout(60):
        health: Any = health_pb2_grpc.HealthStub(channel)
        async for answer in health.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
            if answer.status == status:
                return


@contextmanager
def held(file: Path, *, whole: bool) -> Iterator[None]:
    """Hold the write lock of a SQLite catalogue; with ``whole`` nobody else opens it, not even to read."""
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        if whole:
            holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        yield


async def test_searches_read_while_somebody_writes(tmp_path: Path) -> None:
    async with gateway(tmp_path) as alone, alone.client() as client:
        await serving(alone.port)
        with held(tmp_path / "catalog.db", whole=False):
            for _ in range(3):
                assert (await search(client)).kind == pb.FRAME_KIND_DONE


async def test_a_file_that_somebody_holds_is_a_catalogue_that_is_away(tmp_path: Path) -> None:
    catalog = f"sqlite+aiosqlite:///{tmp_path / 'held.db'}"
    await migrate(catalog)
    with ExitStack() as holding:
        holding.enter_context(held(tmp_path / "held.db", whole=True))
        async with gateway(tmp_path, CATALOG=catalog) as alone, alone.client() as client:
            await said(alone, health_pb2.HealthCheckResponse.NOT_SERVING)
            error = await refused(client)
            assert (error.reason, error.metadata) == ("DEADLINE_EXCEEDED", {"dependency": "catalog"})
            holding.close()
            await said(alone, health_pb2.HealthCheckResponse.SERVING)
            await answered(client)


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Hold every table of a PostgreSQL catalogue, so that no read ends."""
    import asyncpg

    holder = await asyncpg.connect(url)
    try:
        tables = [row[0] for row in await holder.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        while True:
            transaction = holder.transaction()
            await transaction.start()
            try:
                await holder.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
                break
            except asyncpg.DeadlockDetectedError:  # somebody was reading the same tables in another order
                await transaction.rollback()
        yield
        await transaction.rollback()
    finally:
        await holder.close()


async def test_postgresql_that_stands_still_or_is_gone(tmp_path: Path) -> None:
    with ExitStack() as server:
        catalog = f"{server.enter_context(postgres())}postgres"
        await migrate(catalog)
        async with gateway(tmp_path, CATALOG=catalog) as alone, alone.client() as client:
            await serving(alone.port)
            await answered(client)
            async with locked(catalog):
                await said(alone, health_pb2.HealthCheckResponse.NOT_SERVING)
                error = await refused(client)
                assert (error.reason, error.metadata) == ("DEADLINE_EXCEEDED", {"dependency": "catalog"})
            await said(alone, health_pb2.HealthCheckResponse.SERVING)
            await answered(client)
            server.close()
            await said(alone, health_pb2.HealthCheckResponse.NOT_SERVING)
            error = await refused(client)
            assert (error.reason, error.metadata) == ("DEPENDENCY_UNAVAILABLE", {"dependency": "catalog"})
