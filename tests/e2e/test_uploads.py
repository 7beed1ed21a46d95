"""Uploads on the real stack: every way in which bytes do not become a video, and how each goes on."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import random
import struct
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from adapters.objects.s3 import S3Connection, S3Endpoint, S3Objects
from contracts import ids
from heimdex.cli.library import error_info
from heimdex.client import (
    AlreadyExists,
    AsyncClient,
    Client,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    errors,
)
from heimdex.upload.v1 import upload_service_pb2 as pb
from heimdex.upload.v1.upload_service_pb2_grpc import UploadServiceStub
from heimdex.video.v1 import video_pb2
from tests.e2e.stores import leftovers
from tests.media import make
from tests.stack import Stack, eventually, finished, outcomes

pytestmark = pytest.mark.e2e

MIB = 1 << 20
PART = 16 * MIB


@dataclass(frozen=True)
class Api:
    """The upload service as its stubs have it, for one tenant; failures are the SDK's errors."""

    stub: UploadServiceStub
    token: str

    def create(self, body: bytes, **fields: object) -> pb.Upload:
        """Open the upload of a video."""
        wanted: dict[str, object] = {
            "purpose": pb.UPLOAD_PURPOSE_VIDEO,
            "size_bytes": len(body),
            "content_type": "video/mp4",
            "sha256": digest(body),
            "file_name": "film.mp4",
            "request_id": str(uuid.uuid4()),
        }
        request = pb.CreateUploadRequest(**(wanted | fields))  # type: ignore[arg-type]
        upload: pb.Upload = self.call(self.stub.CreateUpload, request).upload
        return upload

    def get(self, upload_id: str) -> pb.Upload:
        """Return an upload."""
        upload: pb.Upload = self.call(self.stub.GetUpload, pb.GetUploadRequest(upload_id=upload_id)).upload
        return upload

    def urls(self, upload_id: str) -> pb.Upload:
        """Sign its URLs again."""
        request = pb.CreateUploadPartUrlsRequest(upload_id=upload_id)
        upload: pb.Upload = self.call(self.stub.CreateUploadPartUrls, request).upload
        return upload

    def complete(self, upload_id: str) -> pb.CompleteUploadResponse:
        """Complete an upload."""
        request = pb.CompleteUploadRequest(upload_id=upload_id, request_id=str(uuid.uuid4()))
        done: pb.CompleteUploadResponse = self.call(self.stub.CompleteUpload, request)
        return done

    def abort(self, upload_id: str) -> pb.Upload:
        """Drop an upload."""
        request = pb.AbortUploadRequest(upload_id=upload_id, request_id=str(uuid.uuid4()))
        upload: pb.Upload = self.call(self.stub.AbortUpload, request).upload
        return upload

    def call(self, method: Callable[..., Any], request: Message) -> Any:
        """Make a call."""
        try:
            return method(request, metadata=(("authorization", f"Bearer {self.token}"),), timeout=60)
        except grpc.RpcError as error:
            raise errors.from_rpc(error) from error


@pytest.fixture
def api(stack: Stack, tenant: str) -> Iterator[Api]:
    with grpc.insecure_channel(stack.endpoint) as channel:
        yield Api(UploadServiceStub(channel), stack.token(tenant))


@pytest.fixture
def objects(stack: Stack) -> Iterator[S3Objects]:
    """The bucket, as who holds its keys has it."""
    env = stack.environment()
    url = env["HEIMDEX_S3_ENDPOINT"]
    keys = env["HEIMDEX_S3_ACCESS_KEY"], env["HEIMDEX_S3_SECRET_KEY"]
    connection = S3Connection(S3Endpoint(url, url, env["HEIMDEX_S3_REGION"], *keys))
    yield connection.bucket(env["HEIMDEX_S3_BUCKET"])
    connection.close()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A short video unlike any other."""
    return make.make_video(tmp_path / "film.mp4", [(make.card(random.SystemRandom().getrandbits(32)), 1.0)])


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video that takes four parts and a bit: behind it comes what players skip."""
    path = make.make_video(tmp_path_factory.mktemp("films") / "long.mp4", [(make.card(77), 2.0), (make.card(78), 2.0)])
    size = 4 * PART + MIB
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", size, b"free"))
        file.truncate(file.tell() - 8 + size)
    return path


def digest(body: bytes) -> str:
    """Return its SHA-256 as uploads declare it."""
    return hashlib.sha256(body).hexdigest()


