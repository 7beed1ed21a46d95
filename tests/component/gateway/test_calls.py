"""What surrounds every call: errors and their details, identity, limits, slow readers, health, the end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs

from contracts import codec, errors
from contracts.errors import FieldViolation
from gateway.interceptors.admission import Admission
from gateway.interceptors.auth import Auth
from gateway.interceptors.deadline import Deadline
from gateway.interceptors.errors import Errors
from gateway.server import Service, interceptors
from gateway.tokens import KeyFile
from heimdex.client import errors as client_errors
from heimdex.events.v1 import events_pb2
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from heimdex.video.v1 import video_service_pb2 as pb
from heimdex.video.v1.video_service_pb2_grpc import VideoServiceServicer, add_VideoServiceServicer_to_server
from tests.component.gateway.door import AUDIENCE, CLOCK, ISSUER, Door, Signer, open_door, refusal, refused

VIDEO_ID = "vid_00000000000000000000000000"


class Scripted(VideoServiceServicer):
    """Does what a test says."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.wait = asyncio.Event()
        self.entered = asyncio.Event()
        self.closed = asyncio.Event()
        self.frame = pb.WatchVideoResponse(sequence=1)
        self._inside = 0
        self._moved = asyncio.Condition()

    async def inside(self, count: int) -> None:
        """Wait until so many calls of GetVideo are under way."""
        async with asyncio.timeout(5), self._moved:
            await self._moved.wait_for(lambda: self._inside == count)

    async def GetVideo(self, request: Any, context: Any) -> pb.GetVideoResponse:
        self.entered.set()
        if self.error is not None:
            raise self.error
        async with self._moved:
            self._inside += 1
            self._moved.notify_all()
        await self.wait.wait()
        return pb.GetVideoResponse()

    async def ListVideos(self, request: Any, context: Any) -> pb.ListVideosResponse:
        await context.abort(grpc.StatusCode.DATA_LOSS, "an abort of its own")
        raise AssertionError("unreachable")

    async def WatchVideo(self, request: Any, context: Any) -> AsyncIterator[pb.WatchVideoResponse]:
        try:
            for _ in range(2):
                yield self.frame
            if self.error is not None:
                raise self.error
            while True:
                self.entered.set()
                yield self.frame
                await asyncio.sleep(0)
        finally:
            self.closed.set()


@pytest.fixture
def script() -> Scripted:
    return Scripted()  # type: ignore[abstract]  # no test calls the other methods


@pytest.fixture
async def scripted(tmp_path: Path, script: Scripted) -> AsyncIterator[Door]:
    service = Service("heimdex.video.v1.VideoService", add_VideoServiceServicer_to_server, script)
    async with open_door(tmp_path, services=[service]) as opened:
        yield opened


