"""Stores that stand still or fall over during a search: what is missing is named, the rest is answered, in time."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.demo.film import Shot, make
from heimdex.client import Client, Unavailable
from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.video.v1 import video_pb2
from tests.e2e.conftest import SPEECH
from tests.stack import Stack, eventually, ingest, search

pytestmark = pytest.mark.chaos

QUERY = "고양이"
WORDS = {pb.CHANNEL_LEXICAL, pb.CHANNEL_TAGS}
VECTORS = {pb.CHANNEL_DENSE, pb.CHANNEL_VISION}
TEXT, MILVUS = ("opensearch",), ("milvus-text", "milvus-vision")
DEADLINE_S = 10.0
_LATE_OR_AWAY = {pb.DEGRADED_CAUSE_LATE, pb.DEGRADED_CAUSE_UNAVAILABLE}


@pytest.fixture(scope="module")
def library(stack: Stack, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A tenant with a cat that is spoken of, seen and tagged."""
    film = tmp_path_factory.mktemp("films") / "cat.mp4"
    make(film, (Shot(pictures / "chelsea.png", 5, (SPEECH / "speech-en-cat.ogg",)), Shot(pictures / "rocket.jpg", 2)))
    with stack.client(f"t-{uuid.uuid4().hex[:12]}") as client:
        assert ingest(client, film).state == video_pb2.VIDEO_STATE_INDEXED
        whole(client)
        yield client


def whole(client: Client) -> None:
    """Wait until every channel answers; whichever does finds the cat, however little its store has been up."""

    def check() -> bool:
        try:
            done = search(client, QUERY, timeout_s=DEADLINE_S)
        except Unavailable:
            return False
        missing = {d.channel for d in done.summary.degraded}
        found = {c.channel for c in done.hits[0].contributions if c.raw > 0}
        assert {pb.CHANNEL_TAGS, pb.CHANNEL_VISION} <= missing | found, "a store that is not ready is no empty store"
        return not missing

    eventually(check, "every channel answers", timeout_s=120, every_s=0.5)


@contextmanager
def away(stack: Stack, client: Client, names: Sequence[str], how: signal.Signals) -> Iterator[None]:
    """Stop (SIGSTOP) or kill processes; afterwards all of them, or those in their place, answer."""
    pids = {name: stack.kill(name, how) for name in names}
    try:
        yield
    finally:
        if how is signal.SIGSTOP:
            for name, pid in pids.items():
                if stack.pid(name) == pid:  # else the watchdog was quicker, and another one is at work
                    stack.kill(name, signal.SIGCONT)
        whole(client)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=lambda how: how.name)
@pytest.mark.parametrize(("names", "missing"), [(TEXT, WORDS), (MILVUS, VECTORS)], ids=["opensearch", "milvus"])
def test_what_is_away_is_named_and_the_rest_is_answered(
    stack: Stack, library: Client, names: Sequence[str], missing: set[int], how: signal.Signals
) -> None:
    with away(stack, library, names, how):
        begin = time.monotonic()
        done = search(library, QUERY, timeout_s=DEADLINE_S)
        took_s = time.monotonic() - begin
    assert {d.channel for d in done.summary.degraded} == missing
    assert {d.cause for d in done.summary.degraded} <= _LATE_OR_AWAY
    assert done.hits, "the rest is answered"
    assert done.hits[0].scene.start_offset.seconds == 0
    assert not {c.channel for c in done.hits[0].contributions} & missing
    assert sum(c.weight for c in done.hits[0].contributions) == pytest.approx(1.0, abs=1e-5), "renormalised"
    assert took_s < DEADLINE_S, "DONE comes before the deadline"  # else the SDK would have raised


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=lambda how: how.name)
def test_when_every_channel_is_away_it_says_so_and_when_to_come_again(
    stack: Stack, library: Client, how: signal.Signals
) -> None:
    with away(stack, library, (*TEXT, *MILVUS), how), pytest.raises(Unavailable) as caught:
        search(library, QUERY, timeout_s=3.0)  # too short for a second start of the stores
    assert caught.value.reason == ("DEADLINE_EXCEEDED" if how is signal.SIGSTOP else "DEPENDENCY_UNAVAILABLE")
    assert caught.value.retry_after_s is not None


def test_whoever_leaves_in_mid_stream_harms_nobody(stack: Stack, library: Client) -> None:
    with away(stack, library, MILVUS, signal.SIGSTOP):  # so that the stream is surely in its middle
        for _ in range(5):
            frames = library.search(QUERY, timeout_s=DEADLINE_S)
            assert next(frames).kind == pb.FRAME_KIND_PARTIAL
            frames.close()  # type: ignore[attr-defined]  # a generator
        assert search(library, QUERY, timeout_s=DEADLINE_S).hits
    with grpc.insecure_channel(stack.endpoint) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
