"""The control process on real servers: facts leave by Kafka, an erased video leaves every store, a stop is clean."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.bus.topics import delete_topics
from adapters.catalog.migrate import migrate
from adapters.catalog.sql import SqlCatalog
from adapters.clock import SystemClock
from adapters.objects.buckets import ensure_buckets
from adapters.objects.s3 import S3Connection, S3Endpoint
from adapters.text.opensearch import OpenSearchText
from adapters.vectors.milvus import MilvusVectors
from contracts import codec, facts, ids
from contracts.catalog import VideoState
from contracts.ports import Record
from indexer.commit.handler import CommitHandler
from indexer.schema.schema import generation
from tests.component.world import TENANT, VirtualClock, World, sidecar
from tests.milvus import milvus
from tests.stack import Servers

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
CUTS_MS = (0, 1000, 2500, 4000)


@dataclass
class Place:
    """A deployment of a test's own on the shared servers, and its control process."""

    w: World
    environment: Mapping[str, str]
    servers: Servers
    prefix: str
    process: asyncio.subprocess.Process | None = None

    async def run(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "control", *arguments, cwd=ROOT, env={**os.environ, **self.environment}
        )

    async def start(self) -> None:
        """Make the topics, start every part, wait until it is ready."""
        assert await (await self.run("topics")).wait() == 0
        self.process = await self.run()
        await eventually(self.is_ready, "control is ready")

    async def stop(self) -> int:
        """End the process; return its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            return await self.process.wait()

    async def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, "control has ended"
        return await self.page("/ready")

    async def page(self, path: str) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(self.environment["HEIMDEX_OPS_PORT"]))
        except OSError:
            return False
        writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.startswith(b"HTTP/1.1 200")

    async def records(self, topic: str) -> list[Record]:
        """Return what is on a topic, each partition in order."""
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            f"{self.prefix}{topic}", bootstrap_servers=self.servers.kafka, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[Record] = []
        try:
            for partition, end in (await consumer.end_offsets(consumer.assignment())).items():
                while await consumer.position(partition) < end:
                    raws = (await consumer.getmany(partition, timeout_ms=500)).get(partition, ())
                    found += [Record(topic, raw.key.decode(), raw.value, tuple(raw.headers)) for raw in raws]
        finally:
            await consumer.stop()
        return found


async def eventually(true: Callable[[], Awaitable[object]], what: str) -> None:
    try:
        async with asyncio.timeout(60):
            while not await true():  # noqa: ASYNC110 - the condition is anybody's
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not in 60 s: {what}") from None


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


@pytest.fixture
async def place(servers: Servers, tmp_path: Path) -> AsyncIterator[Place]:
    mark = secrets.token_hex(3)
    buckets = (f"control-{mark}", f"control-{mark}-leases")
    url = f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}"
    own = generation(
        1000 + secrets.randbelow(9000),
        "ACTIVE",
        text_model=f"text.{mark}",
        vision_model=f"vision.{mark}",
        ranking="small-v1",
    )
    environment = {
        "HEIMDEX_KAFKA": servers.kafka,
        "HEIMDEX_TOPIC_PREFIX": f"{mark}-",
        "HEIMDEX_TOPIC_PARTITIONS": "2",
        "HEIMDEX_S3_ENDPOINT": servers.s3_endpoint,
        "HEIMDEX_S3_PUBLIC_ENDPOINT": servers.s3_endpoint,
        "HEIMDEX_S3_ACCESS_KEY": servers.s3_access_key,
        "HEIMDEX_S3_SECRET_KEY": servers.s3_secret_key,
        "HEIMDEX_S3_BUCKET": buckets[0],
        "HEIMDEX_S3_LEASE_BUCKET": buckets[1],
        "HEIMDEX_OPENSEARCH": servers.opensearch,
        "HEIMDEX_MILVUS_TEXT": servers.milvus_text,
        "HEIMDEX_MILVUS_VISION": servers.milvus_vision,
        "HEIMDEX_CATALOG": url,
        "HEIMDEX_CACHE_DIR": str(tmp_path / "cache"),
        "HEIMDEX_PROFILE": "fake",
        "HEIMDEX_OPS_PORT": str(free_port()),
        "HEIMDEX_INSTANCE": f"control-{mark}",
        "HEIMDEX_ERASURE_WAIT_S": "0.5",
    }
    await migrate(url)
    connection = S3Connection(
        S3Endpoint(servers.s3_endpoint, servers.s3_endpoint, "us-east-1", servers.s3_access_key, servers.s3_secret_key)
    )
    async with AsyncExitStack() as resources:
        resources.callback(connection.close)
        await ensure_buckets(connection, *buckets)
        enter = resources.enter_async_context
        w = World(await enter(SqlCatalog(url)), cast("VirtualClock", SystemClock()))
        w.objects, w.leases = (cast("Any", connection.bucket(bucket)) for bucket in buckets)
        w.text_vectors = cast("Any", await enter(MilvusVectors(servers.milvus_text)))
        w.vision_vectors = cast("Any", await enter(MilvusVectors(servers.milvus_vision)))
        w.text = cast("Any", await enter(OpenSearchText(servers.opensearch)))
        w.generations.append(await w.catalog.ensure_generation(own))
        it = Place(w, environment, servers, f"{mark}-")
        try:
            yield it
        finally:
            if it.process is not None and it.process.returncode is None:
                it.process.kill()
                await it.process.wait()
            await delete_topics(servers.kafka, prefix=it.prefix)
            for bucket in buckets:
                await connection.bucket(bucket).purge("")
                await connection.call(partial(connection.client.delete_bucket, Bucket=bucket))
            await _drop(w, servers)


async def _drop(w: World, servers: Servers) -> None:
    """Remove the collections and the index of the test's own generation."""
    from opensearchpy import AsyncOpenSearch

    [own] = w.generations
    for uri, name in ((servers.milvus_text, own.text_collection), (servers.milvus_vision, own.vision_collection)):
        with milvus(uri) as client:
            client.drop_collection(name)
    async with AsyncOpenSearch(servers.opensearch) as text:
        await text.indices.delete(index=own.text_index, ignore_unavailable=True)


