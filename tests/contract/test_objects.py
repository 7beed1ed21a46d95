"""Objects: one suite for every ``Objects``: memory, a cache before it, S3."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest

from adapters.objects.buckets import ensure_buckets
from adapters.objects.cached import CachedObjects
from adapters.objects.keys import MAX_KEY_BYTES, MAX_PART_BYTES
from adapters.objects.memory import MemoryObjects
from adapters.objects.s3 import S3Connection, S3Endpoint
from contracts.errors import Internal, NotFound, PreconditionFailed
from contracts.ports import ObjectInfo, Objects, Part, SignedUrl

SOURCE = "t/acme/v/vid_1/source/original"  # the only key that the cache keeps
MIB = 1 << 20
PART_BYTES = 5 * MIB  # the least that S3 takes for a part but the last
RACERS = 20
CONTENT_TYPE = "video/mp4"

MEMORY = "memory"
CACHED = "cached"
S3 = pytest.param("s3", marks=pytest.mark.integration)

Send = Callable[[str, str, Mapping[str, str], bytes], Awaitable[int]]


@dataclass(frozen=True)
class Place:
    """A bucket of a test's own, and the HTTP of those who hold its signed URLs."""

    objects: Objects
    request: Send

    async def send(
        self, signed: SignedUrl, body: bytes = b"", *, url: str = "", method: str = "", **changed: str | None
    ) -> int:
        """Send a signed request, parts of it (headers: ``content_type="x"``, None leaves one out) changed."""
        headers = dict(signed.headers) | {name.replace("_", "-"): value for name, value in changed.items()}
        kept = {name: value for name, value in headers.items() if value is not None}
        return await self.request(url or signed.url, method or signed.method, kept, body)

    async def put_url(self, key: str, body: bytes, *, ttl_s: int = 60) -> SignedUrl:
        return await self.objects.sign_put(
            key, ttl_s=ttl_s, size_bytes=len(body), sha256_hex=sha256(body), content_type=CONTENT_TYPE
        )

    async def put_part(self, key: str, multipart_id: str, number: int, body: bytes, *, checked: bool = True) -> int:
        signed = await self.objects.sign_part(
            key,
            multipart_id,
            number,
            ttl_s=60,
            size_bytes=len(body),
            sha256_hex=sha256(body) if checked else None,
        )
        return await self.send(signed, body)

    async def keys(self, prefix: str = "") -> list[str]:
        return [info.key async for info in self.objects.list(prefix)]


@pytest.fixture(scope="module")
def connection(request: pytest.FixtureRequest) -> Iterator[S3Connection]:
    servers = request.getfixturevalue("servers")
    endpoint = servers.s3_endpoint
    made = S3Connection(
        S3Endpoint(endpoint, endpoint, "us-east-1", servers.s3_access_key, servers.s3_secret_key), threads=RACERS
    )
    yield made
    made.close()


@pytest.fixture(params=[MEMORY, CACHED, S3])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param in {MEMORY, CACHED}:
        memory = MemoryObjects()
        objects = CachedObjects(memory, tmp_path / "cache") if request.param == CACHED else memory
        yield Place(objects, memory.send)
        return
    s3: S3Connection = request.getfixturevalue("connection")
    name = f"test-objects-{secrets.token_hex(4)}"
    await ensure_buckets(s3, name, f"{name}-leases")
    yield Place(s3.bucket(name), over_http)
    await s3.bucket(name).purge("")
    for bucket in (name, f"{name}-leases"):
        await s3.call(lambda bucket=bucket: s3.client.delete_bucket(Bucket=bucket))  # type: ignore[misc]


async def over_http(url: str, method: str, headers: Mapping[str, str], body: bytes) -> int:
    def work() -> int:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            connection.request(method, f"{parts.path}?{parts.query}", body or None, dict(headers))
            return connection.getresponse().status
        finally:
            connection.close()

    return await asyncio.to_thread(work)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# ---- one object -------------------------------------------------------------------------------------


async def test_what_was_put_comes_back(place: Place) -> None:
    put = await place.objects.put("a/b.txt", b"scene", content_type="text/plain")
    assert await place.objects.get("a/b.txt") == (b"scene", put)
    assert await place.objects.head("a/b.txt") == put
    assert (put.key, put.size_bytes, put.content_type) == ("a/b.txt", 5, "text/plain")
    assert put.etag.strip('"') == put.etag != ""


