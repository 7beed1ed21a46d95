"""Load: queries and a number of callers -> searches against a gateway, from a process of their own.

``python -m tests.bench.load`` reads a ``Task`` as JSON and writes a ``Timing`` as JSON. It speaks to the generated stub
directly: what the SDK adds to a call is no part of what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
import grpc.aio

from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceStub
from tests.bench.closed_loop import Answered, Timing, drive

TIMEOUT_S = 30.0
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Task:
    """What to ask of whom; ``progressive`` for every frame instead of the last alone."""

    endpoint: str
    token: str
    queries: tuple[str, ...]
    callers: int
    limit: int
    progressive: bool = False


async def run(task: Task) -> Timing:
    """Ask, over one channel."""
    metadata = (("authorization", f"Bearer {task.token}"),)
    delivery = pb.DELIVERY_PROGRESSIVE if task.progressive else pb.DELIVERY_FINAL_ONLY
    async with grpc.aio.insecure_channel(task.endpoint) as channel:
        async with asyncio.timeout(TIMEOUT_S):
            await channel.channel_ready()
        stub = SearchServiceStub(channel)

        async def ask(query: str) -> Answered:
            begin = time.perf_counter()
            first = 0.0
            done = pb.SearchScenesResponse()
            request = pb.SearchScenesRequest(query=query, page_size=task.limit, delivery=delivery)
            async for frame in stub.SearchScenes(request, metadata=metadata, timeout=TIMEOUT_S):
                first = first or time.perf_counter()
                done = frame
            end = time.perf_counter()
            if done.kind != pb.FRAME_KIND_DONE:
                raise AssertionError("the last frame is not DONE")
            return Answered(
                (first - begin) * 1000, (end - begin) * 1000, len(done.hits), complete=not done.summary.degraded
            )

        return await drive(task.queries, task.callers, ask)


async def search_load(task: Task) -> Timing:
    """Return what a load generator in a process of its own measures."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_REPOSITORY,
        limit=1 << 24,
    )
    said, _ = await process.communicate(json.dumps(asdict(task)).encode())
    assert process.returncode == 0
    told = json.loads(said)
    answers = tuple(Answered(**answer) for answer in told.pop("answers"))
    return Timing(**told, answers=answers)


def main() -> None:
    """Read a task, ask, write the timing."""
    json.dump(asdict(asyncio.run(run(Task(**json.load(sys.stdin))))), sys.stdout)


if __name__ == "__main__":
    main()