def put(request: pb.SignedRequest, body: bytes, **instead: str) -> tuple[int, str]:
    """PUT as any HTTP client does, with headers of ours ``instead`` of signed ones; return status and answer."""
    url = urllib.parse.urlsplit(request.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    headers = dict(request.headers) | {name.replace("_", "-"): value for name, value in instead.items()}
    try:
        connection.request(request.method, f"{url.path}?{url.query}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def rest_incomplete(api: Api, upload: pb.Upload) -> None:
    """Show that nothing has arrived."""
    with pytest.raises(FailedPrecondition) as caught:
        api.complete(upload.upload_id)
    assert caught.value.reason == "UPLOAD_INCOMPLETE"


# ------------------------------------------------------------------------------------- what was declared


def test_the_url_takes_no_other_size(api: Api, film: Path) -> None:
    body = film.read_bytes()
    opened = api.create(body, size_bytes=len(body) + 1)
    assert put(opened.request, body, **{"Content-Length": str(len(body))})[0] == 403
    rest_incomplete(api, opened)


def test_bytes_of_another_size_are_refused_at_completion(
    api: Api, client: Client, objects: S3Objects, tenant: str, film: Path
) -> None:
    body = film.read_bytes()
    opened = api.create(body)
    asyncio.run(_store(objects, ids.source_key(tenant, opened.video_id), body[:-1]))  # past the URL
    with pytest.raises(FailedPrecondition) as caught:
        api.complete(opened.upload_id)
    assert caught.value.reason == "SIZE_MISMATCH"
    assert caught.value.metadata == {"declared_bytes": str(len(body)), "actual_bytes": str(len(body) - 1)}
    assert api.get(opened.upload_id).state == pb.UPLOAD_STATE_OPEN, "the right bytes may still come"
    assert put(opened.request, body)[0] == 200
    api.complete(opened.upload_id)
    assert finished(client, opened.video_id).state == video_pb2.VIDEO_STATE_INDEXED


async def _store(objects: S3Objects, key: str, body: bytes) -> None:
    await objects.put(key, body)


def test_a_single_put_takes_no_other_bytes(api: Api, film: Path) -> None:
    body = film.read_bytes()
    opened = api.create(body)
    other = bytes(len(body))
    assert put(opened.request, other)[0] == 400, "not what the digest says"
    header = {"X-Amz-Checksum-Sha256": "A" * 43 + "="}
    assert put(opened.request, other, **header)[0] == 403, "not what was signed"
    rest_incomplete(api, opened)


def test_a_part_takes_no_other_bytes(api: Api) -> None:
    body = random.Random(1).randbytes(PART + MIB)
    opened = api.create(body, part_sha256=[digest(body[:PART]), digest(body[PART:])])
    assert put(opened.parts[1].request, bytes(MIB))[0] == 400
    assert not any(part.received for part in api.get(opened.upload_id).parts)
    assert put(opened.parts[1].request, body[PART:])[0] == 200
    assert [part.received for part in api.get(opened.upload_id).parts] == [False, True]
    rest_incomplete(api, opened)
    assert api.abort(opened.upload_id).state == pb.UPLOAD_STATE_ABORTED


def test_a_whole_that_is_not_the_declared_one_is_rejected(api: Api, client: Client) -> None:
    body = random.Random(2).randbytes(PART + MIB)
    opened = api.create(body, sha256=digest(b"something else"))  # without part digests S3 takes any bytes
    for part in opened.parts:
        assert put(part.request, body[part.offset_bytes :][: part.size_bytes])[0] == 200
    assert api.complete(opened.upload_id).video.state == video_pb2.VIDEO_STATE_VALIDATING
    video = finished(client, opened.video_id)
    assert video.state == video_pb2.VIDEO_STATE_FAILED
    assert outcomes(video)["validate"] == "rejected"
    assert error_info(video).reason == "DIGEST_MISMATCH"


def test_a_video_over_the_limit_is_not_opened(api: Api) -> None:
    with pytest.raises(InvalidArgument) as caught:
        api.create(b"", size_bytes=(1 << 30) + 1)
    assert (caught.value.reason, caught.value.metadata["limit_bytes"]) == ("TOO_LARGE", str(1 << 30))


# ------------------------------------------------------------------------------------------ when, and who


def test_completed_before_the_bytes_then_with_them_then_again(api: Api, client: Client, film: Path) -> None:
    body = film.read_bytes()
    opened = api.create(body)
    rest_incomplete(api, opened)
    assert put(opened.request, body)[0] == 200
    first = api.complete(opened.upload_id)
    again = api.complete(opened.upload_id)
    assert first.upload.state == again.upload.state == pb.UPLOAD_STATE_COMPLETED
    assert first.video.video_id == again.video.video_id == opened.video_id
    video = finished(client, opened.video_id)
    assert video.state == video_pb2.VIDEO_STATE_INDEXED
    assert video.revision == 1, "processed once"
    assert api.complete(opened.upload_id).video.state == video_pb2.VIDEO_STATE_INDEXED


def test_bytes_cannot_be_replaced(api: Api, client: Client, film: Path) -> None:
    body = film.read_bytes()
    opened = api.create(body)
    assert put(opened.request, body)[0] == 200
    assert put(opened.request, body)[0] == 412
    api.complete(opened.upload_id)
    assert put(opened.request, body)[0] == 412, "nor after completion"
    assert finished(client, opened.video_id).state == video_pb2.VIDEO_STATE_INDEXED


def test_another_tenant_knows_nothing_of_an_upload(stack: Stack, api: Api, film: Path) -> None:
    opened = api.create(film.read_bytes())
    assert put(opened.request, film.read_bytes())[0] == 200
    stranger = Api(api.stub, stack.token(f"t-{uuid.uuid4().hex[:12]}"))
    for call in (stranger.get, stranger.urls, stranger.complete, stranger.abort):
        with pytest.raises(NotFound):
            call(opened.upload_id)
    assert api.get(opened.upload_id).state == pb.UPLOAD_STATE_OPEN
    assert api.complete(opened.upload_id).upload.state == pb.UPLOAD_STATE_COMPLETED


def test_a_request_id_is_for_one_content(api: Api) -> None:
    request_id = str(uuid.uuid4())
    first = api.create(b"first", request_id=request_id)
    assert api.create(b"first", request_id=request_id).upload_id == first.upload_id
    with pytest.raises(AlreadyExists) as caught:
        api.create(b"other", request_id=request_id)
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_an_aborted_upload_leaves_nothing(stack: Stack, api: Api, client: Client, tenant: str, film: Path) -> None:
    body = film.read_bytes()
    opened = api.create(body)
    assert put(opened.request, body)[0] == 200
    assert leftovers(stack, tenant, opened.video_id)
    for _ in range(2):
        assert api.abort(opened.upload_id).state == pb.UPLOAD_STATE_ABORTED
    assert leftovers(stack, tenant, opened.video_id) == {}
    for call in (api.complete, api.urls):
        with pytest.raises(FailedPrecondition) as caught:
            call(opened.upload_id)
        assert caught.value.reason == "UPLOAD_CLOSED"
    assert client.get_video(opened.video_id).state == video_pb2.VIDEO_STATE_ABORTED
    assert finished(client, client.upload(film).video_id).state == video_pb2.VIDEO_STATE_INDEXED, "it may come again"


# ---------------------------------------------------------------------------------------- broken transfers


class Broken(Exception):
    """The network, or whoever pressed Ctrl-C."""


def test_a_broken_upload_goes_on_where_it_was(api: Api, client: Client, long_film: Path) -> None:
    at_once = 3 * PART  # three parts are sent together: with more than that, one of them has arrived

    def breaks(sent: int, _total: int) -> None:
        if sent > at_once:
            raise Broken

    with pytest.raises(Broken):
        client.upload(long_film, progress=breaks)
    shown: list[tuple[int, int]] = []
    done = client.upload(long_film, progress=lambda sent, total: shown.append((sent, total)))
    assert not done.already_there
    assert shown[0][0] >= PART, "what has arrived is not sent again"
    assert shown[-1] == (long_film.stat().st_size,) * 2
    assert api.get(done.upload_id).state == pb.UPLOAD_STATE_COMPLETED
    assert [v.video_id for v in client.list_videos()] == [done.video_id], "it is the same upload"
    video = finished(client, done.video_id)
    assert video.state == video_pb2.VIDEO_STATE_INDEXED, video.error.message
    assert video.scene_count == 2


async def test_an_expired_url_is_replaced_by_the_sdk(
    stack: Stack, api: Api, objects: S3Objects, tenant: str, film: Path
) -> None:
    """The gateway signs for a quarter of an hour; this URL has its very key and form, signed for a second."""
    body = await asyncio.to_thread(film.read_bytes)
    opened = api.create(body)
    signed = await objects.sign_put(
        ids.source_key(tenant, opened.video_id), ttl_s=1, size_bytes=len(body), sha256_hex=opened.sha256,
        content_type=opened.content_type,
    )  # fmt: skip
    eventually(lambda: time.time() * 1000 > signed.expires_at_ms + 1000, "the URL is too old")
    opened.request.url = signed.url
    status, answer = put(opened.request, body)
    assert (status, "expired" in answer) == (403, True)
    async with AsyncClient(stack.endpoint, stack.token(tenant), insecure=True) as client:
        await client._transfer(opened, film, None)
    assert api.complete(opened.upload_id).upload.state == pb.UPLOAD_STATE_COMPLETED


def test_a_message_that_is_too_large_is_a_typed_error(client: Client) -> None:
    """It is refused before any code of the gateway runs, so the SDK has to know."""
    large = "a" * (5 * MIB)
    for call in (lambda: list(client.search(large)), lambda: client.get_video(large)):
        with pytest.raises(ResourceExhausted) as caught:
            call()
        assert caught.value.reason == "MESSAGE_TOO_LARGE"
        assert caught.value.retry_after_s is None
    assert list(client.list_videos()) == []
