"""The gateway as a process, alone in the world: it comes up, answers what it can, names what is away, ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adapters.catalog.migrate import migrate
from heimdex.client import AsyncClient, FailedPrecondition, NotFound, Unavailable, errors
from heimdex.people.v1 import people_service_pb2 as people_pb2
from heimdex.people.v1.people_service_pb2_grpc import PeopleServiceStub
from heimdex.search.v1 import search_service_pb2 as search_pb2
from tests.component.gateway.door import AUDIENCE, ISSUER, PAGE_KEY, Signer
from tests.component.gateway.services import services

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Alone:
    """A gateway process whose stores are all away."""

    process: asyncio.subprocess.Process
    port: int
    signer: Signer

    def client(self) -> AsyncClient:
        return AsyncClient(f"127.0.0.1:{self.port}", self.signer.token(), insecure=True)


@asynccontextmanager
async def gateway(folder: Path, **settings: str) -> AsyncIterator[Alone]:
    """Run a gateway; ``settings``, without their prefix, stand in for those of a stack that is away. A catalogue that
    they name is there already.
    """
    signer = Signer(folder / "jwks.json")
    signer.write()
    catalog = f"sqlite+aiosqlite:///{folder / 'catalog.db'}"
    if "CATALOG" not in settings:
        await migrate(catalog)
    with socket.socket() as nobody, socket.socket() as port:  # bound and not listening: whoever calls is refused
        nobody.bind(("127.0.0.1", 0))
        port.bind(("127.0.0.1", 0))
        away, own = f"127.0.0.1:{nobody.getsockname()[1]}", port.getsockname()[1]
        port.close()
        values = {
            "PROFILE": "fake", "GATEWAY_LISTEN": f"127.0.0.1:{own}", "CATALOG": catalog, "INFERENCE": away,
            "JWKS_FILE": str(signer.file), "TOKEN_ISSUER": ISSUER, "TOKEN_AUDIENCE": AUDIENCE,
            "PAGE_TOKEN_KEY": PAGE_KEY.hex(), "OPENSEARCH": f"http://{away}", "MILVUS_TEXT": f"http://{away}",
            "MILVUS_VISION": f"http://{away}", "S3_ENDPOINT": f"http://{away}", "S3_PUBLIC_ENDPOINT": f"http://{away}",
            "S3_ACCESS_KEY": "key", "S3_SECRET_KEY": "secret",
        } | settings  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEIMDEX_")}
        environment |= {f"HEIMDEX_{name}": value for name, value in values.items()}
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", cwd=ROOT, env=environment)
        try:
            yield Alone(process, own, signer)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def serving(port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(120):
        health: Any = health_pb2_grpc.HealthStub(channel)
        async for answer in health.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        for name in services():
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, name


async def test_it_answers_what_it_can_while_every_store_is_away(tmp_path: Path) -> None:
    async with gateway(tmp_path) as alone:
        await serving(alone.port)
        async with alone.client() as client:
            assert [video async for video in client.list_videos()] == []
            with pytest.raises(NotFound):
                await client.get_scene("scn_00000000000000000000000000")
            with pytest.raises(Unavailable) as failed:
                [frame async for frame in client.search("고양이")]
            assert failed.value.reason == "DEPENDENCY_UNAVAILABLE"
            (answer,) = [frame async for frame in client.search("", person_ids=["per_00000000000000000000000000"])]
            assert answer.summary.match_quality == search_pb2.MATCH_QUALITY_NONE, "people need SQL alone"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{alone.port}") as channel:
            stub: Any = PeopleServiceStub(channel)
            metadata = (("authorization", f"Bearer {alone.signer.token()}"),)
            request = people_pb2.EnrolPersonRequest(
                display_name="민지", upload_ids=["upl_00000000000000000000000000"], request_id="r"
            )
            with pytest.raises(grpc.aio.AioRpcError) as off:
                await stub.EnrolPerson(request, metadata=metadata)
            assert isinstance(errors.from_rpc(off.value), FailedPrecondition)
        alone.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await alone.process.wait() == 0
