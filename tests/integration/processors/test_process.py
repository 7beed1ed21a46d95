"""``python -m processors`` on real servers: an event in, facts out, and what a signal in mid-stage leaves behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer

from adapters.bus.kafka import KafkaProducer
from adapters.bus.topics import delete_topics, ensure_topics
from adapters.catalog.migrate import migrate
from adapters.models import profiles
from adapters.objects.buckets import ensure_buckets
from adapters.objects.s3 import S3Connection, S3Endpoint
from contracts import codec, facts, flow, ids, plan
from contracts.ports import Record
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, events_pb2, manifest_pb2
from tests.media.make import card, make_video
from tests.stack import Servers

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
TENANT = "acme"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PIPELINE = plan.pipeline(profiles.versions("fake"))


class Bench:
    """Topics and buckets of a test, a video in them, and processes that work on it."""

    def __init__(self, servers: Servers, folder: Path, stack: AsyncExitStack) -> None:
        name = f"proc{secrets.token_hex(4)}"
        self.folder = folder
        self._stack = stack
        self._kafka, self._prefix = servers.kafka, f"{name}-"
        self._s3 = S3Connection(
            S3Endpoint(
                servers.s3_endpoint, servers.s3_endpoint, "us-east-1", servers.s3_access_key, servers.s3_secret_key
            )
        )
        self._buckets = (name, f"{name}-leases")
        self.objects, self.lease_objects = map(self._s3.bucket, self._buckets)
        self.environment = {
            "HEIMDEX_KAFKA": self._kafka,
            "HEIMDEX_TOPIC_PREFIX": self._prefix,
            "HEIMDEX_S3_ENDPOINT": servers.s3_endpoint,
            "HEIMDEX_S3_PUBLIC_ENDPOINT": servers.s3_endpoint,
            "HEIMDEX_S3_ACCESS_KEY": servers.s3_access_key,
            "HEIMDEX_S3_SECRET_KEY": servers.s3_secret_key,
            "HEIMDEX_S3_BUCKET": self._buckets[0],
            "HEIMDEX_S3_LEASE_BUCKET": self._buckets[1],
            "HEIMDEX_CACHE_DIR": str(folder / "cache"),
            "HEIMDEX_WORK_DIR": str(folder / "work"),
            "HEIMDEX_PROFILE": "fake",
            "HEIMDEX_INSTANCE": "slot-0",
        }

    async def open(self) -> None:
        await asyncio.gather(
            ensure_topics(self._kafka, prefix=self._prefix, partitions=1), ensure_buckets(self._s3, *self._buckets)
        )
        self.producer = await self._stack.enter_async_context(KafkaProducer(self._kafka, prefix=self._prefix))

    async def close(self) -> None:
        await delete_topics(self._kafka, prefix=self._prefix)
        for bucket in self._buckets:
            await self._s3.bucket(bucket).purge("")
            await self._s3.call(lambda name=bucket: self._s3.client.delete_bucket(Bucket=name))  # type: ignore[misc]
        self._s3.close()

    async def upload(self, body: bytes) -> str:
        """Put a video and its plan, send VIDEO_UPLOADED, return its id."""
        video_id = ids.new_id("vid")
        stored = await self.objects.put(ids.source_key(TENANT, video_id), body)
        self.plan = plan.build_plan(
            PIPELINE,
            tenant_id=TENANT,
            video_id=video_id,
            revision=1,
            source=manifest_pb2.Source(
                key=stored.key, etag=stored.etag, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest()
            ),
            faces_enabled=False,
            generations=[plan.TargetGeneration(1)],
            create_time=facts.timestamp(1),
        )
        key = ids.plan_key(TENANT, video_id, 1)
        await self.objects.put(key, self.plan.SerializeToString(deterministic=True))
        context = context_pb2.EventContext(
            tenant_id=TENANT, video_id=video_id, revision=1, plan_key=key, root_traceparent=TRACE
        )
        await self.producer.send(facts.video_uploaded(context, self.plan.create_time))
        return video_id

    async def start(self, *module: str, ops_port: int = 0) -> asyncio.subprocess.Process:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HEIMDEX_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module, cwd=ROOT,
            env=clean | self.environment | {"HEIMDEX_OPS_PORT": str(ops_port or "")},
        )  # fmt: skip
        self._stack.push_async_callback(end, process, signal.SIGKILL)
        return process

    async def fact(self, message: type[events_pb2.VideoValidated | events_pb2.ScenesDetected]) -> Record:
        """Return the first record of a topic."""
        topic = flow.topic_name(message)
        consumer = AIOKafkaConsumer(
            f"{self._prefix}{topic}", bootstrap_servers=self._kafka, auto_offset_reset="earliest", group_id=None
        )
        async with asyncio.timeout(90), consumer:
            raw = await consumer.getone()
        return Record(topic, (raw.key or b"").decode(), raw.value, tuple(raw.headers))

    async def lease(self, video_id: str) -> manifest_pb2.Lease:
        spec = plan.planned_specs(self.plan)["validate"][0]
        body, _ = await self.lease_objects.get(ids.lease_key(TENANT, video_id, "validate", spec))
        return manifest_pb2.Lease.FromString(body)

    def children(self) -> Sequence[int]:
        """Return the pids of all children that began the slow work."""
        file = self.folder / "pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []


async def end(process: asyncio.subprocess.Process, how: signal.Signals) -> int:
    if process.returncode is None:
        process.send_signal(how)
    async with asyncio.timeout(30):
        return await process.wait()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not true():  # noqa: ASYNC110 - other processes make it true
            await asyncio.sleep(0.05)


def status(port: int, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return 0, ""


async def page(port: int, name: str) -> tuple[int, str]:
    return await asyncio.to_thread(status, port, name)


async def until_page(port: int, name: str) -> None:
    async with asyncio.timeout(90):
        while (await page(port, name))[0] != 200:  # noqa: ASYNC110 - it says so only when asked
            await asyncio.sleep(0.1)


@pytest.fixture
async def bench(servers: Servers, tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        made = Bench(servers, tmp_path, stack)
        await made.open()
        stack.push_async_callback(made.close)
        yield made


async def test_an_event_goes_through_two_stages_of_one_process(
    bench: Bench, tmp_path: Path, unused_tcp_port: int
) -> None:
    film = make_video(tmp_path / "film.mp4", [(card(1), 2.0), (card(2), 2.0)])
    video_id = await bench.upload(film.read_bytes())
    process = await bench.start("processors", "validate", "scenes", ops_port=unused_tcp_port)
    validated = codec.decode(await bench.fact(events_pb2.VideoValidated))
    detected = codec.decode(await bench.fact(events_pb2.ScenesDetected))
    assert isinstance(validated, events_pb2.VideoValidated)
    assert isinstance(detected, events_pb2.ScenesDetected)
    assert validated.context.video_id == detected.context.video_id == video_id
    assert validated.ending.outcome == detected.ending.outcome == common_pb2.OUTCOME_OK
    assert detected.ending.counts["scenes"] == 2
    await until_page(unused_tcp_port, "ready")
    assert (await page(unused_tcp_port, "live"))[0] == 200
    _, metrics = await page(unused_tcp_port, "metrics")
    for line in (
        "heimdex_validate_events_total 1.0",
        'heimdex_validate_endings_total{outcome="OK"} 1.0',
        'heimdex_scenes_endings_total{outcome="OK"} 1.0',
        "heimdex_scenes_run_seconds_count 1.0",
        "heimdex_scenes_dead_letters_total 0.0",
    ):
        assert line in metrics.splitlines()
    assert await end(process, signal.SIGTERM) == 0


async def test_sigterm_in_mid_stage_kills_the_child_and_hands_the_lease_over(bench: Bench) -> None:
    video_id = await bench.upload(b"anything")
    first = await bench.start("tests.integration.processors.slow", str(bench.folder))
    await until(lambda: bool(bench.children()))
    assert (await bench.lease(video_id)).attempts == 1
    assert await end(first, signal.SIGTERM) == 0
    [child] = bench.children()
    assert not psutil.pid_exists(child)
    lease = await bench.lease(video_id)
    assert (lease.released, lease.attempts) == (True, 0)
    (bench.folder / "go").touch()
    second = await bench.start("tests.integration.processors.slow", str(bench.folder))
    event = codec.decode(await bench.fact(events_pb2.VideoValidated))
    assert isinstance(event, events_pb2.VideoValidated)
    assert (event.ending.outcome, event.ending.attempts) == (common_pb2.OUTCOME_OK, 1)
    assert len(bench.children()) == 2
    assert await end(second, signal.SIGTERM) == 0


async def test_kill_9_in_mid_stage_takes_the_child_along_and_the_next_boot_does_the_work(bench: Bench) -> None:
    video_id = await bench.upload(b"anything")
    first = await bench.start("tests.integration.processors.slow", str(bench.folder))
    await until(lambda: bool(bench.children()))
    assert await end(first, signal.SIGKILL) == -signal.SIGKILL
    [child] = bench.children()
    await until(lambda: not psutil.pid_exists(child))
    [left] = (bench.folder / "work" / "slot-0" / "validate").iterdir()
    lease = await bench.lease(video_id)
    assert (lease.released, lease.attempts) == (False, 1)
    (bench.folder / "go").touch()
    second = await bench.start("tests.integration.processors.slow", str(bench.folder))
    event = codec.decode(await bench.fact(events_pb2.VideoValidated))
    assert isinstance(event, events_pb2.VideoValidated)
    assert event.ending.outcome == common_pb2.OUTCOME_OK
    assert not left.exists()  # it may hold a video that is erased since
    assert (await bench.lease(video_id)).released
    assert await end(second, signal.SIGTERM) == 0


async def test_commit_waits_for_its_catalogue_and_ends_on_sigterm(
    bench: Bench, servers: Servers, tmp_path: Path, unused_tcp_port: int
) -> None:
    catalog = f"sqlite+aiosqlite:///{tmp_path / 'catalog.db'}"
    bench.environment |= {
        "HEIMDEX_CATALOG": catalog,
        "HEIMDEX_OPENSEARCH": servers.opensearch,
        "HEIMDEX_MILVUS_TEXT": servers.milvus_text,
        "HEIMDEX_MILVUS_VISION": servers.milvus_vision,
    }
    process = await bench.start("indexer.commit", ops_port=unused_tcp_port)
    await until_page(unused_tcp_port, "live")
    assert (await page(unused_tcp_port, "ready"))[0] == 503
    await migrate(catalog)
    await until_page(unused_tcp_port, "ready")
    assert await end(process, signal.SIGTERM) == 0
