"""Load: queries and a number of callers -> searches against a gateway, from a process of their own.

``python -m tests.bench.load`` reads a ``Task`` as JSON and writes a ``Timing`` as JSON. It speaks to the generated stub
directly: what the SDK adds to a call is no part of what is measured. A caller who is refused for overload comes back
when the refusal says, as the SDK does; only the call that is let in is timed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass, replace

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceStub
from tests.bench.children import said
from tests.bench.closed_loop import Answered, Timing, drive

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Task:
    """What to ask of whom; ``progressive`` for every frame instead of the last alone. Tokens take turns."""

    endpoint: str
    tokens: tuple[str, ...]
    queries: tuple[str, ...]
    callers: int
    limit: int
    progressive: bool = False


async def run(task: Task) -> Timing:
    """Ask, over one channel."""
    turns = itertools.cycle([(("authorization", f"Bearer {token}"),) for token in task.tokens])
    delivery = pb.DELIVERY_PROGRESSIVE if task.progressive else pb.DELIVERY_FINAL_ONLY
    async with grpc.aio.insecure_channel(task.endpoint) as channel:
        async with asyncio.timeout(TIMEOUT_S):
            await channel.channel_ready()
        stub = SearchServiceStub(channel)

        refused = 0

        async def ask(query: str) -> Answered:
            nonlocal refused
            while True:
                try:
                    return await once(query)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise
                    refused += 1
                    await asyncio.sleep(_retry_after_s(error))

        async def once(query: str) -> Answered:
            begin = time.perf_counter()
            first = 0.0
            done = pb.SearchScenesResponse()
            request = pb.SearchScenesRequest(query=query, page_size=task.limit, delivery=delivery)
            async for frame in stub.SearchScenes(request, metadata=next(turns), timeout=TIMEOUT_S):
                first = first or time.perf_counter()
                done = frame
            end = time.perf_counter()
            if done.kind != pb.FRAME_KIND_DONE:
                raise AssertionError("the last frame is not DONE")
            return Answered(
                (first - begin) * 1000, (end - begin) * 1000, len(done.hits), complete=not done.summary.degraded
            )

        timing = await drive(task.queries, task.callers, ask)
        return replace(timing, refused=refused)


def _retry_after_s(error: grpc.aio.AioRpcError) -> float:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # errors of aio calls are calls
    assert status is not None
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details), "a refusal for overload says when to come back"
    return retry.retry_delay.ToTimedelta().total_seconds()


async def search_load(task: Task) -> Timing:
    """Return what a load generator in a process of its own measures."""
    told = json.loads(await said(__name__, json.dumps(asdict(task)).encode()))
    answers = tuple(Answered(**answer) for answer in told.pop("answers"))
    return Timing(**told, answers=answers)


def main() -> None:
    """Read a task, ask, write the timing."""
    json.dump(asdict(asyncio.run(run(Task(**json.load(sys.stdin))))), sys.stdout)


if __name__ == "__main__":
    main()
