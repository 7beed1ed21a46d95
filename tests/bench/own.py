"""Own: what a search costs the gateway itself, without the stores and without what surrounds a call.

One part is the searcher over stores that answer from memory. The other is a bare server that makes one answer's
message again for every call, in a process of its own: ``python -m tests.bench.own`` reads the answer, pickled.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import numpy as np
import psutil
import uvloop

from gateway import searches
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.types import Update
from tests.bench.children import started
from tests.bench.closed_loop import Timing
from tests.bench.load import Task, search_load
from tests.bench.stores import Stores


class _Remembered:
    """A port that answers what it was asked before from memory."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._answers: dict[Hashable, Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def ask(*args: Any, **options: Any) -> Any:
            key = name, *map(_key, args), *map(_key, options.values())
            if key not in self._answers:
                self._answers[key] = await method(*args, **options)
            return self._answers[key]

        setattr(self, name, ask)
        return ask


def _key(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return tuple(value) if isinstance(value, list) else value


def remembered(stores: Stores) -> Stores:
    """Return stores that have to be asked once."""
    ports = ("catalog", "text", "text_vectors", "vision_vectors", "encoder")
    return replace(stores, **{port: _Remembered(getattr(stores, port)) for port in ports})  # type: ignore[arg-type]


async def drive_echo(update: Update, queries: Sequence[str], callers: int) -> tuple[Timing, float]:
    """Return what a load generator measures of a bare server, and that server's seconds of processor time."""
    async with _echo(update) as (pid, endpoint):
        process = psutil.Process(pid)
        before = process.cpu_times()
        timing = await search_load(Task(endpoint, ("none",), tuple(queries), callers, len(update.hits)))
        after = process.cpu_times()
    return timing, after.user + after.system - before.user - before.system


@asynccontextmanager
async def _echo(update: Update) -> AsyncIterator[tuple[int, str]]:
    process = await started(__name__)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(pickle.dumps(update))
        process.stdin.write_eof()
        yield process.pid, (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def _serve() -> None:
    update: Update = pickle.load(sys.stdin.buffer)  # noqa: S301 - the bench's own

    async def answer(request: pb.SearchScenesRequest, context: Any) -> AsyncIterator[pb.SearchScenesResponse]:
        yield searches.frame(update, "qry_0")

    handler = grpc.unary_stream_rpc_method_handler(
        answer,
        request_deserializer=pb.SearchScenesRequest.FromString,
        response_serializer=pb.SearchScenesResponse.SerializeToString,
    )
    name = pb.DESCRIPTOR.services_by_name["SearchService"].full_name
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"SearchScenes": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve())
