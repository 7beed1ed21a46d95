"""Ops port: /live, /ready and /metrics of one process over plain HTTP, loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import generate_latest

_TIMEOUT_S = 5.0
_MAX_REQUEST_BYTES = 8192


async def serve(port: int, *, live: Callable[[], bool], ready: Callable[[], bool]) -> asyncio.Server:
    """Listen on 127.0.0.1:``port``; each answer is 200 or 503. Close the returned server to stop."""

    def page(path: str) -> tuple[str, bytes]:
        match path:
            case "/live":
                return _verdict(live())
            case "/ready":
                return _verdict(ready())
            case "/metrics":
                return "200 OK", generate_latest()
        return "404 Not Found", b"no such page\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                request = await reader.readuntil(b"\r\n\r\n")
                _, path, *_ = request.split(b" ", 2)
                status, body = page(path.decode("ascii", "replace"))
                head = (
                    f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
                )
                writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
                await writer.drain()
        except (TimeoutError, ValueError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a broken or slow caller; the connection is closed below
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port, limit=_MAX_REQUEST_BYTES)


def _verdict(good: bool) -> tuple[str, bytes]:  # noqa: FBT001 - the one thing it is about
    return ("200 OK", b"ok\n") if good else ("503 Service Unavailable", b"no\n")
