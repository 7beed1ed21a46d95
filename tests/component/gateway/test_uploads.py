"""Uploads over gRPC: the life of an upload, and every way in which it does not go on."""

from __future__ import annotations

import asyncio
import hashlib
import random
import uuid
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from contracts import codec, ids, plan
from contracts.catalog import Idempotency
from contracts.errors import DependencyUnavailable
from contracts.vocabulary import COMMITTED
from heimdex.events.v1 import events_pb2, manifest_pb2
from heimdex.upload.v1 import upload_service_pb2 as pb
from heimdex.video.v1 import video_pb2
from heimdex.video.v1 import video_service_pb2 as video_service
from indexer.schema.schema import text_index
from tests.component.gateway.door import GENERATION, PIPELINE, Door, Refusal, create_request, refused

BODY = b"frames" * 10
LONG = random.Random(1).randbytes(2500)  # three parts


async def test_a_video_goes_from_open_to_validating(door: Door) -> None:
    opened = await door.create(BODY, file_name="C:\\films\\영상.mp4")
    assert opened.state == pb.UPLOAD_STATE_OPEN
    assert (opened.size_bytes, opened.file_name) == (len(BODY), "영상.mp4")
    assert opened.request.method == "PUT"
    assert opened.request.headers.keys() == {
        "Content-Length", "Content-Type", "If-None-Match", "X-Amz-Checksum-Sha256",
    }  # fmt: skip
    left_s = opened.request.expire_time.ToMilliseconds() - opened.create_time.ToMilliseconds()
    assert 890_000 <= left_s <= 910_000
    assert not opened.parts
    assert (await get_video(door, opened.video_id)).state == video_pb2.VIDEO_STATE_UPLOADING

    assert await door.put(opened.request, BODY) == 200
    assert await door.put(opened.request, BODY) == 412  # bytes cannot be replaced
    done = await door.complete(opened.upload_id)

    assert done.upload.state == pb.UPLOAD_STATE_COMPLETED
    assert not done.upload.HasField("request")
    assert done.video.state == video_pb2.VIDEO_STATE_VALIDATING
    assert (done.video.video_id, done.video.revision) == (opened.video_id, 1)
    assert len(done.video.stages) == 12
    assert done.video == await get_video(door, opened.video_id)


async def test_a_generation_of_the_same_models_is_not_planned_for(door: Door) -> None:
    """Commit writes to every one there is then: see its tests."""
    await door.catalog.create_generation(
        COMMITTED,
        Idempotency("team", "ann", "CreateGeneration", "r", "body"),
        created_by="team/ann",
        promote_when_ready=False,
        text_index=text_index,
    )
    await door.catalog.begin_build(2)
    done = await door.upload(BODY)
    body, _ = await door.objects.get(ids.plan_key("team", done.video.video_id, 1))
    assert list(manifest_pb2.Plan.FromString(body).generations) == [GENERATION.generation]


async def test_completion_fixes_the_plan_and_says_so_once(door: Door) -> None:
    await door.catalog.set_faces("team", True)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    opened = await door.create(BODY)
    await door.put(opened.request, BODY)
    request = pb.CompleteUploadRequest(upload_id=opened.upload_id, request_id="r")
    await door.uploads.CompleteUpload(request, metadata=(*door.auth(), ("traceparent", trace)))
    await door.complete(opened.upload_id)  # again

    rows = await door.catalog.pending()
    assert [row.record.topic for row in rows] == ["heimdex-video-uploaded-v1"]
    event = codec.decode(rows[0].record)
    assert isinstance(event, events_pb2.VideoUploaded)
    assert (event.context.video_id, event.context.revision) == (opened.video_id, 1)
    assert event.context.root_traceparent == trace
    stored, _ = await door.objects.get(event.context.plan_key)
    fixed = manifest_pb2.Plan.FromString(stored)
    source = await door.objects.head(fixed.source.key)
    assert source is not None
    assert (fixed.source.etag, fixed.source.sha256) == (source.etag, opened.sha256)
    assert fixed.faces_enabled
    assert list(fixed.generations) == [GENERATION.generation]
    assert fixed.create_time == event.event_time
    for noun in plan.planned_specs(fixed):  # what is deployed serves what is planned
        assert plan.serves(PIPELINE, fixed, noun, 0), noun