async def test_an_empty_object_is_one(place: Place) -> None:
    put = await place.objects.put("empty", b"")
    assert await place.objects.get("empty") == (b"", put)


async def test_the_etag_tells_contents_apart(place: Place) -> None:
    first = await place.objects.put("key", b"1")
    second = await place.objects.put("key", b"2")
    assert first.etag != second.etag


async def test_nothing_is_known_of_an_absent_key(place: Place, tmp_path: Path) -> None:
    assert await place.objects.head("none") is None
    with pytest.raises(NotFound):
        await place.objects.get("none")
    for key, etag in (("none", None), (SOURCE, "0" * 32)):
        with pytest.raises(NotFound):
            await place.objects.download(key, tmp_path / "none", if_match=etag)


async def test_get_under_a_condition(place: Place) -> None:
    put = await place.objects.put("key", b"1")
    assert await place.objects.get("key", if_match=put.etag) == (b"1", put)
    await place.objects.put("key", b"2")
    with pytest.raises(PreconditionFailed):
        await place.objects.get("key", if_match=put.etag)


async def test_put_if_absent_does_not_replace(place: Place) -> None:
    await place.objects.put("key", b"first", if_none_match=True)
    with pytest.raises(PreconditionFailed):
        await place.objects.put("key", b"second", if_none_match=True)
    assert (await place.objects.get("key"))[0] == b"first"


async def test_put_over_an_etag(place: Place) -> None:
    old = await place.objects.put("key", b"1")
    new = await place.objects.put("key", b"2", if_match=old.etag)
    with pytest.raises(PreconditionFailed):
        await place.objects.put("key", b"3", if_match=old.etag)
    assert await place.objects.get("key") == (b"2", new)


async def test_put_over_the_etag_of_nothing(place: Place) -> None:
    old = await place.objects.put("gone", b"1")
    await place.objects.purge("gone")
    for key in ("gone", "never"):
        with pytest.raises(PreconditionFailed):
            await place.objects.put(key, b"2", if_match=old.etag)
    assert await place.keys() == []


@pytest.mark.parametrize("there", [False, True], ids=["if_none_match", "if_match"])
async def test_of_those_who_race_one_wins(place: Place, there: bool) -> None:  # noqa: FBT001  # a parameter of the test
    etag = (await place.objects.put("key", b"before")).etag if there else None

    async def race(number: int) -> bool:
        try:
            await place.objects.put("key", b"racer %d" % number, if_none_match=not there, if_match=etag)
        except PreconditionFailed:
            return False
        return True

    won = await asyncio.gather(*(race(number) for number in range(RACERS)))
    assert sum(won) == 1
    assert (await place.objects.get("key"))[0] == b"racer %d" % won.index(True)


# ---- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [SOURCE, "t/acme/v/vid_1/stage/asr/0/b/1/audio"])
async def test_a_large_object_is_downloaded_whole(place: Place, tmp_path: Path, key: str) -> None:
    body = Random(7).randbytes(20 * MIB + 1)
    put = await place.objects.put(key, body, content_type=CONTENT_TYPE)
    for name in ("first", "second"):
        assert await place.objects.download(key, tmp_path / name, if_match=put.etag) == put
        assert sha256((tmp_path / name).read_bytes()) == sha256(body)


async def test_download_without_a_condition(place: Place, tmp_path: Path) -> None:
    put = await place.objects.put(SOURCE, b"film")
    assert await place.objects.download(SOURCE, tmp_path / "film") == put
    assert (tmp_path / "film").read_bytes() == b"film"


async def test_download_replaces_a_file(place: Place, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "film").write_bytes(b"old")
    for body in (b"1", b"1", b"2"):
        put = await place.objects.put(SOURCE, body)
        await place.objects.download(SOURCE, work / "film", if_match=put.etag)
        assert (work / "film").read_bytes() == body
    assert [path.name for path in work.iterdir()] == ["film"]


