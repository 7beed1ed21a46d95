"""Object storage in memory behind real HTTP, so that the SDK's transfer can be seen at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from adapters.objects.memory import MemoryObjects
from contracts.ports import SignedUrl

_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 412: "Precondition Failed"}
_EXPIRED = 403


class HttpObjects(MemoryObjects):
    """``MemoryObjects`` whose signed URLs work over HTTP; a test may let URLs expire or break connections."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self.requests = 0
        self.expire_next = 0
        self.break_next = 0

    async def sign_put(self, key: str, *, ttl_s: int, size_bytes: int, sha256_hex: str, content_type: str) -> SignedUrl:
        signed = await super().sign_put(
            key, ttl_s=ttl_s, size_bytes=size_bytes, sha256_hex=sha256_hex, content_type=content_type
        )
        return self._over_http(signed)

    async def sign_part(
        self, key: str, multipart_id: str, number: int, *, ttl_s: int, size_bytes: int, sha256_hex: str | None
    ) -> SignedUrl:
        signed = await super().sign_part(
            key, multipart_id, number, ttl_s=ttl_s, size_bytes=size_bytes, sha256_hex=sha256_hex
        )
        return self._over_http(signed)

    def _over_http(self, signed: SignedUrl) -> SignedUrl:
        return replace(signed, url=signed.url.replace("memory://", f"http://127.0.0.1:{self.port}"))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of one connection."""
        self.requests += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.splitlines()
        method, path, _ = first.split(" ", 2)
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        sizes = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(sizes.get("content-length", "0")))
        if self.break_next:
            self.break_next -= 1
            writer.close()
            return
        text = b""
        if self.expire_next:
            self.expire_next -= 1
            status, text = _EXPIRED, b"<Code>AccessDenied</Code><Message>Request has expired</Message>"
        else:
            status = await self.send(f"memory://{path}", method, headers, body)
        writer.write(f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def http_objects() -> AsyncIterator[HttpObjects]:
    """Run a store."""
    objects = HttpObjects()
    server = await asyncio.start_server(objects.answer, "127.0.0.1", 0)
    objects.port = server.sockets[0].getsockname()[1]
    async with server:
        yield objects
