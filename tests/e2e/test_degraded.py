"""Stores that stand still, fall over or talk nonsense during a search: what is missing is named, the rest is answered,
in time.
"""

from __future__ import annotations

import signal
import socket
import socketserver
import subprocess
import sys
import threading
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
from deploy.local.environment import inherited
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
STORES = [
    (TEXT, WORDS, (pb.CHANNEL_VISION, 0.35 / (0.5 + 0.35))),
    (MILVUS, VECTORS, (pb.CHANNEL_TAGS, 0.15 / (0.5 + 0.15))),
    (("milvus-text",), {pb.CHANNEL_DENSE}, (pb.CHANNEL_TAGS, 0.15)),
    (("milvus-vision",), {pb.CHANNEL_VISION}, (pb.CHANNEL_TAGS, 0.15 / (0.5 + 0.15))),
]
"""Stores, the channels that are missing without them, and what another one weighs then. Source: the formula."""

DEADLINE_S = 10.0
ROOT = Path(__file__).resolve().parents[2]
_LATE_OR_AWAY = {pb.DEGRADED_CAUSE_LATE, pb.DEGRADED_CAUSE_UNAVAILABLE}


@pytest.fixture(scope="module")
def owner() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def library(stack: Stack, owner: str, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A tenant with a cat that is spoken of, seen and tagged."""
    film = tmp_path_factory.mktemp("films") / "cat.mp4"
    make(film, (Shot(pictures / "chelsea.png", 5, (SPEECH / "speech-en-cat.ogg",)), Shot(pictures / "rocket.jpg", 2)))
    with stack.client(owner) as client:
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
        # Of meaning alone the cat is nothing that anybody could be sure of: then there is no hit.
        found = {c.channel for hit in done.hits[:1] for c in hit.contributions if c.raw > 0}
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
@pytest.mark.parametrize(("names", "missing", "weighs"), STORES, ids=["+".join(names) for names, _, _ in STORES])
def test_what_is_away_is_named_and_the_rest_is_answered(  # noqa: PLR0917  # fixtures
    stack: Stack, library: Client, names: Sequence[str], missing: set[int], weighs: tuple[pb.Channel.ValueType, float],
    how: signal.Signals,
) -> None:  # fmt: skip
    with away(stack, library, names, how):
        begin = time.monotonic()
        done = search(library, QUERY, timeout_s=DEADLINE_S)
        took_s = time.monotonic() - begin
    assert {d.channel for d in done.summary.degraded} == missing
    causes = {d.cause for d in done.summary.degraded}
    assert causes == {pb.DEGRADED_CAUSE_LATE} if how is signal.SIGSTOP else causes <= _LATE_OR_AWAY
    assert done.hits, "the rest is answered"
    assert done.hits[0].scene.start_offset.seconds == 0
    weights = {c.channel: c.weight for c in done.hits[0].contributions}
    assert not weights.keys() & missing
    assert weights[weighs[0]] == pytest.approx(weighs[1], abs=1e-5), "renormalised"
    assert done.hits[0].score == pytest.approx(sum(c.points for c in done.hits[0].contributions), abs=1e-5)
    assert took_s < DEADLINE_S, "DONE comes before the deadline"  # else the SDK would have raised


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=lambda how: how.name)
def test_when_every_channel_is_away_it_says_so_and_when_to_come_again(
    stack: Stack, library: Client, how: signal.Signals
) -> None:
    with away(stack, library, (*TEXT, *MILVUS), how), pytest.raises(Unavailable) as caught:
        search(library, QUERY, timeout_s=3.0)  # too short for a second start of the stores
    assert caught.value.reason == ("DEADLINE_EXCEEDED" if how is signal.SIGSTOP else "DEPENDENCY_UNAVAILABLE")
    assert caught.value.retry_after_s is not None


def test_the_first_frame_waits_for_no_store_and_the_last_for_each_that_answers_in_time(
    stack: Stack, library: Client
) -> None:
    with away(stack, library, ("milvus-vision",), signal.SIGSTOP):
        frames = library.search(QUERY, timeout_s=DEADLINE_S)
        first = next(frames)
        stack.kill("milvus-vision", signal.SIGCONT)
        *_, done = frames
    assert first.kind == pb.FRAME_KIND_PARTIAL
    assert pb.CHANNEL_VISION not in first.answered
    assert first.hits
    assert pb.CHANNEL_VISION in done.answered
    assert not done.summary.degraded


def test_scenes_like_another_are_looked_for_by_what_is_there(stack: Stack, library: Client) -> None:
    scene_id = search(library, QUERY).hits[0].scene.scene_id
    with away(stack, library, ("milvus-text",), signal.SIGSTOP):
        answer = library.similar(scene_id, include_same_video=True)
    assert [(d.channel, d.cause) for d in answer.summary.degraded] == [(pb.CHANNEL_DENSE, pb.DEGRADED_CAUSE_LATE)]
    assert {timing.channel for timing in answer.summary.timings} >= {pb.CHANNEL_VISION}


class _Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.request.recv(1 << 16)
        assert isinstance(self.server, Nonsense)
        self.wfile.write(self.server.answer)


class Nonsense(socketserver.ThreadingTCPServer):
    """A server that answers whatever it is asked alike, and hangs up."""

    daemon_threads = True
    answer = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture(scope="module")
def nonsense() -> Iterator[Nonsense]:
    with Nonsense() as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def misled(stack: Stack, owner: str, library: Client, nonsense: Nonsense) -> Iterator[Client]:
    """The library's tenant at another gateway of the stack, whose OpenSearch and whose Milvus of text are nonsense."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {"OPENSEARCH": nonsense.url, "MILVUS_TEXT": nonsense.url, "GATEWAY_LISTEN": address}
    environment = inherited() | stack.environment() | {f"HEIMDEX_{name}": value for name, value in settings.items()}
    gateway = subprocess.Popen([sys.executable, "-m", "gateway"], cwd=ROOT, env=environment)
    try:
        eventually(lambda: _serves(address), "the other gateway serves", timeout_s=120)
        with Client(address, stack.token(owner), insecure=True) as client:
            yield client
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(60)


def _serves(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _http(status: str, kind: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    "answer",
    [
        _http("200 OK", "application/json", '{"hello": "world"}'),
        _http("200 OK", "application/json", "[" * 100_000),
        _http("200 OK", "application/json", '{"docs": [{}], "responses": [{}, {}], "tokens": [{"token": 1}]}'),
        _http("200 OK", "text/html", "<html><body>Sign in to the network</body></html>"),
        _http("200 OK", "text/plain", "\x00\x01"),
        _http("500 Internal Server Error", "text/html", "<html>"),
        _http("302 Found", "text/html", ""),
        b"\x00\xff\xfe nonsense",
        b"",
    ],
    ids=["json", "deep", "alike", "page", "text", "error", "elsewhere", "bytes", "nothing"],
)
def test_a_store_that_talks_nonsense_is_one_that_is_away(nonsense: Nonsense, misled: Client, answer: bytes) -> None:
    nonsense.answer = answer
    done = search(misled, QUERY, timeout_s=DEADLINE_S)
    assert {d.channel for d in done.summary.degraded} == {*WORDS, pb.CHANNEL_DENSE}
    assert {d.cause for d in done.summary.degraded} <= _LATE_OR_AWAY
    assert done.hits[0].scene.start_offset.seconds == 0


def test_whoever_leaves_in_mid_stream_harms_nobody(stack: Stack, library: Client) -> None:
    with away(stack, library, MILVUS, signal.SIGSTOP):  # so that the stream is surely in its middle
        for _ in range(5):
            frames = library.search(QUERY, timeout_s=DEADLINE_S)
            assert next(frames).kind == pb.FRAME_KIND_PARTIAL
            frames.close()
        assert search(library, QUERY, timeout_s=DEADLINE_S).hits
    with grpc.insecure_channel(stack.endpoint) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
