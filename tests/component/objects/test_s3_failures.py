"""S3 that fails: every way ends in a typed error, and no torn file is left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from adapters.objects.buckets import ensure_buckets
from adapters.objects.s3 import S3Connection, S3Endpoint, S3Objects
from contracts.errors import DependencyUnavailable
from contracts.ports import Part


@contextmanager
def connected(port: int) -> Iterator[S3Connection]:
    url = f"http://127.0.0.1:{port}"
    connection = S3Connection(S3Endpoint(url, url, "us-east-1", "key", "secret"))
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def away() -> Iterator[S3Connection]:
    """Give a connection to a port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # held, so that nobody else comes to listen there
        with connected(held.getsockname()[1]) as connection:
            yield connection


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def listed(objects: S3Objects) -> None:
    async for _ in objects.list(""):
        pass


CALLS: dict[str, Callable[[S3Objects, Path], Awaitable[object]]] = {
    "head": lambda s3, _: s3.head("key"),
    "get": lambda s3, _: s3.get("key"),
    "put": lambda s3, _: s3.put("key", b"1", if_none_match=True),
    "download": lambda s3, path: s3.download("key", path / "target"),
    "upload": lambda s3, path: s3.upload(path / "file", "key"),
    "list": lambda s3, _: listed(s3),
    "purge": lambda s3, _: s3.purge("key"),
    "create_multipart": lambda s3, _: s3.create_multipart("key", content_type="video/mp4"),
    "list_parts": lambda s3, _: s3.list_parts("key", "id"),
    "complete_multipart": lambda s3, _: s3.complete_multipart("key", "id", [Part(1, "etag", 1)]),
    "abort_multipart": lambda s3, _: s3.abort_multipart("key", "id"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_store_that_is_away(away: S3Connection, tmp_path: Path, call: str) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(DependencyUnavailable) as caught:
        await CALLS[call](away.bucket("bucket"), tmp_path)
    assert caught.value.dependency == "objects"
    assert names(tmp_path) == ["file"]


async def test_buckets_of_a_store_that_is_away(away: S3Connection) -> None:
    with pytest.raises(DependencyUnavailable):
        await ensure_buckets(away, "bucket", "leases")


async def test_signing_needs_no_store(away: S3Connection) -> None:
    signed = await away.bucket("bucket").sign_get("key", ttl_s=60)
    assert "/bucket/key?" in signed.url


async def test_clients_are_sent_to_the_public_endpoint() -> None:
    inside, outside = "http://127.0.0.1:1", "https://objects.example.org"
    connection = S3Connection(S3Endpoint(inside, outside, "us-east-1", "key", "secret"))
    signed = await connection.bucket("bucket").sign_get("key", ttl_s=60)
    connection.close()
    assert signed.url.startswith(f"{outside}/bucket/key?")


@asynccontextmanager
async def answering(status: str, body: bytes, *, length: int) -> AsyncIterator[int]:
    """Give the port of a server that answers everything alike, and hangs up then."""

    async def answer(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stream.readuntil(b"\r\n\r\n")
        writer.write(f'HTTP/1.1 {status}\r\nETag: "etag"\r\nContent-Length: {length}\r\n\r\n'.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_body_that_breaks_off(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    async with answering("200 OK", b"half", length=8) as port:
        with connected(port) as connection:
            objects = connection.bucket("bucket")
            with pytest.raises(DependencyUnavailable):
                await objects.download("key", tmp_path / "target")
            with pytest.raises(DependencyUnavailable):
                await objects.get("key")
    assert names(tmp_path) == ["target"]
    assert (tmp_path / "target").read_bytes() == b"old"


@pytest.mark.parametrize("code", ["InternalError", "SlowDown", "AccessDenied", "NoSuchBucket"])
async def test_what_an_operator_can_heal_is_transient(code: str) -> None:
    body = f"<Error><Code>{code}</Code></Error>".encode()
    async with answering("400 Bad Request", body, length=len(body)) as port:
        with connected(port) as connection, pytest.raises(DependencyUnavailable) as caught:
            await connection.bucket("bucket").get("key")
    assert code in caught.value.message