@pytest.mark.parametrize("key", [SOURCE, "other"])
async def test_a_download_that_fails_leaves_files_as_they_were(place: Place, tmp_path: Path, key: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "film").write_bytes(b"old")
    seen = await place.objects.put(key, b"1")
    await place.objects.put(key, b"2")
    with pytest.raises(PreconditionFailed):
        await place.objects.download(key, work / "film", if_match=seen.etag)
    await place.objects.purge(key)
    with pytest.raises(NotFound):
        await place.objects.download(key, work / "film", if_match=seen.etag)
    assert [path.name for path in work.iterdir()] == ["film"]
    assert (work / "film").read_bytes() == b"old"


async def test_what_is_gone_is_not_downloaded_again(place: Place, tmp_path: Path) -> None:
    put = await place.objects.put(SOURCE, b"film")
    await place.objects.download(SOURCE, tmp_path / "film", if_match=put.etag)
    await place.objects.purge("t/acme/v/vid_1/")
    with pytest.raises(NotFound):
        await place.objects.download(SOURCE, tmp_path / "again", if_match=put.etag)


async def test_upload(place: Place, tmp_path: Path) -> None:
    body = Random(8).randbytes(3 * MIB)
    (tmp_path / "file").write_bytes(body)
    info = await place.objects.upload(tmp_path / "file", "key", content_type="image/jpeg")
    assert (info.size_bytes, info.content_type) == (len(body), "image/jpeg")
    assert await place.objects.get("key") == (body, info)


# ---- many objects -----------------------------------------------------------------------------------


async def test_list_more_than_a_page_in_order_and_purge_all(place: Place) -> None:
    keys = [f"many/{number:04d}" for number in range(1003)]
    shuffled = Random(3).sample(keys, len(keys))
    await asyncio.gather(*(place.objects.put(key, b"") for key in (*shuffled, "other")))
    assert await place.keys("many/") == keys
    assert await place.objects.purge("many/") == len(keys)
    assert await place.keys() == ["other"]


async def test_list_by_prefix_in_order_of_bytes(place: Place) -> None:
    keys = ["a/B", "a/b-c", "a/b.c", "a/b/c", "a/b/d/e", "a/b0", "a/b_c", "a/bc", "a0", "b/c"]
    await asyncio.gather(*(place.objects.put(key, b"12") for key in reversed(keys)))
    assert await place.keys() == sorted(keys)
    assert await place.keys("a/b") == sorted(key for key in keys if key.startswith("a/b"))
    assert await place.keys("a/b/") == ["a/b/c", "a/b/d/e"]
    assert await place.keys("none") == []
    (listed,) = [info async for info in place.objects.list("b/")]
    head = await place.objects.head("b/c")
    assert head is not None
    assert listed == ObjectInfo("b/c", 2, head.etag)


async def test_what_was_purged_may_come_again_as_if_it_had_never_been(place: Place) -> None:
    await place.objects.put("key", b"1")
    await place.objects.purge("key")
    with pytest.raises(NotFound):
        await place.objects.get("key")
    assert await place.send(await place.put_url("key", b"2"), b"2") == 200
    await place.objects.purge("key")
    await place.objects.put("key", b"3", if_none_match=True)
    assert (await place.objects.get("key"))[0] == b"3"


async def test_purge_takes_versions_and_open_uploads(place: Place) -> None:
    for key in ("p/a", "p/b", "p2/a"):
        await place.objects.put(key, b"1")
        await place.objects.put(key, b"2")
    multipart_id = await place.objects.create_multipart("p/c", content_type=CONTENT_TYPE)
    other_id = await place.objects.create_multipart("p2/c", content_type=CONTENT_TYPE)
    assert await place.objects.purge("p/") == 4
    assert await place.objects.purge("p/") == 0
    assert await place.keys() == ["p2/a"]
    with pytest.raises(NotFound):
        await place.objects.list_parts("p/c", multipart_id)
    assert await place.objects.list_parts("p2/c", other_id) == []


# ---- keys -------------------------------------------------------------------------------------------