_INVALID = errors.InvalidRequest(FieldViolation("filter.video_ids[0]", "is no id"), FieldViolation("query", "is empty"))
TREE = [
    (_INVALID, "INVALID_ARGUMENT", "INVALID_FIELD", {"BadRequest"}),
    (errors.Unauthenticated("no"), "UNAUTHENTICATED", "INVALID_TOKEN", set()),
    (errors.PermissionDenied("no"), "PERMISSION_DENIED", "PERMISSION_DENIED", set()),
    (errors.NotFound("video", VIDEO_ID), "NOT_FOUND", "NOT_FOUND", {"ResourceInfo"}),
    (errors.AlreadyExists("video", VIDEO_ID, "there"), "ALREADY_EXISTS", "ALREADY_EXISTS", {"ResourceInfo"}),
    (errors.PreconditionFailed("no"), "FAILED_PRECONDITION", "VIDEO_STATE", {"PreconditionFailure"}),
    (errors.LimitExceeded("full"), "RESOURCE_EXHAUSTED", "OVERLOADED", {"QuotaFailure", "RetryInfo"}),
    (
        errors.LimitExceeded("used up", reason="QUOTA_EXCEEDED"),
        "RESOURCE_EXHAUSTED",
        "QUOTA_EXCEEDED",
        {"QuotaFailure"},
    ),
    (errors.DependencyUnavailable("milvus", "away"), "UNAVAILABLE", "DEPENDENCY_UNAVAILABLE", {"RetryInfo"}),
    (errors.ModelUnavailable("inference", "away"), "UNAVAILABLE", "MODEL_UNAVAILABLE", {"RetryInfo"}),
    (errors.Rejected("NOT_A_VIDEO", "no video"), "INVALID_ARGUMENT", "NOT_A_VIDEO", set()),
    (errors.Erased("gone"), "NOT_FOUND", "NOT_FOUND", set()),
    (errors.Internal("secret text"), "INTERNAL", "INTERNAL", set()),
    (errors.BadArtifact("secret text"), "INTERNAL", "INTERNAL", set()),
    (ZeroDivisionError("secret text"), "INTERNAL", "INTERNAL", set()),
]


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("case", TREE, ids=[type(e[0]).__name__ for e in TREE])
async def test_every_error_is_a_status(
    scripted: Door, script: Scripted, case: tuple[Exception, str, str, set[str]], *, streams: bool
) -> None:
    error, code, reason, details = case
    script.error = error
    frames = 0
    call: Any
    try:
        if streams:
            async for _ in scripted.videos.WatchVideo(pb.WatchVideoRequest(), metadata=scripted.auth()):
                frames += 1
        else:
            await scripted.videos.GetVideo(pb.GetVideoRequest(), metadata=scripted.auth())
        raise AssertionError("not refused")
    except grpc.aio.AioRpcError as failed:
        call = refusal(failed)
        typed = client_errors.from_rpc(failed)
    assert (call.code.name, call.reason, call.details.keys()) == (code, reason, details)
    assert frames == (2 if streams else 0)
    assert "secret" not in call.message
    assert (typed.reason, typed.retry_after_s) == (reason, 1.0 if "RetryInfo" in details else None)  # the SDK reads it
    if streams:
        assert script.closed.is_set()


