"""Own: what a search costs the gateway itself, its stores and encoders answering from memory.

It understands, ranks, fills, seals, accounts and answers as ever, behind all that surrounds a call, in a process of its
own: ``python -m tests.bench.own`` reads the environment of a stack's processes as a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import uvloop

from adapters import tracing
from adapters.inference.client import GrpcImageEncoder
from gateway.__main__ import Process, Settings, spare_the_collector
from gateway.feedback import Feedback
from gateway.pictures import Pictures
from gateway.search_service import SearchService
from gateway.searchers import Searchers
from gateway.server import GatewayServer, Service, interceptors
from gateway.suggestions import Suggestions
from gateway.tokens import KeyFile, TokenVerifier
from heimdex.search.v1.search_service_pb2 import DESCRIPTOR
from heimdex.search.v1.search_service_pb2_grpc import add_SearchServiceServicer_to_server
from tests.bench.children import started
from tests.bench.closed_loop import Timing
from tests.bench.load import Task, search_load
from tests.bench.stores import Stores, opened


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


def _remembered(stores: Stores) -> Stores:
    """Return stores that have to be asked once."""
    ports = ("catalog", "text", "text_vectors", "vision_vectors", "encoder")
    return replace(stores, **{port: _Remembered(getattr(stores, port)) for port in ports})  # type: ignore[arg-type]


async def drive_gateway(
    environment: Mapping[str, str], token: str, queries: Sequence[str], callers: int, limit: int
) -> tuple[Timing, float]:
    """Return what a load generator measures of such a gateway, and its seconds of processor time."""
    async with _gateway(environment) as (pid, endpoint):
        task = Task(endpoint, (token,), tuple(queries), callers, limit)
        await search_load(task)  # the stores are asked
        process = psutil.Process(pid)
        before = process.cpu_times()
        timing = await search_load(task)
        after = process.cpu_times()
    return timing, after.user + after.system - before.user - before.system


@asynccontextmanager
async def _gateway(environment: Mapping[str, str]) -> AsyncIterator[tuple[int, str]]:
    process = await started(__name__)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(dict(environment)).encode() + b"\n")
        process.stdin.write_eof()
        yield process.pid, (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def _serve(environment: Mapping[str, str]) -> None:
    settings = Settings()  # type: ignore[call-arg]  # from the environment
    async with AsyncExitStack() as resources:
        process = Process(settings, resources)
        searcher = _remembered(await resources.enter_async_context(opened(environment))).searcher()
        service = SearchService(
            Searchers(process.catalog, lambda _: searcher, process.clock),
            Suggestions(process.catalog, searcher, process.clock),  # type: ignore[arg-type]  # nobody asks for any
            process.objects,
            process.pages,
            process.clock,
            performed=process.performed,
            feedback=Feedback(process.catalog, process.clock),
            pictures=Pictures(process.catalog, process.objects, GrpcImageEncoder(process.inference)),
        )
        verifier = TokenVerifier(
            KeyFile(settings.jwks_file), issuer=settings.token_issuer, audience=settings.token_audience
        )
        tracer = resources.enter_context(tracing.calls("heimdex-gateway"))
        around = interceptors(verifier, tracer, process.clock, max_searches=settings.max_searches)
        name = DESCRIPTOR.services_by_name["SearchService"].full_name
        server = GatewayServer([Service(name, add_SearchServiceServicer_to_server, service)], around)
        port = server.listen("127.0.0.1:0", None)
        await server.start()
        spare_the_collector()
        sys.stdout.write(f"127.0.0.1:{port}\n")
        sys.stdout.flush()
        await process.performed.run()


def main() -> None:
    """Serve until terminated."""
    environment = json.loads(sys.stdin.readline())
    os.environ.update(environment)
    uvloop.run(_serve(environment))


if __name__ == "__main__":
    main()
