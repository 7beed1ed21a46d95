"""S3 for real: bounded memory, what signed GETs answer, pages of versions, and a bucket without versions."""

from __future__ import annotations

import asyncio
import http.client
import secrets
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from adapters.objects.buckets import ensure_buckets
from adapters.objects.s3 import S3Connection, S3Endpoint, S3Objects
from contracts.errors import DependencyUnavailable, NotFound
from contracts.ports import SignedUrl
from tests.stack import Servers

pytestmark = pytest.mark.integration

MIB = 1 << 20
SMALL = 2 * MIB
LARGE = 64 * MIB


@dataclass(frozen=True)
class Pair:
    """The two buckets of a test's own."""

    endpoint: S3Endpoint
    connection: S3Connection
    names: tuple[str, str]

    @property
    def objects(self) -> S3Objects:
        return self.connection.bucket(self.names[0])

    @property
    def leases(self) -> S3Objects:
        return self.connection.bucket(self.names[1])


@pytest.fixture
async def pair(servers: Servers) -> AsyncIterator[Pair]:
    url, name = servers.s3_endpoint, f"test-s3-{secrets.token_hex(4)}"
    endpoint = S3Endpoint(url, url, "us-east-1", servers.s3_access_key, servers.s3_secret_key)
    connection = S3Connection(endpoint)
    it = Pair(endpoint, connection, (name, f"{name}-leases"))
    await ensure_buckets(connection, *it.names)
    yield it
    for bucket in it.names:
        await connection.bucket(bucket).purge("")
        await connection.call(lambda bucket=bucket: connection.client.delete_bucket(Bucket=bucket))  # type: ignore[misc]
    connection.close()


@contextmanager
def at_most(limit_bytes: int) -> Iterator[None]:
    """Fail when Python allocates more than that at a time."""
    tracemalloc.start()
    try:
        yield
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < limit_bytes


async def test_files_pass_in_bounded_memory(pair: Pair, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGE)
    await pair.objects.put("small", b"")  # what the first call loads is not the file's
    await pair.objects.download("small", tmp_path / "small")
    with at_most(LARGE // 8):
        info = await pair.objects.upload(tmp_path / "large", "large")
    with at_most(LARGE // 8):
        await pair.objects.download("large", tmp_path / "again", if_match=info.etag)
    assert (tmp_path / "again").stat().st_size == info.size_bytes == LARGE


async def test_a_signed_get_says_the_type_that_it_was_signed_with(pair: Pair) -> None:
    await pair.objects.put("key", b"film")
    for wanted in ("video/mp4", "video/x-matroska"):
        headers, body = await asyncio.to_thread(
            fetched, await pair.objects.sign_get("key", ttl_s=60, content_type=wanted)
        )
        assert (headers["content-type"], body) == (wanted, b"film")
    headers, _ = await asyncio.to_thread(fetched, await pair.objects.sign_get("key", ttl_s=60))
    assert headers["content-type"] == "application/octet-stream"


def fetched(signed: SignedUrl) -> tuple[dict[str, str], bytes]:
    parts = urlsplit(signed.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


async def test_urls_of_another_key_holder_are_refused(pair: Pair) -> None:
    await pair.objects.put("key", b"film")
    forger = S3Connection(replace(pair.endpoint, secret_key="forged"))
    signed = await forger.bucket(pair.names[0]).sign_get("key", ttl_s=60)
    with pytest.raises(DependencyUnavailable, match="SignatureDoesNotMatch"):
        await forger.bucket(pair.names[0]).get("key")
    forger.close()
    _, body = await asyncio.to_thread(fetched, signed)
    assert b"film" not in body


async def test_purge_goes_through_pages_of_versions_and_delete_markers(pair: Pair) -> None:
    keys = [f"p/{number:03d}" for number in range(400)]
    for _ in range(3):
        await asyncio.gather(*(pair.objects.put(key, b"") for key in keys))
    await pair.connection.call(  # as an operator or a rule of the bucket does
        lambda: pair.connection.client.delete_objects(
            Bucket=pair.names[0], Delete={"Objects": [{"Key": key} for key in keys]}
        )
    )
    assert not [info async for info in pair.objects.list("p/")]
    assert await pair.objects.purge("p/") == 1200
    left = await pair.connection.call(
        lambda: pair.connection.client.list_object_versions(Bucket=pair.names[0], Prefix="p/")
    )
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


async def test_purge_of_a_bucket_without_versions(pair: Pair) -> None:
    for key in ("t/a/lease.pb", "t/b/lease.pb"):
        await pair.leases.put(key, b"1")
        await pair.leases.put(key, b"2")
    assert await pair.leases.purge("t/a/") == 1
    assert [info.key async for info in pair.leases.list("")] == ["t/b/lease.pb"]


async def test_a_lease_that_was_purged_is_free(pair: Pair) -> None:
    await pair.leases.put("t/a/lease.pb", b"1")
    await pair.leases.purge("t/a/lease.pb")
    await pair.leases.put("t/a/lease.pb", b"2", if_none_match=True)
    assert (await pair.leases.get("t/a/lease.pb"))[0] == b"2"


async def test_buckets_are_made_by_many_at_once(pair: Pair) -> None:
    await pair.objects.put("key", b"kept")
    await asyncio.gather(*(ensure_buckets(pair.connection, *pair.names) for _ in range(8)))
    assert (await pair.objects.get("key"))[0] == b"kept"


async def test_a_missing_bucket_is_a_missing_store(pair: Pair) -> None:
    with pytest.raises(DependencyUnavailable, match="NoSuchBucket"):
        await pair.connection.bucket(f"{pair.names[0]}-none").get("key")


async def test_parts_beyond_a_page(pair: Pair) -> None:
    multipart_id = await pair.objects.create_multipart("key", content_type="video/mp4", checksums=False)
    client = pair.connection.client

    def send(number: int) -> None:
        client.upload_part(Bucket=pair.names[0], Key="key", UploadId=multipart_id, PartNumber=number, Body=b"1")

    await asyncio.gather(*(pair.connection.call(lambda n=n: send(n)) for n in range(1, 1003)))  # type: ignore[misc]
    parts = await pair.objects.list_parts("key", multipart_id)
    assert [part.number for part in parts] == list(range(1, 1003))
    await pair.objects.abort_multipart("key", multipart_id)
    with pytest.raises(NotFound):
        await pair.objects.list_parts("key", multipart_id)