async def test_field_violations_and_metadata_arrive(scripted: Door, script: Scripted) -> None:
    script.error = _INVALID
    said = await refused(scripted.videos.GetVideo(pb.GetVideoRequest(), metadata=scripted.auth()))
    fields = [(v.field, v.description) for v in said.details["BadRequest"].field_violations]
    assert fields == [("filter.video_ids[0]", "is no id"), ("query", "is empty")]
    script.error = errors.DependencyUnavailable("milvus", "away", retry_after_s=2.5)
    said = await refused(scripted.videos.GetVideo(pb.GetVideoRequest(), metadata=scripted.auth()))
    assert said.metadata == {"dependency": "milvus"}
    assert said.details["RetryInfo"].retry_delay.ToMilliseconds() == 2500
    script.error = errors.AlreadyExists("video", VIDEO_ID, "there")
    said = await refused(scripted.videos.GetVideo(pb.GetVideoRequest(), metadata=scripted.auth()))
    assert said.metadata == {"video_id": VIDEO_ID}
    assert said.details["ResourceInfo"].resource_type == "heimdex/video"


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x7fabc", b"\x0a\x03\xed\xa0\x80"], ids=["tag", "end", "UTF-8"])
@pytest.mark.parametrize("method", ["GetVideo", "WatchVideo"])
async def test_bytes_that_are_no_message_are_the_callers_fault(scripted: Door, method: str, body: bytes) -> None:
    path = f"/heimdex.video.v1.VideoService/{method}"
    raw: Any = (scripted.channel.unary_stream if method == "WatchVideo" else scripted.channel.unary_unary)(path)
    with capture_logs() as lines:
        said = await refused(raw(body, metadata=scripted.auth()))
        stranger = await refused(raw(body))
    assert (said.code, said.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [violation.field for violation in said.details["BadRequest"].field_violations] == ["request"]
    assert stranger.code == grpc.StatusCode.UNAUTHENTICATED
    assert [line for line in lines if line["log_level"] == "error"] == []


async def test_a_defect_is_in_the_log_under_the_trace_of_the_caller(scripted: Door, script: Scripted) -> None:
    script.error = ZeroDivisionError("secret text")
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    metadata = (*scripted.auth(), ("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"))
    with capture_logs() as lines:
        said = await refused(scripted.videos.GetVideo(pb.GetVideoRequest(), metadata=metadata))
    assert said.metadata == {"trace_id": trace_id}
    assert [(line["event"], line["error_type"]) for line in lines] == [("call failed", "ZeroDivisionError")]
    assert lines[0]["exc_info"]


async def test_a_call_is_a_span_that_its_work_goes_on_from(tmp_path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with open_door(tmp_path, around=lambda verifier: interceptors(verifier, tracer, CLOCK)) as door:
        opened = await door.create(b"film")
        await door.put(opened.request, b"film")
        request = upload_pb2.CompleteUploadRequest(upload_id=opened.upload_id, request_id="r")
        metadata = (*door.auth(), ("traceparent", f"00-{trace_id}-{parent}-01"))
        await door.uploads.CompleteUpload(request, metadata=metadata)
        await refused(door.videos.GetVideo(pb.GetVideoRequest(video_id=VIDEO_ID), metadata=door.auth()))
        (row,) = await door.catalog.pending()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    completed = spans["heimdex.upload.v1.UploadService/CompleteUpload"]
    assert completed.context is not None
    assert completed.parent is not None
    assert f"{completed.parent.span_id:016x}" == parent
    assert completed.kind is SpanKind.SERVER
    assert dict(completed.attributes or {})["rpc.response.status_code"] == "OK"
    event = codec.decode(row.record)
    assert isinstance(event, events_pb2.VideoUploaded)
    assert event.context.root_traceparent == f"00-{trace_id}-{completed.context.span_id:016x}-01"
    failed = spans["heimdex.video.v1.VideoService/GetVideo"]
    assert failed.parent is None
    assert dict(failed.attributes or {})["rpc.response.status_code"] == "NOT_FOUND"


async def test_an_abort_of_a_servicer_passes(scripted: Door) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await scripted.videos.ListVideos(pb.ListVideosRequest(), metadata=scripted.auth())
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.DATA_LOSS, "an abort of its own")


async def test_a_method_that_nobody_serves_is_unimplemented(scripted: Door) -> None:
    call: Any = scripted.channel.unary_unary("/heimdex.video.v1.VideoService/Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(b"", metadata=scripted.auth())
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_cancelled_call_ends_its_handler_and_logs_nothing(
    scripted: Door, script: Scripted, *, streams: bool
) -> None:
    call: Any
    waiting: list[asyncio.Future[None]] = []
    with capture_logs() as lines:
        if streams:
            call = scripted.videos.WatchVideo(pb.WatchVideoRequest(), metadata=scripted.auth())
            await call.read()
        else:
            call = scripted.videos.GetVideo(pb.GetVideoRequest(), metadata=scripted.auth())
            waiting.append(asyncio.ensure_future(_swallow(call)))
        async with asyncio.timeout(5):
            await script.entered.wait()
            call.cancel()
            if streams:
                await script.closed.wait()
            await asyncio.gather(*waiting)
        script.wait.set()
        script.error = errors.NotFound("video", "x")  # and the door is not shut
        assert (await refused(scripted.videos.GetVideo(pb.GetVideoRequest(), metadata=scripted.auth()))).reason
    assert [line for line in lines if line["log_level"] == "error"] == []


# ---- identity -------------------------------------------------------------------------------------------


def headers(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def test_calls_without_a_good_token_end_at_the_door(door: Door, tmp_path: Path) -> None:
    signer = door.signer
    stranger = Signer(tmp_path / "stranger.json")
    head, body, signature = signer.token().split(".")
    forged = jwt.encode(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "tenant_id": "team", "exp": time.time() + 60}, "k" * 64
    )
    cases: list[tuple[tuple[tuple[str, str], ...], str, str]] = [
        ((), "INVALID_TOKEN", "MISSING"),
        ((("authorization", "Basic abc"),), "INVALID_TOKEN", "MALFORMED"),
        (headers("abc"), "INVALID_TOKEN", "MALFORMED"),
        (headers(""), "INVALID_TOKEN", "MALFORMED"),
        (headers(f"{head}.{_other_tenant(body)}.{signature}"), "INVALID_TOKEN", "BAD_SIGNATURE"),
        (headers(stranger.token()), "INVALID_TOKEN", "BAD_SIGNATURE"),  # the same key id, another key
        (headers(forged), "INVALID_TOKEN", "WRONG_ALGORITHM"),
        (headers(jwt.encode({}, "", algorithm="none")), "INVALID_TOKEN", "WRONG_ALGORITHM"),
        (headers(signer.token(ttl_s=-60)), "TOKEN_EXPIRED", ""),
        (headers(signer.token(iss="other")), "INVALID_TOKEN", "WRONG_ISSUER"),
        (headers(signer.token(aud="other")), "INVALID_TOKEN", "WRONG_AUDIENCE"),
        (headers(signer.token(exp=None)), "INVALID_TOKEN", "MISSING_CLAIM"),
        (headers(signer.token(sub=None)), "INVALID_TOKEN", "MISSING_CLAIM"),
        (headers(signer.token(sub="")), "INVALID_TOKEN", "MISSING_CLAIM"),
        (headers(signer.token(tenant_id=None)), "INVALID_TOKEN", "MISSING_CLAIM"),
        (headers(signer.token(tenant_id="../x")), "INVALID_TOKEN", "MISSING_CLAIM"),
        (headers(signer.token(tenant_id=7)), "INVALID_TOKEN", "MISSING_CLAIM"),
        (headers(signer.token(nbf=time.time() + 600)), "INVALID_TOKEN", "NOT_YET_VALID"),
    ]
    for metadata, reason, cause in cases:
        for call in (
            door.videos.ListVideos(pb.ListVideosRequest(), metadata=metadata),
            door.videos.WatchVideo(pb.WatchVideoRequest(video_id=VIDEO_ID), metadata=metadata),
        ):
            said = await refused(call)
            assert (said.code, said.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason), (metadata, said)
            assert said.metadata.get("cause", "") == cause, (metadata, said)


def _other_tenant(body: str) -> str:
    claims = json.loads(jwt.utils.base64url_decode(body))
    return jwt.utils.base64url_encode(json.dumps(claims | {"tenant_id": "others"}).encode()).decode()


async def test_keys_are_rotated_without_a_restart(door: Door) -> None:
    old = door.auth()
    await door.videos.ListVideos(pb.ListVideosRequest(), metadata=old)
    door.signer.key, door.signer.key_id = Ed25519PrivateKey.generate(), "k2"
    unknown = await refused(door.videos.ListVideos(pb.ListVideosRequest(), metadata=door.auth()))
    assert unknown.metadata == {"cause": "UNKNOWN_KEY"}
    door.signer.file.write_text("half writ")
    await door.videos.ListVideos(pb.ListVideosRequest(), metadata=old)  # the keys of before still are good
    door.signer.write()
    await door.videos.ListVideos(pb.ListVideosRequest(), metadata=door.auth())
    assert (await refused(door.videos.ListVideos(pb.ListVideosRequest(), metadata=old))).reason == "INVALID_TOKEN"


async def test_rsa_keys_are_taken_too(door: Door) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "r1", "alg": "RS256"}
    door.signer.file.write_text(json.dumps({"keys": [jwk]}))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "tenant_id": "team", "exp": time.time() + 60}
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "r1"})
    await door.videos.ListVideos(pb.ListVideosRequest(), metadata=headers(token))


