"""Video service: GetVideo, ListVideos, WatchVideo, WatchVideos, GetPlaybackUrl, ReprocessVideo, DeleteVideo."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final

from contracts import facts
from contracts.catalog import Catalog, Video, VideoState
from contracts.errors import PreconditionFailed
from contracts.ports import Clock, Objects
from gateway import identity, validation, videos
from gateway.pages import PageTokens
from gateway.requests import idempotency
from gateway.revisions import Revisions
from gateway.watch import HEARTBEAT_S, ChangePoller
from heimdex.video.v1 import video_pb2
from heimdex.video.v1 import video_service_pb2 as pb
from heimdex.video.v1.video_service_pb2_grpc import VideoServiceServicer

_PLAYABLE: Final = frozenset({
    VideoState.VALIDATING, VideoState.PROCESSING, VideoState.INDEXED, VideoState.FAILED,
})  # fmt: skip


class VideoService(VideoServiceServicer):
    """The tenant's videos."""

    def __init__(  # noqa: PLR0917  # what the services share
        self,
        catalog: Catalog,
        objects: Objects,
        revisions: Revisions,
        poller: ChangePoller,
        pages: PageTokens,
        clock: Clock,
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._revisions = revisions
        self._poller = poller
        self._pages = pages
        self._clock = clock
        self._heartbeat_s = heartbeat_s

    async def GetVideo(self, request: pb.GetVideoRequest, context: Any) -> pb.GetVideoResponse:
        """Return one video."""
        return pb.GetVideoResponse(video=self._message(await self._find(request.video_id)))

    async def ListVideos(self, request: pb.ListVideosRequest, context: Any) -> pb.ListVideosResponse:
        """Return a page of videos, newest first."""
        who = identity.principal()
        size = validation.page_size(request.page_size)
        states = _states(request.states)
        scope = f"ListVideos:{','.join(states)}"
        before = None
        if request.page_token:
            now_ms = self._clock.now_ms()
            create_ms, _, video_id = (
                self._pages.open(who, scope, request.page_token, now_ms=now_ms).decode().partition(":")
            )
            before = (int(create_ms), video_id)
        found = await self._catalog.list_videos(who.tenant_id, states=states, limit=size + 1, before=before)
        page = found[:size]
        token = ""
        if len(found) > size:
            cursor = f"{page[-1].create_ms}:{page[-1].video_id}".encode()
            token = self._pages.seal(who, scope, cursor, now_ms=self._clock.now_ms())
        return pb.ListVideosResponse(videos=[self._message(video) for video in page], next_page_token=token)

    async def WatchVideo(self, request: pb.WatchVideoRequest, context: Any) -> AsyncIterator[pb.WatchVideoResponse]:
        """Stream the video now and after each change, until its state is final."""
        who = identity.principal()
        video_id = validation.resource_id(request.video_id, "video_id", "vid")
        if request.after_sequence < 0:
            raise validation.invalid("after_sequence", "is negative")
        frames = self._poller.watch_video(
            who.tenant_id,
            video_id,
            after_sequence=request.after_sequence,
            expire_ms=who.expire_ms,
            heartbeat_s=self._heartbeat_s,
        )
        async with aclosing(frames):
            async for frame in frames:
                response = pb.WatchVideoResponse(kind=_kind(frame.kind), sequence=frame.sequence)
                if frame.video is not None:
                    response.video.CopyFrom(self._message(frame.video))
                yield response

    async def WatchVideos(self, request: pb.WatchVideosRequest, context: Any) -> AsyncIterator[pb.WatchVideosResponse]:
        """Stream every video of the tenant that changes."""
        who = identity.principal()
        frames = self._poller.watch_tenant(who.tenant_id, expire_ms=who.expire_ms, heartbeat_s=self._heartbeat_s)
        async with aclosing(frames):
            async for frame in frames:
                response = pb.WatchVideosResponse(kind=_kind(frame.kind))
                if frame.video is not None:
                    response.video.CopyFrom(self._message(frame.video))
                yield response

    async def GetPlaybackUrl(self, request: pb.GetPlaybackUrlRequest, context: Any) -> pb.GetPlaybackUrlResponse:
        """Sign a URL of the uploaded file."""
        video = await self._find(request.video_id)
        if video.state not in _PLAYABLE:
            raise PreconditionFailed(
                f"the video is {video.state}: there is nothing to play", metadata={"state": video.state}
            )
        url = await self._objects.sign_get(
            video.source_key, ttl_s=videos.playback_s(video.duration_ms), content_type=video.content_type or None
        )
        response = pb.GetPlaybackUrlResponse(
            url=url.url,
            expire_time=facts.timestamp(url.expires_at_ms),
            content_type=video.content_type,
            browser_playable=video.browser_playable,
        )
        if video.duration_ms:
            response.duration.CopyFrom(videos.duration(video.duration_ms))
        return response

    async def ReprocessVideo(self, request: pb.ReprocessVideoRequest, context: Any) -> pb.ReprocessVideoResponse:
        """Begin another revision of a video."""
        who = identity.principal()
        call = idempotency(who, "ReprocessVideo", request)
        video_id = validation.resource_id(request.video_id, "video_id", "vid")
        traceparent = identity.trace().traceparent
        video = await self._revisions.reprocess(who.tenant_id, video_id, call, traceparent=traceparent)
        return pb.ReprocessVideoResponse(video=self._message(video))

    async def DeleteVideo(self, request: pb.DeleteVideoRequest, context: Any) -> pb.DeleteVideoResponse:
        """Begin the erasure of a video."""
        who = identity.principal()
        call = idempotency(who, "DeleteVideo", request)
        video_id = validation.resource_id(request.video_id, "video_id", "vid")
        record = facts.deletion_requested(who.tenant_id, video_id, self._clock.now_ms())
        video = await self._catalog.request_deletion(who.tenant_id, video_id, call, [record])
        return pb.DeleteVideoResponse(video=self._message(video))

    async def _find(self, video_id: str) -> Video:
        found = validation.resource_id(video_id, "video_id", "vid")
        return await self._catalog.get_video(identity.principal().tenant_id, found)

    def _message(self, video: Video) -> video_pb2.Video:
        return videos.to_proto(video, now_ms=self._clock.now_ms())


def _states(values: Sequence[video_pb2.VideoState.ValueType]) -> tuple[VideoState, ...]:
    if len(values) > len(VideoState):
        raise validation.invalid("states", f"has {len(values)} states, more than there are")
    states: list[VideoState] = []
    for index, value in enumerate(values):
        try:
            states.append(videos.state_of(value))
        except (KeyError, ValueError):
            raise validation.invalid(f"states[{index}]", "is no state of a video") from None
    return tuple(sorted(set(states)))


def _kind(name: str) -> pb.WatchKind.ValueType:
    return pb.WatchKind.Value(f"WATCH_KIND_{name}")