async def test_a_long_file_goes_in_parts_and_can_be_resumed(door: Door) -> None:
    digests = [hashlib.sha256(LONG[i : i + 1000]).hexdigest() for i in (0, 1000, 2000)]
    request = create_request(LONG, part_sha256=digests)
    opened = (await door.uploads.CreateUpload(request, metadata=door.auth())).upload
    assert [(p.part_number, p.offset_bytes, p.size_bytes) for p in opened.parts] == [
        (1, 0, 1000), (2, 1000, 1000), (3, 2000, 500),
    ]  # fmt: skip
    assert not opened.HasField("request")
    assert await door.put(opened.parts[1].request, LONG[:1000]) == 400  # another part's bytes
    assert await door.put(opened.parts[1].request, LONG[1000:2000]) == 200

    again = (await door.uploads.CreateUpload(request, metadata=door.auth())).upload  # the same request_id
    assert again.upload_id == opened.upload_id
    assert [p.received for p in again.parts] == [False, True, False]
    assert [p.HasField("request") for p in again.parts] == [True, False, True]

    early = await refused(door.uploads.CompleteUpload(
        pb.CompleteUploadRequest(upload_id=opened.upload_id, request_id="r"), metadata=door.auth()
    ))  # fmt: skip
    assert (early.code, early.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")
    assert early.metadata == {"declared_bytes": "2500", "actual_bytes": "1000"}

    fresh = await part_urls(door, opened.upload_id)
    assert [p.HasField("request") for p in fresh.parts] == [True, False, True]
    for part in (fresh.parts[0], fresh.parts[2]):
        assert await door.put(part.request, LONG[part.offset_bytes :][: part.size_bytes]) == 200
    got = (await door.uploads.GetUpload(pb.GetUploadRequest(upload_id=opened.upload_id), metadata=door.auth())).upload
    assert all(p.received and not p.HasField("request") for p in got.parts)

    done = await door.complete(opened.upload_id)
    assert done.video.state == video_pb2.VIDEO_STATE_VALIDATING
    assert [p.received for p in done.upload.parts] == [True, True, True]
    body, _ = await door.objects.get(f"t/team/v/{opened.video_id}/source/original")
    assert body == LONG


async def test_complete_before_the_bytes_leaves_it_open(door: Door) -> None:
    opened = await door.create(BODY)
    early = await complete_refused(door, opened.upload_id)
    assert (early.code, early.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")
    violations = early.details["PreconditionFailure"].violations
    assert [v.type for v in violations] == ["UPLOAD_INCOMPLETE"]
    await door.put(opened.request, BODY)
    assert (await door.complete(opened.upload_id)).upload.state == pb.UPLOAD_STATE_COMPLETED


async def test_bytes_of_another_size_are_dropped_and_may_come_again(door: Door) -> None:
    opened = await door.create(BODY)
    key = f"t/team/v/{opened.video_id}/source/original"
    await door.objects.put(key, b"short")  # a store that does not mind what was signed
    wrong = await complete_refused(door, opened.upload_id)
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SIZE_MISMATCH")
    assert wrong.metadata == {"declared_bytes": str(len(BODY)), "actual_bytes": "5"}
    assert await door.put(opened.request, BODY) == 200
    assert (await door.complete(opened.upload_id)).video.state == video_pb2.VIDEO_STATE_VALIDATING


async def test_two_completions_at_once_are_one(door: Door) -> None:
    opened = await door.create(LONG)
    for part in opened.parts:
        await door.put(part.request, LONG[part.offset_bytes :][: part.size_bytes])
    answers = await asyncio.gather(*(door.complete(opened.upload_id) for _ in range(5)))
    assert {a.upload.state for a in answers} == {pb.UPLOAD_STATE_COMPLETED}
    assert len(await door.catalog.pending()) == 1


@pytest.mark.parametrize("crash", ["after joining", "after the plan"])
async def test_completion_goes_on_after_a_crash(door: Door, monkeypatch: pytest.MonkeyPatch, crash: str) -> None:
    opened = await door.create(LONG)
    for part in opened.parts:
        await door.put(part.request, LONG[part.offset_bytes :][: part.size_bytes])
    whole = {"after joining": (door.objects, "head"), "after the plan": (door.catalog, "finish_completion")}[crash]

    async def fall(*_: object, **__: object) -> None:
        raise DependencyUnavailable("test", "pulled out")

    with monkeypatch.context() as broken:
        broken.setattr(*whole, fall)
        down = await complete_refused(door, opened.upload_id)
    assert (down.code, down.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert down.details["RetryInfo"].retry_delay.seconds == 1
    done = await door.complete(opened.upload_id)
    assert done.video.state == video_pb2.VIDEO_STATE_VALIDATING
    event = codec.decode((await door.catalog.pending())[0].record)
    assert isinstance(event, events_pb2.VideoUploaded)
    stored, _ = await door.objects.get(event.context.plan_key)
    assert manifest_pb2.Plan.FromString(stored).create_time == event.event_time


async def test_a_plan_of_an_earlier_try_is_replaced_when_faces_were_switched(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await door.create(BODY)
    await door.put(opened.request, BODY)

    async def fall(*_: object, **__: object) -> None:
        raise DependencyUnavailable("test", "pulled out")

    with monkeypatch.context() as broken:
        broken.setattr(door.catalog, "finish_completion", fall)
        await complete_refused(door, opened.upload_id)
    await door.catalog.set_faces("team", True)
    await door.complete(opened.upload_id)
    stored, _ = await door.objects.get(f"t/team/v/{opened.video_id}/plan/000001/plan.pb")
    assert manifest_pb2.Plan.FromString(stored).faces_enabled


async def test_a_client_that_goes_away_does_not_stop_a_completion(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = await door.create(BODY)
    await door.put(opened.request, BODY)
    reached, go_on = asyncio.Event(), asyncio.Event()
    put = door.objects.put

    async def slow(*args: object, **named: object) -> object:
        reached.set()
        await go_on.wait()
        return await put(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(door.objects, "put", slow)
    request = pb.CompleteUploadRequest(upload_id=opened.upload_id, request_id="r")
    call = door.uploads.CompleteUpload(request, metadata=door.auth())
    waiting = asyncio.ensure_future(_quiet(call))
    await reached.wait()
    call.cancel()
    await waiting
    go_on.set()
    await door.completion.drain()
    assert (await get_video(door, opened.video_id)).state == video_pb2.VIDEO_STATE_VALIDATING


async def test_the_same_content_twice_names_the_first(door: Door) -> None:
    first = await door.upload(BODY)
    twice = await refused(door.uploads.CreateUpload(create_request(BODY), metadata=door.auth()))
    assert (twice.code, twice.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
    assert twice.metadata == {"video_id": first.video.video_id}
    assert twice.details["ResourceInfo"].resource_name == first.video.video_id
    other = await door.create(BODY, tenant="others")  # what another tenant has is nobody's business
    assert other.video_id != first.video.video_id
    again = await door.create(BODY, allow_duplicate=True)
    assert again.video_id != first.video.video_id


async def test_a_long_duplicate_leaves_no_multipart_upload_behind(door: Door) -> None:
    await door.upload(LONG)
    await refused(door.uploads.CreateUpload(create_request(LONG), metadata=door.auth()))
    assert door.objects._multiparts == {}


async def test_a_request_id_is_for_one_content(door: Door) -> None:
    request = create_request(BODY, request_id="mine")
    first = (await door.uploads.CreateUpload(request, metadata=door.auth())).upload
    again = (await door.uploads.CreateUpload(request, metadata=door.auth())).upload
    assert again.upload_id == first.upload_id
    other = create_request(b"other", request_id="mine")
    reused = await refused(door.uploads.CreateUpload(other, metadata=door.auth()))
    assert (reused.code, reused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    of_bob = (await door.uploads.CreateUpload(other, metadata=door.auth(user="bob"))).upload  # ids are each user's own
    assert of_bob.upload_id != first.upload_id


async def test_an_aborted_upload_is_closed_and_its_bytes_are_gone(door: Door) -> None:
    opened = await door.create(BODY)
    await door.put(opened.request, BODY)
    for _ in range(2):  # an aborted one is no error
        answer = await abort(door, opened.upload_id)
        assert answer.upload.state == pb.UPLOAD_STATE_ABORTED
    assert await door.objects.head(f"t/team/v/{opened.video_id}/source/original") is None
    closed = await complete_refused(door, opened.upload_id)
    assert (closed.code, closed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_CLOSED")
    urls = await refused(door.uploads.CreateUploadPartUrls(
        pb.CreateUploadPartUrlsRequest(upload_id=opened.upload_id), metadata=door.auth()
    ))  # fmt: skip
    assert (urls.reason, urls.metadata) == ("UPLOAD_CLOSED", {"state": "aborted"})
    assert (await get_video(door, opened.video_id)).state == video_pb2.VIDEO_STATE_ABORTED


async def test_a_completed_upload_is_not_aborted(door: Door) -> None:
    done = await door.upload(BODY)
    request = pb.AbortUploadRequest(upload_id=done.upload.upload_id, request_id="r")
    late = await refused(door.uploads.AbortUpload(request, metadata=door.auth()))
    assert (late.code, late.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_CLOSED")


async def test_fresh_urls_of_a_single_put_and_of_chosen_parts(door: Door) -> None:
    single = await door.create(BODY)
    assert await door.put((await part_urls(door, single.upload_id)).request, BODY) == 200
    assert await door.put((await part_urls(door, single.upload_id)).request, BODY) == 412  # it says that they are there
    long = await door.create(LONG)
    chosen = await part_urls(door, long.upload_id, 2)
    assert [p.HasField("request") for p in chosen.parts] == [False, True, False]
    for number in (0, 4, -1):
        request = pb.CreateUploadPartUrlsRequest(upload_id=long.upload_id, part_numbers=[1, number])
        wrong = await refused(door.uploads.CreateUploadPartUrls(request, metadata=door.auth()))
        assert [v.field for v in wrong.details["BadRequest"].field_violations] == ["part_numbers[1]"]
    many = pb.CreateUploadPartUrlsRequest(upload_id=long.upload_id, part_numbers=[1] * 1_000_000)
    wrong = await refused(door.uploads.CreateUploadPartUrls(many, metadata=door.auth()))
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == ["part_numbers"]


@pytest.mark.parametrize("purpose", [pb.UPLOAD_PURPOSE_PERSON_PHOTO, pb.UPLOAD_PURPOSE_QUERY_IMAGE])
async def test_pictures_are_uploads_without_a_video(door: Door, purpose: pb.UploadPurpose.ValueType) -> None:
    done = await door.upload(b"jpeg", purpose=purpose)
    assert done.upload.state == pb.UPLOAD_STATE_COMPLETED
    assert (done.upload.purpose, done.upload.video_id) == (purpose, "")
    assert not done.HasField("video")
    assert await door.catalog.pending() == []
    assert await door.objects.head(f"t/team/u/{done.upload.upload_id}/original") is not None


async def test_an_empty_file_is_taken(door: Door) -> None:
    assert (await door.upload(b"")).video.state == video_pb2.VIDEO_STATE_VALIDATING


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        ({"purpose": 0}, "purpose", "INVALID_FIELD"),
        ({"purpose": 9}, "purpose", "INVALID_FIELD"),
        ({"size_bytes": -1}, "size_bytes", "INVALID_FIELD"),
        ({"size_bytes": 10_001}, "size_bytes", "TOO_LARGE"),
        ({"size_bytes": 2_001, "purpose": pb.UPLOAD_PURPOSE_PERSON_PHOTO}, "size_bytes", "TOO_LARGE"),
        ({"sha256": ""}, "sha256", "INVALID_FIELD"),
        ({"sha256": "A" * 64}, "sha256", "INVALID_FIELD"),
        ({"file_name": ""}, "file_name", "INVALID_FIELD"),
        ({"file_name": "a/.."}, "file_name", "INVALID_FIELD"),
        ({"file_name": "가" * 256}, "file_name", "INVALID_FIELD"),
        ({"content_type": "video"}, "content_type", "INVALID_FIELD"),
        ({"request_id": ""}, "request_id", "INVALID_FIELD"),
        ({"request_id": "x" * 129}, "request_id", "INVALID_FIELD"),
        ({"part_sha256": ["0" * 64]}, "part_sha256", "INVALID_FIELD"),
        ({"size_bytes": 2000, "part_sha256": ["0" * 64, "0"]}, "part_sha256[1]", "INVALID_FIELD"),
        ({"size_bytes": 2000, "part_sha256": ["0" * 64] * 2, "part_size_bytes": 1001}, "part_sha256", "INVALID_FIELD"),
    ],
)
async def test_what_is_not_taken(door: Door, fields: dict[str, object], path: str, reason: str) -> None:
    wrong = await refused(door.uploads.CreateUpload(create_request(BODY, **fields), metadata=door.auth()))
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == [path]


async def test_a_file_that_is_too_large_says_the_limit(door: Door) -> None:
    request = create_request(BODY, size_bytes=10_001)
    wrong = await refused(door.uploads.CreateUpload(request, metadata=door.auth()))
    assert wrong.metadata == {"size_bytes": "10001", "limit_bytes": "10000"}


async def test_another_tenants_upload_is_not_found(door: Door) -> None:
    opened = await door.create(LONG)
    upload_id = opened.upload_id
    stub, others = door.uploads, door.auth("others")
    calls = [
        stub.GetUpload(pb.GetUploadRequest(upload_id=upload_id), metadata=others),
        stub.CreateUploadPartUrls(pb.CreateUploadPartUrlsRequest(upload_id=upload_id), metadata=others),
        stub.CompleteUpload(pb.CompleteUploadRequest(upload_id=upload_id, request_id="r"), metadata=others),
        stub.AbortUpload(pb.AbortUploadRequest(upload_id=upload_id, request_id="r"), metadata=others),
    ]
    for call in calls:
        error = await refused(call)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        assert error.details["ResourceInfo"].resource_name == upload_id
    assert (await door.catalog.get_upload("team", upload_id)).state == "open"


async def test_an_upload_past_its_time_gets_no_more_urls(door: Door) -> None:
    opened = await door.catalog.get_upload("team", (await door.create(BODY)).upload_id)
    late = replace(opened, upload_id="upl_00000000000000000000000000", video_id="", purpose="QUERY_IMAGE", expire_ms=1)
    await door.catalog.create_upload(
        late, Idempotency("team", "ann", "CreateUpload", "late", "0"), allow_duplicate=True
    )
    request = pb.CreateUploadPartUrlsRequest(upload_id=late.upload_id)
    error = await refused(door.uploads.CreateUploadPartUrls(request, metadata=door.auth()))
    assert (error.reason, error.metadata) == ("UPLOAD_CLOSED", {"state": "expired"})


async def get_video(door: Door, video_id: str) -> video_pb2.Video:
    request = video_service.GetVideoRequest(video_id=video_id)
    video: video_pb2.Video = (await door.videos.GetVideo(request, metadata=door.auth())).video
    return video


async def part_urls(door: Door, upload_id: str, *numbers: int) -> pb.Upload:
    request = pb.CreateUploadPartUrlsRequest(upload_id=upload_id, part_numbers=numbers)
    upload: pb.Upload = (await door.uploads.CreateUploadPartUrls(request, metadata=door.auth())).upload
    return upload


async def abort(door: Door, upload_id: str) -> pb.AbortUploadResponse:
    request = pb.AbortUploadRequest(upload_id=upload_id, request_id=str(uuid.uuid4()))
    answer: pb.AbortUploadResponse = await door.uploads.AbortUpload(request, metadata=door.auth())
    return answer


async def complete_refused(door: Door, upload_id: str) -> Refusal:
    request = pb.CompleteUploadRequest(upload_id=upload_id, request_id=str(uuid.uuid4()))
    return await refused(door.uploads.CompleteUpload(request, metadata=door.auth()))


async def _quiet(call: Any) -> None:
    try:
        await call
    except (asyncio.CancelledError, grpc.aio.AioRpcError):
        return