@pytest.mark.parametrize("content", ["{}", "no json", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "AAAA"}]}'])
def test_a_gateway_without_keys_does_not_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "jwks.json").write_text(content)
    with pytest.raises((ValueError, jwt.PyJWTError)):
        KeyFile(tmp_path / "jwks.json")


async def test_health_and_reflection_need_no_token(door: Door) -> None:
    health: Any = health_pb2_grpc.HealthStub(door.channel)
    for name in ("", "heimdex.video.v1.VideoService", "heimdex.upload.v1.UploadService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    channel: Any = door.channel
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    async for answer in reflection.ServerReflectionInfo(asked):
        names = {service.name for service in answer.list_services_response.service}
        assert {"heimdex.video.v1.VideoService", "heimdex.upload.v1.UploadService"} <= names


async def test_not_serving_until_told(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        await door.server.set_serving(serving=False)
        health: Any = health_pb2_grpc.HealthStub(door.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await door.server.set_serving(serving=True)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING


# ---- limits -------------------------------------------------------------------------------------------------


async def test_a_message_over_the_limit_is_refused_by_grpc_itself(door: Door) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await door.videos.GetVideo(pb.GetVideoRequest(video_id="x" * (5 << 20)), metadata=door.auth())
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client_errors.from_rpc(failed.value).reason == "MESSAGE_TOO_LARGE"  # the SDK knows


@pytest.mark.parametrize(
    "method", ["heimdex.video.v1.VideoService/GetVideo", "heimdex.search.v1.SearchService/SearchScenes"]
)
@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x02\xff\xfe"], ids=["no message", "no text"])
async def test_a_request_that_cannot_be_read_is_refused_by_type(door: Door, method: str, body: bytes) -> None:
    call: Any = door.channel.unary_stream(f"/{method}")
    unknown = await refused(call(body))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
    said = await refused(call(body, metadata=door.auth()))
    assert (said.code, said.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    (violation,) = said.details["BadRequest"].field_violations
    assert violation.field == "request"


async def test_too_many_calls_at_once_are_told_when_to_come_back(tmp_path: Path, script: Scripted) -> None:
    service = Service("heimdex.video.v1.VideoService", add_VideoServiceServicer_to_server, script)
    limits = {"unary": 4, "stream": 1}
    async with open_door(
        tmp_path, services=[service], around=lambda verifier: (Errors(CLOCK), Auth(verifier), Admission(CLOCK, limits))
    ) as door:
        waiting = [asyncio.ensure_future(_swallow(door.videos.GetVideo(pb.GetVideoRequest(), metadata=door.auth())))
                   for _ in range(2)]  # fmt: skip
        await script.inside(2)
        own = await refused(door.videos.GetVideo(pb.GetVideoRequest(), metadata=door.auth()))
        assert (own.code, own.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert own.metadata == {"subject": "tenant"}
        assert own.details["RetryInfo"].retry_delay.seconds == 1
        waiting += [asyncio.ensure_future(_swallow(door.videos.GetVideo(pb.GetVideoRequest(), metadata=door.auth("b"))))
                    for _ in range(2)]  # fmt: skip
        await script.inside(4)
        full = await refused(door.videos.GetVideo(pb.GetVideoRequest(), metadata=door.auth("c")))
        assert full.metadata == {"subject": "gateway"}
        script.wait.set()
        await asyncio.gather(*waiting)
        await door.videos.GetVideo(pb.GetVideoRequest(), metadata=door.auth())  # there is room again


async def test_a_unary_call_ends_in_bounded_time(tmp_path: Path, script: Scripted) -> None:
    service = Service("heimdex.video.v1.VideoService", add_VideoServiceServicer_to_server, script)
    async with open_door(
        tmp_path, services=[service], around=lambda verifier: (Errors(CLOCK), Auth(verifier), Deadline(unary_s=0.05))
    ) as door:
        said = await refused(door.videos.GetVideo(pb.GetVideoRequest(), metadata=door.auth()))
    assert (said.code, said.reason) == (grpc.StatusCode.UNAVAILABLE, "DEADLINE_EXCEEDED")
    assert "RetryInfo" in said.details


async def test_a_stream_that_nobody_reads_is_ended(tmp_path: Path, script: Scripted) -> None:
    script.frame.video.file_name = "x" * 100_000
    service = Service("heimdex.video.v1.VideoService", add_VideoServiceServicer_to_server, script)

    async with open_door(tmp_path, services=[service], around=lambda _: (Errors(CLOCK),), write_timeout_s=0.2) as door:
        call = door.videos.WatchVideo(pb.WatchVideoRequest())
        await call.read()
        async with asyncio.timeout(10):
            await script.closed.wait()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await _read_on(call)
        said = refusal(failed.value)
        assert (said.code, said.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")


# ---- the end --------------------------------------------------------------------------------------------------


async def test_stop_says_so_first_and_lets_calls_end(scripted: Door, script: Scripted) -> None:
    health: Any = health_pb2_grpc.HealthStub(scripted.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    call = scripted.videos.GetVideo(pb.GetVideoRequest(), metadata=scripted.auth())
    answer = asyncio.ensure_future(_answer(call))
    await script.entered.wait()
    drained = asyncio.Event()

    async def end_watches() -> None:
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await scripted.server.set_serving(serving=True)  # whoever looks after the catalogue goes on
        drained.set()

    stopping = asyncio.ensure_future(scripted.server.stop(end_watches, grace_s=5))
    await drained.wait()
    assert not scripted.server.serving
    script.wait.set()
    assert await answer == pb.GetVideoResponse()
    watch.cancel()
    await stopping


async def _read_on(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def _answer(call: Any) -> Any:
    return await call


async def _swallow(call: Any) -> None:
    try:
        await call
    except (asyncio.CancelledError, grpc.aio.AioRpcError):
        return