async def left(w: World, video_id: str) -> dict[str, int]:
    """Return store -> how much it has of a video, where it has something; old versions count."""
    [own] = w.generations
    counts = {
        "text vectors": await w.text_vectors.count(own.text_collection, TENANT, video_id),
        "vision vectors": await w.vision_vectors.count(own.vision_collection, TENANT, video_id),
        "text": await w.text.count(own.text_index, TENANT, video_id),
    }
    for bucket, what in ((w.objects, "objects"), (w.leases, "leases")):
        s3: Any = bucket
        page = s3._s3.list_object_versions(Bucket=s3._bucket, Prefix=ids.video_prefix(TENANT, video_id))
        counts[what] = len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))
    return {what: count for what, count in counts.items() if count}


async def test_a_video_is_indexed_told_and_erased_from_every_store(place: Place) -> None:
    await place.start()
    w = place.w
    [own] = w.generations
    v = await w.ingest()
    made = sidecar(v.video_id, CUTS_MS, said={0: "안녕하세요"}, models=(own.text_model, own.vision_model))
    await w.end(v, "sidecar", made)
    for version in (b"one version", b"another"):
        await w.objects.put(f"{ids.video_prefix(TENANT, v.video_id)}two-versions", version)
    await w.leases.put(ids.lease_key(TENANT, v.video_id, "asr", "s"), b"lease")
    commit = CommitHandler(
        w.catalog, w.objects, w.text_vectors, w.vision_vectors, w.text, producer=w.bus, clock=w.clock
    )
    await commit.run(await w.delivery(v, "commit"))

    async def state() -> VideoState:
        return (await w.catalog.get_video(TENANT, v.video_id)).state

    async def is_indexed() -> bool:
        return await state() is VideoState.INDEXED

    async def is_deleted() -> bool:
        return await state() is VideoState.DELETED

    async def all_is_sent() -> bool:
        return not await w.catalog.pending()

    await eventually(is_indexed, "the tracker heard from the relay that the video is indexed")
    scene_ids = set(await w.catalog.video_scene_ids(TENANT, v.video_id))
    assert set(await left(w, v.video_id)) == {"text vectors", "vision vectors", "text", "objects", "leases"}
    told = {record.key: record for record in await place.records(facts.SCENE_TOPIC)}
    assert set(told) == scene_ids
    assert codec.headers(told[min(scene_ids)])["ce_tenantid"] == TENANT

    await w.request_deletion(v)
    await eventually(is_deleted, "the eraser is done, without waiting as long as in earnest")
    assert await left(w, v.video_id) == {}
    assert await w.objects.head(ids.gate_key(v.video_id)) is not None
    await eventually(all_is_sent, "the tombstones have left")
    assert {record.key: record.value for record in await place.records(facts.SCENE_TOPIC)} == dict.fromkeys(scene_ids)
    assert [record.key for record in await place.records("heimdex-video-erased-v1")] == [v.video_id]
    assert await place.page("/live")
    assert await place.stop() == 0


async def test_what_was_written_just_before_a_stop_leaves_before_it_ends(place: Place) -> None:
    await place.start()

    async def first_is_sent() -> bool:
        return not await place.w.catalog.pending()

    await place.w.catalog.emit([facts.deletion_requested(TENANT, "vid_unknown", 1)])
    await eventually(first_is_sent, "the relay leads")
    rows = [facts.scene_tombstone(TENANT, f"scn_{n}") for n in range(300)]
    await place.w.catalog.emit(rows)
    assert await place.stop() == 0
    assert await place.w.catalog.pending() == []
    assert len(await place.records(facts.SCENE_TOPIC)) == len(rows)
