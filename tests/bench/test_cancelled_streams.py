"""Cancelled streams: 50,000 searches that their clients leave, and what stays behind in the gateway.

``BENCH_STREAMS`` is another number of them.
"""

from __future__ import annotations

import os
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from deploy.local.home import require_config
from tests.bench import corpus
from tests.bench.cancels import leave
from tests.bench.library import fill
from tests.bench.load import Task
from tests.bench.report import say, table
from tests.bench.stores import models_dir, opened
from tests.stack import Stack, eventually, search

pytestmark = pytest.mark.bench

_SCENES = 1000
_CALLERS = 64
_ROUNDS = 10
_LIMIT = 20
_MAX_GROWTH = 1.05
"""Of the proportional set size, from the end of the first half to the end of the second."""

_MAX_CONNECTIONS = 16
"""What the pools hold when they are full: 8 to OpenSearch, one or two to each other server, and the listeners."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the gateway holds: proportional set size in bytes, file descriptors, connections, threads, open searches."""

    pss_bytes: int
    files: int
    connections: int
    threads: int
    searches: int


async def test_cancelled_streams_leave_nothing_behind(stack: Stack, tenant: str, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    streams = int(os.environ.get("BENCH_STREAMS", "50000"))
    async with opened(stack.environment()) as stores:
        kept = Path(pytestconfig.cache.mkdir("bench"))
        await fill(stores, tenant, _SCENES, models=models_dir(stack), kept=kept)
    ends: Counter[str] = Counter()
    seen = []
    begin = time.monotonic()
    asked = corpus.queries(0, streams // _ROUNDS)  # the same in each round: what is kept of queries is full after one
    for _ in range(_ROUNDS):
        ends += await leave(Task(stack.endpoint, (stack.token(tenant),), tuple(asked), _CALLERS, _LIMIT))
        eventually(lambda: _searches(stack) == 0, "no search is under way")
        seen.append(_held(stack))
    say(f"\n{streams} streams of {_CALLERS} callers, {streams / (time.monotonic() - begin):.0f} a second: {dict(ends)}")
    table(
        "the gateway after each tenth",
        ("streams", "MB", "files", "connections", "threads", "searches"),
        [
            ((number + 1) * streams // _ROUNDS, round(held.pss_bytes / 1e6, 1), held.files, held.connections,
             held.threads, held.searches)
            for number, held in enumerate(seen)
        ],
    )  # fmt: skip
    assert ends["CANCELLED"] > 0.9 * streams, ends
    half, last = seen[_ROUNDS // 2 - 1], seen[-1]
    assert last.pss_bytes < half.pss_bytes * _MAX_GROWTH, "memory grows with streams"
    assert last.connections <= _MAX_CONNECTIONS, "connections grow with streams"
    assert last.files <= half.files + _MAX_CONNECTIONS, "files grow with streams"
    with stack.client(tenant) as client:
        assert search(client, corpus.sentence(0)).hits, "it still answers"


def _held(stack: Stack) -> Held:
    process = psutil.Process(stack.pid("gateway"))
    return Held(
        process.memory_full_info().pss,
        process.num_fds(),
        len(process.net_connections()),
        process.num_threads(),
        _searches(stack),
    )


def _searches(stack: Stack) -> int:
    """Return how many searches the gateway says are under way."""
    port = require_config(stack.home).ports["gateway-ops"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        said = page.read().decode()
    name = 'heimdex_gateway_calls_open{method="SearchScenes"} '
    return int(next((float(line[len(name) :]) for line in said.splitlines() if line.startswith(name)), 0.0))