BAD_KEYS = ("", "/a", "a/", "a//b", "a/./b", "../a", "김치", "a b", "a\n", "x" * (MAX_PART_BYTES + 1), "x/" * 512 + "x")


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_keys_that_some_store_would_not_take_are_refused(place: Place, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_bytes(b"1")
    for call in (
        place.objects.put(key, b"1"),
        place.objects.upload(tmp_path / "file", key),
        place.put_url(key, b"1"),
        place.objects.create_multipart(key, content_type=CONTENT_TYPE),
    ):
        with pytest.raises(Internal):
            await call
    assert await place.keys() == []


@pytest.mark.parametrize(
    "key", ["n" * MAX_PART_BYTES, ("d" * 203 + "/") * 5 + "last", "!$&'()*+,-.:;=@_~", 'a%2Fb?c#d"e\\f<g>'],
    ids=["part", "whole", "signs", "escapes"],
)  # fmt: skip
async def test_the_longest_and_oddest_keys(place: Place, key: str) -> None:
    assert len(key) <= MAX_KEY_BYTES
    await place.objects.put(key, b"1")
    await place.objects.put(key, b"2")
    assert await place.keys() == [key]
    assert (await place.objects.get(key))[0] == b"2"
    assert await place.send(await place.objects.sign_get(key, ttl_s=60)) == 200
    assert await place.objects.purge(key) == 2


# ---- signed URLs ------------------------------------------------------------------------------------


async def test_a_signed_get(place: Place) -> None:
    await place.objects.put("key", b"1")
    signed = await place.objects.sign_get("key", ttl_s=60, content_type="video/mp4")
    assert signed.method == "GET"
    assert await place.send(signed) == 200
    assert await place.send(await place.objects.sign_get("none", ttl_s=60)) == 404


async def test_a_signed_put_works_once(place: Place) -> None:
    signed = await place.put_url("key", b"film")
    assert signed.method == "PUT"
    assert await place.send(signed, b"film") == 200
    assert await place.send(signed, b"film") == 412
    body, info = await place.objects.get("key")
    assert (body, info.content_type) == (b"film", CONTENT_TYPE)


async def test_a_signed_put_does_not_replace(place: Place) -> None:
    await place.objects.put("key", b"mine")
    assert await place.send(await place.put_url("key", b"film"), b"film") == 412
    assert (await place.objects.get("key"))[0] == b"mine"


async def test_a_signed_put_takes_only_what_was_declared(place: Place) -> None:
    signed = await place.put_url("key", b"film")
    other = await place.put_url("other", b"five!")
    assert await place.send(signed, b"films", content_length="5") == 403
    assert await place.send(signed, b"film", content_type="text/html") == 403
    assert await place.send(signed, b"film", if_none_match=None) == 403
    assert await place.send(signed, b"tape", x_amz_checksum_sha256=other.headers["x-amz-checksum-sha256"]) == 403
    assert await place.send(signed, b"film", x_amz_checksum_sha256=None) == 403
    assert await place.send(signed, b"tape") == 400
    assert await place.keys() == []


async def test_tampered_urls_are_refused(place: Place) -> None:
    await place.objects.put("mine", b"1")
    await place.objects.put("yours", b"2")
    read = await place.objects.sign_get("mine", ttl_s=60)
    write = await place.put_url("fresh", b"film")
    assert await place.send(read, url=read.url.replace("mine", "yours")) == 403
    assert await place.send(read, url=f"{read.url}0") == 403
    assert await place.send(read, method="PUT") == 403
    assert await place.send(write, b"film", url=write.url.replace("fresh", "other")) == 403
    assert await place.send(write, b"film", method="GET") == 403
    assert await place.keys() == ["mine", "yours"]


async def test_expired_urls_are_refused(place: Place) -> None:
    await place.objects.put("key", b"1")
    write = await place.put_url("other", b"film", ttl_s=1)
    read = await place.objects.sign_get("key", ttl_s=1)  # expires no earlier than the other
    async with asyncio.timeout(60):
        while await place.send(read) != 403:  # noqa: ASYNC110  # the store's clock decides
            await asyncio.sleep(0.1)
    assert await place.send(write, b"film") == 403
    assert await place.keys() == ["key"]


# ---- multipart --------------------------------------------------------------------------------------


async def test_parts_are_joined_in_order(place: Place) -> None:
    first, last = Random(1).randbytes(PART_BYTES), b"last"
    multipart_id = await place.objects.create_multipart("key", content_type=CONTENT_TYPE)
    assert await place.objects.list_parts("key", multipart_id) == []
    assert await place.put_part("key", multipart_id, 2, last) == 200
    assert await place.put_part("key", multipart_id, 1, first) == 200
    parts = await place.objects.list_parts("key", multipart_id)
    assert [(part.number, part.size_bytes) for part in parts] == [(1, PART_BYTES), (2, 4)]
    assert await place.objects.head("key") is None

    info = await place.objects.complete_multipart("key", multipart_id, parts)
    assert (info.size_bytes, info.content_type) == (PART_BYTES + 4, CONTENT_TYPE)
    assert await place.objects.get("key", if_match=info.etag) == (first + last, info)


async def test_a_multipart_is_completed_once(place: Place) -> None:
    multipart_id = await place.objects.create_multipart("key", content_type=CONTENT_TYPE)
    await place.put_part("key", multipart_id, 1, b"only")
    parts = await place.objects.list_parts("key", multipart_id)
    await place.objects.complete_multipart("key", multipart_id, parts)
    with pytest.raises(NotFound):
        await place.objects.complete_multipart("key", multipart_id, parts)
    with pytest.raises(NotFound):
        await place.objects.list_parts("key", multipart_id)
    await place.objects.abort_multipart("key", multipart_id)
    assert (await place.objects.get("key"))[0] == b"only"


@pytest.mark.parametrize("checked", [True, False], ids=["with-checksums", "without"])
async def test_a_part_may_be_sent_again(place: Place, checked: bool) -> None:  # noqa: FBT001  # a parameter of the test
    multipart_id = await place.objects.create_multipart("key", content_type=CONTENT_TYPE, checksums=checked)
    assert await place.put_part("key", multipart_id, 1, b"draft", checked=checked) == 200
    assert await place.put_part("key", multipart_id, 1, b"final cut", checked=checked) == 200
    parts = await place.objects.list_parts("key", multipart_id)
    assert [(part.number, part.size_bytes) for part in parts] == [(1, 9)]
    await place.objects.complete_multipart("key", multipart_id, parts)
    assert (await place.objects.get("key"))[0] == b"final cut"


async def test_a_part_takes_only_what_was_declared(place: Place) -> None:
    multipart_id = await place.objects.create_multipart("key", content_type=CONTENT_TYPE)
    signed = await place.objects.sign_part("key", multipart_id, 1, ttl_s=60, size_bytes=4, sha256_hex=sha256(b"film"))
    assert signed.method == "PUT"
    assert await place.send(signed, b"films", content_length="5") == 403
    assert await place.send(signed, b"film", x_amz_checksum_sha256=None) == 403
    assert await place.send(signed, b"tape") == 400
    assert await place.put_part("key", multipart_id, 1, b"film", checked=False) == 400
    assert await place.send(signed, b"film", url=signed.url.replace("partNumber=1", "partNumber=2")) == 403
    assert await place.objects.list_parts("key", multipart_id) == []


async def test_parts_other_than_those_received_are_not_joined(place: Place) -> None:
    multipart_id = await place.objects.create_multipart("key", content_type=CONTENT_TYPE)
    await place.put_part("key", multipart_id, 1, b"only")
    (received,) = await place.objects.list_parts("key", multipart_id)
    for wrong in ([Part(1, "0" * 32, 4)], [received, Part(2, received.etag, 4)]):
        with pytest.raises(PreconditionFailed):
            await place.objects.complete_multipart("key", multipart_id, wrong)
    assert await place.objects.head("key") is None
    await place.objects.complete_multipart("key", multipart_id, [received])


async def test_an_aborted_multipart_is_gone(place: Place) -> None:
    multipart_id = await place.objects.create_multipart("key", content_type=CONTENT_TYPE)
    await place.put_part("key", multipart_id, 1, b"only")
    parts = await place.objects.list_parts("key", multipart_id)
    for _ in range(2):
        await place.objects.abort_multipart("key", multipart_id)
    with pytest.raises(NotFound):
        await place.objects.list_parts("key", multipart_id)
    with pytest.raises(NotFound):
        await place.objects.complete_multipart("key", multipart_id, parts)
    assert await place.put_part("key", multipart_id, 1, b"late") == 404
    assert await place.keys() == []
