"""Videos over gRPC: look, list in pages, play, delete; always within the tenant."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from contracts import codec, flow, ids, plan
from contracts.catalog import StageRun, StageUpdate
from heimdex.client import AsyncClient
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import events_pb2, manifest_pb2
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from heimdex.video.v1 import video_pb2
from heimdex.video.v1 import video_service_pb2 as pb
from tests.component.gateway.door import Door, refused


async def test_a_video_shows_what_the_stages_have_found(door: Door) -> None:
    video_id = (await door.upload(b"one")).video.video_id
    validated = StageRun("validate", "ENDED", "OK", attempt=1, elapsed_ms=1500)
    counts, labels = {"duration_ms": 61_500, "width_px": 640, "height_px": 360}, {"content_type": "video/mp4"}
    running = StageRun("scenes", "RUNNING", attempt=2, progress=0.25, start_ms=1)
    refused_ = StageRun("audio", "ENDED", "REJECTED", attempt=1, reason="UNSUPPORTED_CODEC", message="codec x")
    await door.catalog.apply_updates(
        [
            StageUpdate("team", video_id, 1, validated, counts, labels),
            StageUpdate("team", video_id, 1, running),
            StageUpdate("team", video_id, 1, refused_),
        ],
        5,
    )
    video = await get(door, video_id)
    assert video.state == video_pb2.VIDEO_STATE_PROCESSING
    assert (video.duration.ToMilliseconds(), video.width_px, video.height_px) == (61_500, 640, 360)
    assert video.content_type == "video/mp4"
    stages = {int(stage.stage): stage for stage in video.stages}
    assert list(stages) == list(range(1, 13))
    first, audio, scenes = stages[1], stages[2], stages[4]
    assert (first.state, first.outcome, first.progress) == (video_pb2.STAGE_STATE_ENDED, common_pb2.OUTCOME_OK, 1.0)
    assert first.elapsed.ToMilliseconds() == 1500
    assert (scenes.state, scenes.attempt, scenes.progress) == (video_pb2.STAGE_STATE_RUNNING, 2, 0.25)
    assert scenes.elapsed.seconds > 0
    assert (audio.error.code, audio.error.message) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "codec x")
    assert not video.degraded_stages  # not before it is indexed
    assert not video.HasField("error")


async def test_a_video_that_failed_says_why(door: Door) -> None:
    video_id = (await door.upload(b"one")).video.video_id
    run = StageRun("validate", "ENDED", "REJECTED", attempt=1, reason="TOO_LONG", message="too long",
                   metadata=(("duration_s", "700.000"), ("limit_s", "600")))  # fmt: skip
    await door.catalog.apply_updates([StageUpdate("team", video_id, 1, run)], 5)
    video = await get(door, video_id)
    assert video.state == video_pb2.VIDEO_STATE_FAILED
    assert video.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert video.error.message == "too long"
    for error in (video.error, video.stages[0].error):
        info = error_details_pb2.ErrorInfo()
        assert error.details[0].Unpack(info)
        assert (info.reason, dict(info.metadata)) == ("TOO_LONG", {"duration_s": "700.000", "limit_s": "600"})


async def test_pages_hold_every_video_once_newest_first(door: Door) -> None:
    made = [(await door.upload(str(n).encode())).video.video_id for n in range(5)]
    await door.upload(b"0", tenant="others")
    seen: list[str] = []
    token, pages = "", 0
    while True:
        page = await door.videos.ListVideos(pb.ListVideosRequest(page_size=2, page_token=token), metadata=door.auth())
        seen += [video.video_id for video in page.videos]
        pages += 1
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    assert pages == 3


async def test_lists_by_state(door: Door) -> None:
    done = (await door.upload(b"one")).video.video_id
    opened = await door.create(b"two")
    gone = await door.create(b"three")
    request = upload_pb2.AbortUploadRequest(upload_id=gone.upload_id, request_id="r")
    await door.uploads.AbortUpload(request, metadata=door.auth())
    assert {v.video_id for v in (await listed(door)).videos} == {done, opened.video_id}
    aborted = await listed(door, states=[video_pb2.VIDEO_STATE_ABORTED])
    assert [v.video_id for v in aborted.videos] == [gone.video_id]
    assert not (await listed(door, tenant="others")).videos


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_size": 201}, "page_size"),
        ({"states": [0]}, "states[0]"),
        ({"states": [5, 99]}, "states[1]"),
        ({"states": [5] * 1_000_000}, "states"),
        ({"page_token": "x"}, "page_token"),
    ],
)
async def test_lists_that_cannot_be_asked_for(door: Door, fields: dict[str, Any], path: str) -> None:
    wrong = await refused(door.videos.ListVideos(pb.ListVideosRequest(**fields), metadata=door.auth()))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == [path]


async def test_a_page_token_is_its_owners_and_its_querys(door: Door) -> None:
    for n in range(2):
        await door.upload(str(n).encode())
    token = (await listed(door, page_size=1)).next_page_token
    assert (await listed(door, page_size=2, page_token=token)).videos  # another size is no other list
    for call in (
        listed(door, tenant="others", page_token=token),
        listed(door, user="bob", page_token=token),
        listed(door, page_token=token, states=[video_pb2.VIDEO_STATE_INDEXED]),
        listed(door, page_token=("A" if token[0] != "A" else "B") + token[1:]),
        listed(door, page_token=token[:-3]),
    ):
        wrong = await refused(call)
        assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")


async def test_playback_lasts_as_long_as_the_video_and_an_hour(door: Door) -> None:
    video_id = (await door.upload(b"one", file_name="a.mp4")).video.video_id
    counts = {"duration_ms": 600_000}
    run = StageRun("validate", "ENDED", "OK", attempt=1)
    await door.catalog.apply_updates([StageUpdate("team", video_id, 1, run, counts, {"content_type": "video/mp4"})], 5)
    answer = await door.videos.GetPlaybackUrl(pb.GetPlaybackUrlRequest(video_id=video_id), metadata=door.auth())
    video = await get(door, video_id)
    left_s = (answer.expire_time.ToMilliseconds() - video.create_time.ToMilliseconds()) / 1000
    assert 4195 <= left_s <= 4260
    assert (answer.content_type, answer.duration.seconds) == ("video/mp4", 600)
    assert "type=video%2Fmp4" in answer.url
    assert await door.objects.send(answer.url, "GET", {}, b"") == 200


async def test_there_is_nothing_to_play_before_the_bytes(door: Door) -> None:
    opened = await door.create(b"one")
    request = pb.GetPlaybackUrlRequest(video_id=opened.video_id)
    early = await refused(door.videos.GetPlaybackUrl(request, metadata=door.auth()))
    assert (early.code, early.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VIDEO_STATE")
    assert early.metadata == {"state": "uploading"}


async def test_deletion_begins_once(door: Door) -> None:
    video_id = (await door.upload(b"one")).video.video_id
    request = pb.DeleteVideoRequest(video_id=video_id, request_id="mine")
    for _ in range(2):
        answer = await door.videos.DeleteVideo(request, metadata=door.auth())
        assert answer.video.state == video_pb2.VIDEO_STATE_DELETING
    events = [codec.decode(row.record) for row in await door.catalog.pending()]
    deletions = [event for event in events if isinstance(event, events_pb2.VideoDeletionRequested)]
    assert [(event.tenant_id, event.video_id) for event in deletions] == [("team", video_id)]
    playing = await refused(
        door.videos.GetPlaybackUrl(pb.GetPlaybackUrlRequest(video_id=video_id), metadata=door.auth())
    )
    assert playing.metadata == {"state": "deleting"}
    other = (await door.upload(b"two")).video.video_id
    again = pb.DeleteVideoRequest(video_id=other, request_id="mine")
    reused = await refused(door.videos.DeleteVideo(again, metadata=door.auth()))
    assert (reused.code, reused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_video_is_processed_again_where_it_failed_and_where_something_has_changed(door: Door) -> None:
    video_id = (await door.upload(b"one")).video.video_id
    first = await planned(door, video_id, 1)
    early = await refused(reprocess(door, video_id))
    assert (early.code, early.metadata) == (grpc.StatusCode.FAILED_PRECONDITION, {"state": "validating"})
    assert "when it is indexed or has failed" in early.message
    await ending(door, video_id, 1, asr="FAILED")
    for _ in range(2):
        video = (await reprocess(door, video_id, "mine")).video
        assert (video.state, video.revision) == (video_pb2.VIDEO_STATE_VALIDATING, 2)
    events = [codec.decode(row.record) for row in await door.catalog.pending()]
    begun = [event.context.revision for event in events if isinstance(event, events_pb2.VideoUploaded)]
    assert begun == [1, 2]
    second = await planned(door, video_id, 2)
    rests_on_speech = {"asr", "align", "embeddings", "sidecar", "commit"}
    assert changed(first, second) == rests_on_speech
    assert plan.salts_of(second) == {"asr": "2"}
    assert second.source == first.source
    await ending(door, video_id, 2)
    await door.catalog.set_faces("team", enabled=True)
    await reprocess(door, video_id)
    third = await planned(door, video_id, 3)
    assert changed(second, third) == {"faces", "sidecar", "commit"}, "what asr has done since stays done"
    await ending(door, video_id, 3)
    await reprocess(door, video_id)
    assert changed(third, await planned(door, video_id, 4)) == {"commit"}


async def test_another_tenants_video_is_not_found(door: Door) -> None:
    video_id = (await door.upload(b"one")).video.video_id
    others = door.auth("others")
    stub = door.videos
    for call in (
        stub.GetVideo(pb.GetVideoRequest(video_id=video_id), metadata=others),
        stub.WatchVideo(pb.WatchVideoRequest(video_id=video_id), metadata=others),
        stub.GetPlaybackUrl(pb.GetPlaybackUrlRequest(video_id=video_id), metadata=others),
        stub.ReprocessVideo(pb.ReprocessVideoRequest(video_id=video_id, request_id="r"), metadata=others),
        stub.DeleteVideo(pb.DeleteVideoRequest(video_id=video_id, request_id="r"), metadata=others),
    ):
        error = await refused(call)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert (await get(door, video_id)).state == video_pb2.VIDEO_STATE_VALIDATING


@pytest.mark.parametrize(
    "video_id", ["", "x", "scn_00000000000000000000000000", "vid_0000000000000000\n", "vid_../../etc"]
)
async def test_ids_that_are_none(door: Door, video_id: str) -> None:
    stub, auth = door.videos, door.auth()
    for call in (
        stub.GetVideo(pb.GetVideoRequest(video_id=video_id), metadata=auth),
        stub.WatchVideo(pb.WatchVideoRequest(video_id=video_id), metadata=auth),
        stub.GetPlaybackUrl(pb.GetPlaybackUrlRequest(video_id=video_id), metadata=auth),
        stub.ReprocessVideo(pb.ReprocessVideoRequest(video_id=video_id, request_id="r"), metadata=auth),
        stub.DeleteVideo(pb.DeleteVideoRequest(video_id=video_id, request_id="r"), metadata=auth),
    ):
        error = await refused(call)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert [v.field for v in error.details["BadRequest"].field_violations] == ["video_id"]


async def test_the_sdk_speaks_to_this_gateway(door: Door) -> None:
    async with AsyncClient(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as client:
        video_id = (await door.upload(b"one")).video.video_id
        assert (await client.get_video(video_id)).video_id == video_id
        assert [video.video_id async for video in client.list_videos()] == [video_id]

        async def watch() -> list[int]:
            return [video.state async for video in client.watch_video(video_id)]

        watching = asyncio.ensure_future(watch())
        await client.delete_video(video_id, request_id=str(uuid.uuid4()))
        await door.catalog.finish_erasure("team", video_id, time.time_ns() // 1_000_000, [])
        async with asyncio.timeout(10):
            states = await watching
        assert states[-1] == video_pb2.VIDEO_STATE_DELETED


def reprocess(door: Door, video_id: str, request_id: str = "") -> Any:
    request = pb.ReprocessVideoRequest(video_id=video_id, request_id=request_id or str(uuid.uuid4()))
    return door.videos.ReprocessVideo(request, metadata=door.auth())


async def planned(door: Door, video_id: str, revision: int) -> manifest_pb2.Plan:
    body, _ = await door.objects.get(ids.plan_key("team", video_id, revision))
    return manifest_pb2.Plan.FromString(body)


async def ending(door: Door, video_id: str, revision: int, **outcomes: str) -> None:
    """End every stage of a revision, OK where nothing else is said."""
    runs = (StageRun(noun, "ENDED", outcomes.get(noun, "OK"), attempt=1) for noun in flow.STAGES)
    await door.catalog.apply_updates([StageUpdate("team", video_id, revision, run) for run in runs], 5)


def changed(before: manifest_pb2.Plan, after: manifest_pb2.Plan) -> set[str]:
    """Return the stages that have other work to do."""
    one, other = plan.planned_specs(before), plan.planned_specs(after)
    return {noun for noun in flow.STAGES if one[noun] != other[noun]}


async def get(door: Door, video_id: str) -> video_pb2.Video:
    request = pb.GetVideoRequest(video_id=video_id)
    video: video_pb2.Video = (await door.videos.GetVideo(request, metadata=door.auth())).video
    return video


async def listed(door: Door, *, tenant: str = "team", user: str = "ann", **fields: Any) -> pb.ListVideosResponse:
    page: pb.ListVideosResponse = await door.videos.ListVideos(
        pb.ListVideosRequest(**fields), metadata=door.auth(tenant, user)
    )
    return page
