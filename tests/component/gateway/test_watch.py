"""Watching over gRPC: what is now, then each change, from where one left off, to the end or the next gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from contracts.catalog import StageRun, StageUpdate
from contracts.errors import DependencyUnavailable
from gateway.watch import CHANGE, SNAPSHOT
from heimdex.client import AsyncClient
from heimdex.video.v1 import video_pb2
from heimdex.video.v1 import video_service_pb2 as pb
from tests.component.gateway.door import Door, open_door, refusal, refused, until

WAIT_S = 10


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Door]:
    """A gateway whose hearts beat fast."""
    async with open_door(tmp_path, heartbeat_s=0.05) as opened:
        yield opened


async def begun(door: Door) -> str:
    video_id: str = (await door.upload(b"film")).video.video_id
    return video_id


def watch(door: Door, video_id: str, after: int = 0, **token: Any) -> Any:
    request = pb.WatchVideoRequest(video_id=video_id, after_sequence=after)
    return door.videos.WatchVideo(request, metadata=door.auth(**token), timeout=WAIT_S)


async def progress(door: Door, video_id: str, share: float) -> None:
    run = StageRun("validate", "RUNNING", attempt=1, progress=share, start_ms=1)
    assert await door.catalog.apply_updates([StageUpdate("team", video_id, 1, run)], 5)


async def fail(door: Door, video_id: str) -> None:
    run = StageRun("validate", "ENDED", "REJECTED", attempt=1, reason="NOT_A_VIDEO", message="no")
    assert await door.catalog.apply_updates([StageUpdate("team", video_id, 1, run)], 6)


async def test_what_is_now_then_each_change_to_the_final_state(door: Door) -> None:
    video_id = await begun(door)
    call = watch(door, video_id)
    first = await call.read()
    assert (first.kind, first.video.state) == (pb.WATCH_KIND_SNAPSHOT, video_pb2.VIDEO_STATE_VALIDATING)
    sequences = [first.sequence]
    for share in (0.25, 0.5):
        await progress(door, video_id, share)
        frame = await call.read()
        assert (frame.kind, frame.video.stages[0].progress) == (pb.WATCH_KIND_CHANGE, share)
        sequences.append(frame.sequence)
    await fail(door, video_id)
    last = await call.read()
    assert (last.kind, last.video.state) == (pb.WATCH_KIND_CHANGE, video_pb2.VIDEO_STATE_FAILED)
    sequences.append(last.sequence)
    assert sequences == list(range(sequences[0], sequences[0] + 4))
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_final_video_is_one_snapshot(door: Door) -> None:
    video_id = await begun(door)
    await fail(door, video_id)
    frames = [frame async for frame in watch(door, video_id)]
    assert [frame.kind for frame in frames] == [pb.WATCH_KIND_SNAPSHOT]
    again = [frame async for frame in watch(door, video_id, frames[0].sequence)]
    assert again == []  # nothing is new, and nothing will be


async def test_one_goes_on_where_one_left_off(quick: Door) -> None:
    video_id = await begun(quick)
    call = watch(quick, video_id)
    seen = (await call.read()).sequence
    call.cancel()
    resumed = watch(quick, video_id, seen)
    assert (await resumed.read()).kind == pb.WATCH_KIND_HEARTBEAT  # nothing is new, and it waits for what will be
    await progress(quick, video_id, 0.5)
    frame = await beyond_heartbeats(resumed)
    assert (frame.kind, frame.sequence) == (pb.WATCH_KIND_CHANGE, seen + 1)
    resumed.cancel()
    missed = await watch(quick, video_id, seen).read()  # something happened meanwhile: the whole state
    assert (missed.kind, missed.sequence) == (pb.WATCH_KIND_SNAPSHOT, seen + 1)
    ahead = await watch(quick, video_id, seen + 100).read()  # of a catalogue that was set back
    assert (ahead.kind, ahead.sequence) == (pb.WATCH_KIND_SNAPSHOT, seen + 1)


async def test_hearts_beat_while_nothing_happens(quick: Door) -> None:
    video_id = await begun(quick)
    call = watch(quick, video_id)
    snapshot = await call.read()
    for _ in range(3):
        beat = await call.read()
        assert (beat.kind, beat.sequence) == (pb.WATCH_KIND_HEARTBEAT, snapshot.sequence)
        assert not beat.HasField("video")


async def test_many_watchers_share_one_poller(door: Door) -> None:
    video_id = await begun(door)
    reads = 0
    changes = door.catalog.changes

    async def counted(*args: Any, **named: Any) -> Any:
        nonlocal reads
        reads += 1
        return await changes(*args, **named)

    door.catalog.changes = counted  # type: ignore[method-assign]
    calls = [watch(door, video_id) for _ in range(20)]
    for call in calls:
        await call.read()
    before = reads
    await progress(door, video_id, 0.5)
    for call in calls:
        assert (await call.read()).kind == pb.WATCH_KIND_CHANGE
    assert 1 <= reads - before <= 2
    for call in calls:
        call.cancel()
    await until(lambda: not door.poller._subscriptions)


async def test_a_slow_watcher_gets_the_newest_state_only(door: Door) -> None:
    video_id = await begun(door)
    frames = door.poller.watch_video("team", video_id, after_sequence=0, expire_ms=1 << 50)
    assert (await anext(frames)).kind == SNAPSHOT
    for share in range(1, 50):
        await progress(door, video_id, share / 50)
    newest = await door.catalog.video_sequence("team", video_id)
    async with asyncio.timeout(WAIT_S):
        while (frame := await anext(frames)).sequence < newest:
            assert frame.kind == CHANGE
        assert frame.video is not None
        assert frame.video.stages[0].progress == pytest.approx(49 / 50)
    await frames.aclose()
    assert not door.poller._subscriptions


async def test_draining_sends_watchers_to_the_next_gateway(door: Door) -> None:
    video_id = await begun(door)
    one, many = watch(door, video_id), door.videos.WatchVideos(pb.WatchVideosRequest(), metadata=door.auth())
    await one.read()
    await many.read()
    await door.server.stop(door.poller.drain, grace_s=5)
    for call in (one, many):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        said = refusal(failed.value)
        assert (said.code, said.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert said.details["RetryInfo"].retry_delay.ToMilliseconds() == 500


async def test_a_draining_gateway_takes_no_watchers(door: Door) -> None:
    video_id = await begun(door)
    await door.poller.drain()
    assert (await refused(watch(door, video_id))).reason == "DRAINING"


async def test_the_sdk_goes_on_at_the_next_gateway(tmp_path: Path, door: Door) -> None:
    video_id = await begun(door)
    async with AsyncClient(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as client:
        states: list[int] = []
        begun_, done = asyncio.Event(), asyncio.Event()

        async def follow() -> None:
            async for video in client.watch_video(video_id):
                states.append(video.state)
                begun_.set()
            done.set()

        following = asyncio.ensure_future(follow())
        async with asyncio.timeout(WAIT_S):
            await begun_.wait()
            await door.poller.drain()  # the watch breaks
            door.poller._draining = False  # and another gateway is there, at the same address
            await fail(door, video_id)
            await done.wait()
        assert (states[0], states[-1]) == (video_pb2.VIDEO_STATE_VALIDATING, video_pb2.VIDEO_STATE_FAILED)
        await following


async def test_an_end_that_comes_while_a_watch_resumes_is_told(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    video_id = await begun(door)
    seen = (await watch(door, video_id).read()).sequence
    read = door.catalog.video_sequence

    async def read_then_fail(tenant_id: str, video_id: str) -> int:
        sequence = await read(tenant_id, video_id)
        monkeypatch.undo()
        await fail(door, video_id)
        return sequence

    monkeypatch.setattr(door.catalog, "video_sequence", read_then_fail)
    frames = [frame async for frame in watch(door, video_id, seen)]
    assert frames[-1].video.state == video_pb2.VIDEO_STATE_FAILED
    assert frames[-1].sequence > seen


async def test_a_watch_ends_with_its_token(door: Door) -> None:
    video_id = await begun(door)
    for call in (
        watch(door, video_id, ttl_s=1.2),
        door.videos.WatchVideos(pb.WatchVideosRequest(), metadata=door.auth(ttl_s=1.2), timeout=WAIT_S),
    ):
        assert (await call.read()).kind != pb.WATCH_KIND_UNSPECIFIED
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        said = refusal(failed.value)
        assert (said.code, said.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def test_a_tenant_sees_its_own_videos_change_and_nobody_elses(door: Door) -> None:
    call = door.videos.WatchVideos(pb.WatchVideosRequest(), metadata=door.auth(), timeout=WAIT_S)
    assert (await call.read()).kind == pb.WATCH_KIND_HEARTBEAT  # from now on nothing is missed
    await door.upload(b"theirs", tenant="others")
    mine = await begun(door)
    frames = [await call.read()]
    while frames[-1].video.state != video_pb2.VIDEO_STATE_VALIDATING:
        frames.append(await call.read())
    assert {(frame.kind, frame.video.video_id) for frame in frames} == {(pb.WATCH_KIND_CHANGE, mine)}


async def test_a_catalogue_that_stays_away_ends_watches(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.watch._RETRY_S", 0.01)
    video_id = await begun(door)
    call = watch(door, video_id)
    await call.read()

    async def away() -> int:
        raise DependencyUnavailable("catalog", "away")

    with monkeypatch.context() as broken:
        broken.setattr(door.catalog, "data_version", away)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
    said = refusal(failed.value)
    assert (said.code, said.metadata) == (grpc.StatusCode.UNAVAILABLE, {"dependency": "catalog"})
    again = watch(door, video_id)
    await again.read()
    await progress(door, video_id, 0.5)
    assert (await again.read()).kind == pb.WATCH_KIND_CHANGE


async def test_sequences_are_not_negative(door: Door) -> None:
    wrong = await refused(watch(door, await begun(door), -1))
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == ["after_sequence"]


async def beyond_heartbeats(call: Any) -> pb.WatchVideoResponse:
    """Return the next frame that says something."""
    frame: pb.WatchVideoResponse = await call.read()
    while frame.kind == pb.WATCH_KIND_HEARTBEAT:
        frame = await call.read()
    return frame
