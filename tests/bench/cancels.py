"""Cancels: queries -> searches that are begun and left again, from a process of their own.

``python -m tests.bench.cancels`` reads a ``Task`` of ``tests.bench.load`` as JSON and writes how they ended. They
are left at different moments: at once, or up to a tenth of a second later.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from dataclasses import asdict

import grpc
import grpc.aio

from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceStub
from tests.bench.children import said
from tests.bench.load import TIMEOUT_S, Task

_MOMENTS_S = (0.0, 0.001, 0.005, 0.02, 0.05, 0.1)


async def run(task: Task) -> Counter[str]:
    """Begin every search and leave it; return how many ended how, by the name of the gRPC code."""
    metadata = (("authorization", f"Bearer {task.tokens[0]}"),)
    ends: Counter[str] = Counter()
    waiting = zip(task.queries, itertools.cycle(_MOMENTS_S))
    async with grpc.aio.insecure_channel(task.endpoint) as channel:
        async with asyncio.timeout(TIMEOUT_S):
            await channel.channel_ready()
        stub = SearchServiceStub(channel)

        async def caller() -> None:
            for query, moment_s in waiting:
                call = stub.SearchScenes(pb.SearchScenesRequest(query=query), metadata=metadata, timeout=TIMEOUT_S)
                await asyncio.sleep(moment_s)
                call.cancel()
                ends[(await call.code()).name] += 1

        await asyncio.gather(*(caller() for _ in range(task.callers)))
    return ends


async def leave(task: Task) -> Counter[str]:
    """Return how the streams of a process of its own ended."""
    return Counter(json.loads(await said(__name__, json.dumps(asdict(task)).encode())))


def main() -> None:
    """Read a task, leave its searches, write the ends."""
    json.dump(asyncio.run(run(Task(**json.load(sys.stdin)))), sys.stdout)


if __name__ == "__main__":
    main()
