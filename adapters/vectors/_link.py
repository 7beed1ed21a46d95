"""Link: calls of a Milvus -> their answers within a time limit, with one retry, and every failure typed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from contracts.errors import DependencyUnavailable, HeimdexError, Internal

if TYPE_CHECKING:
    from pymilvus import AsyncMilvusClient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """A Milvus that answers; ``lite`` when it is Milvus Lite."""

    client: AsyncMilvusClient
    lite: bool


RETRY: dict[str, Any] = {"retry_times": 1}
"""For every call: a connection that is closed in mid-call (GOAWAY, restart) is made again and the call repeated, once.

Without it pymilvus repeats until the time is up, and a search waits for a server that is not there.
"""

_CONNECT_S = 5.0

_KEEPALIVE_MS = 360_000
"""Milvus Lite takes more than one ping in five minutes for abuse and closes the connection; pymilvus sends 30."""

_ABSENT = frozenset({100, 200})  # no such collection, no such partition
_OUR_FAULT = frozenset({6, 1100, 1101})  # what we sent makes no sense


class Absent(DependencyUnavailable):
    """There is no such collection: nobody has written to it yet."""


class Link:
    """A connection that is made at the first call and closed at the end; ``open`` only loads the library."""

    def __init__(self, uri: str) -> None:
        """Configure; ``uri`` may carry user and password."""
        self._uri = uri
        self._server: Server | None = None
        self._connecting: asyncio.Task[Server] | None = None

    async def open(self) -> None:
        """Load pymilvus, which takes seconds, beside the event loop."""
        await asyncio.to_thread(import_module, "pymilvus")
        # Each failure is raised to the caller, who logs it; pymilvus repeats it with several tracebacks.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

    async def close(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        if self._server is not None:
            await self._server.client.close()
            self._server = None

    async def call(self, limit_s: float, work: Callable[[Server], Awaitable[T]]) -> T:
        """Return what ``work`` answers.

        Raises:
            Absent: there is no such collection.
            DependencyUnavailable: no answer within ``limit_s`` seconds, or a failure (transient).
            Internal: Milvus does not understand us (permanent).
        """
        from pymilvus.exceptions import MilvusException

        try:
            async with asyncio.timeout(limit_s):
                return await work(self._server or await self._connected())
        except TimeoutError as error:
            message = f"no answer within {limit_s:.0f} s"
            raise DependencyUnavailable("milvus", message, reason="DEADLINE_EXCEEDED") from error
        except MilvusException as error:
            if error.code in _ABSENT:
                raise Absent("milvus", "there is no such collection") from error
            raise _typed(error.code) from error
        except Exception as error:
            # gRPC's own errors come bare, and only adapters/inference may name that library.
            code = getattr(error, "code", None)
            if not callable(code):
                raise
            raise _typed(code()) from error

    async def _connected(self) -> Server:
        """Connect once for all who wait; whoever gives up does not take the connection from the others."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._ended)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Server:
        from pymilvus import AsyncMilvusClient

        client = AsyncMilvusClient(
            uri=self._uri,
            dedicated=True,  # a shared one is never closed
            timeout=_CONNECT_S,
            grpc_options={"grpc.keepalive_time_ms": _KEEPALIVE_MS},
        )
        try:
            async with asyncio.timeout(_CONNECT_S):
                version = await client.get_server_version(**RETRY)
        except BaseException:
            await client.close()
            raise
        self._server = Server(client, lite="lite" in version)
        return self._server

    def _ended(self, task: asyncio.Task[Server]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # known to those who wait, if anybody still does


def _typed(code: object) -> HeimdexError:
    if code in _OUR_FAULT:
        return Internal(f"Milvus refuses a request of ours (code {code})")
    return DependencyUnavailable("milvus", f"Milvus fails (code {code})")
