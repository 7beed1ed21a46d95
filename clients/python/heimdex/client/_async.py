"""AsyncClient: Heimdex for asyncio: unary calls, upload, watch and search as async iterators."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
import grpc.aio
from google.protobuf.message import Message

from heimdex.admin.v1 import admin_service_pb2 as admin_pb2
from heimdex.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from heimdex.client import _transfer, config, errors
from heimdex.client._request import File, Strings, a_string, message, part, several
from heimdex.client.filters import Narrowed, search_filter
from heimdex.people.v1 import people_service_pb2 as people_pb2
from heimdex.people.v1.people_service_pb2_grpc import PeopleServiceStub
from heimdex.scene.v1 import scene_service_pb2 as scene_pb2
from heimdex.scene.v1.scene_pb2 import Scene
from heimdex.scene.v1.scene_service_pb2_grpc import SceneServiceStub
from heimdex.search.v1 import search_service_pb2 as search_pb2
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceStub
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from heimdex.upload.v1.upload_service_pb2_grpc import UploadServiceStub
from heimdex.video.v1 import video_pb2
from heimdex.video.v1 import video_service_pb2 as video_service
from heimdex.video.v1.video_service_pb2_grpc import VideoServiceStub

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with (bytes sent, bytes in all)."""

_LONGEST_S = 1e9  # 31 years: gRPC counts nanoseconds in 64 bits
_ATTEMPTS = 6
_MAX_PAUSE_S = 10.0
_PUTS_AT_ONCE = 3
_LOOK_S = 0.5
_ENROL_S = 60.0  # the gateway's own limit: photos are read one by one
_ALIVE = frozenset({
    video_pb2.VIDEO_STATE_UPLOADING, video_pb2.VIDEO_STATE_COMPLETING, video_pb2.VIDEO_STATE_VALIDATING,
    video_pb2.VIDEO_STATE_PROCESSING, video_pb2.VIDEO_STATE_INDEXED,
})  # fmt: skip
_COMING = frozenset({admin_pb2.GENERATION_STATE_PENDING, admin_pb2.GENERATION_STATE_BUILDING})
_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A finished upload.

    Attributes:
        upload_id: empty when the content was there already.
        video_id: for videos.
        already_there: whether the tenant had the same content.
    """

    upload_id: str
    video_id: str
    already_there: bool


class AsyncClient:
    """Heimdex over gRPC; safe for concurrent calls in one event loop.

    Calls that may be repeated are, six times at most and never sooner than RetryInfo says: up to 30 % later, so that
    callers spread, and twice as late each time. A pause that would outlast ``timeout_s`` is not begun: the call fails
    with what it was told.

    Every failure of a call is a ``heimdex.client.errors.HeimdexError``, also of one that is not made because no message
    holds its arguments (InvalidArgument) or the client is closed (Closed). What is wrong as Python is a TypeError, an
    argument that there is not or one string where several are meant among it; a file that cannot be read is an OSError.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        home: File | None = None,
        insecure: bool | None = None,
        root_certificates: bytes | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Configure a client; nothing is sent yet.

        Args:
            endpoint: ``host:port``; by default from the environment or a stack's home.
            token: bearer JWT, likewise.
            home: folder of the stack, as given to ``heimdex up --home``.
            insecure: plain text; by default only on loopback.
            root_certificates: PEM, for a private authority.
            timeout_s: of a unary call, retries included.
        """
        self._config = config.load(endpoint=endpoint, token=token, home=home)
        plain = self._config.insecure if insecure is None else insecure
        if plain:
            self._channel = grpc.aio.insecure_channel(self._config.endpoint, options=_OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(root_certificates)
            self._channel = grpc.aio.secure_channel(self._config.endpoint, credentials, options=_OPTIONS)
        self._timeout_s = _bounded(timeout_s)
        self._closed = False
        self._uploads = UploadServiceStub(self._channel)
        self._videos = VideoServiceStub(self._channel)
        self._scenes = SceneServiceStub(self._channel)
        self._search = SearchServiceStub(self._channel)
        self._people = PeopleServiceStub(self._channel)
        self._admin = AdminServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls under way, and later ones, are Closed."""
        self._closed = True
        await self._channel.close()

    # ------------------------------------------------------------------------------------------ videos

    async def get_video(self, video_id: str) -> video_pb2.Video:
        """Return a video. Raises NotFound."""
        request = message(video_service.GetVideoRequest, video_id=video_id)
        return (await self._call(self._videos.GetVideo, request)).video

    async def list_videos(
        self, states: Sequence[video_pb2.VideoState.ValueType] = ()
    ) -> AsyncGenerator[video_pb2.Video, None]:
        """Yield the tenant's videos, newest first."""
        token = ""
        while True:
            page = await self._call(
                self._videos.ListVideos,
                message(video_service.ListVideosRequest, page_size=200, page_token=token, states=states),
            )
            for video in page.videos:
                yield video
            token = page.next_page_token
            if not token:
                return

    async def watch_video(self, video_id: str, *, after_sequence: int = 0) -> AsyncGenerator[video_pb2.Video, None]:
        """Yield the video now and after each change, until it is in a final state; resumes after a broken stream."""
        sequence = after_sequence
        failures = 0
        while True:
            request = message(video_service.WatchVideoRequest, video_id=video_id, after_sequence=sequence)
            frames = self._stream(self._videos.WatchVideo, request)
            try:
                async with aclosing(frames):
                    async for frame in frames:
                        failures = 0
                        if frame.kind != video_service.WATCH_KIND_HEARTBEAT:
                            sequence = frame.sequence
                            yield frame.video
            except errors.Unavailable as error:
                failures += 1
                if failures >= _ATTEMPTS:
                    raise
                await asyncio.sleep(_pause_s(error, failures))
                continue
            return

    async def watch_videos(self) -> AsyncGenerator[video_pb2.Video, None]:
        """Yield every video of the tenant that changes; never ends by itself."""
        async with aclosing(self._stream(self._videos.WatchVideos, video_service.WatchVideosRequest())) as frames:
            async for frame in frames:
                if frame.kind != video_service.WATCH_KIND_HEARTBEAT:
                    yield frame.video

    async def playback_url(self, video_id: str) -> video_service.GetPlaybackUrlResponse:
        """Return a signed URL of the uploaded file."""
        return await self._call(
            self._videos.GetPlaybackUrl, message(video_service.GetPlaybackUrlRequest, video_id=video_id)
        )

    async def reprocess_video(self, video_id: str, *, request_id: str | None = None) -> video_pb2.Video:
        """Begin another revision of a video that is indexed or has failed, and return it, VALIDATING.

        What was rejected or failed runs again, and what has changed since: models, settings, faces switched on.
        Raises FailedPrecondition while it is under way.
        """
        request = message(
            video_service.ReprocessVideoRequest, video_id=video_id, request_id=request_id or str(uuid.uuid4())
        )
        return (await self._call(self._videos.ReprocessVideo, request)).video

    async def delete_video(self, video_id: str, *, request_id: str | None = None) -> video_pb2.Video:
        """Begin the erasure of a video and return it, DELETING."""
        request = message(
            video_service.DeleteVideoRequest, video_id=video_id, request_id=request_id or str(uuid.uuid4())
        )
        return (await self._call(self._videos.DeleteVideo, request)).video

    # ------------------------------------------------------------------------------------------ scenes

    async def get_scene(self, scene_id: str, *, include_urls: bool = False) -> Scene:
        """Return a scene. Raises NotFound."""
        request = message(scene_pb2.GetSceneRequest, scene_id=scene_id, include_urls=include_urls)
        return (await self._call(self._scenes.GetScene, request)).scene

    async def list_scenes(self, video_id: str, *, include_urls: bool = False) -> AsyncGenerator[Scene, None]:
        """Yield a video's scenes in order; none while it is not searchable."""
        token = ""
        while True:
            page = await self._call(
                self._scenes.ListScenes,
                message(
                    scene_pb2.ListScenesRequest,
                    video_id=video_id,
                    page_size=200,
                    page_token=token,
                    include_urls=include_urls,
                ),
            )
            for scene in page.scenes:
                yield scene
            token = page.next_page_token
            if not token:
                return

    async def neighbours(
        self, scene_id: str, *, before: int = 1, after: int = 1, include_urls: bool = False
    ) -> Sequence[Scene]:
        """Return the scenes before and after one in its video, in order, itself left out. Raises NotFound."""
        request = message(
            scene_pb2.ListNeighboursRequest, scene_id=scene_id, before=before, after=after, include_urls=include_urls
        )
        return (await self._call(self._scenes.ListNeighbours, request)).scenes

    async def scene_media(self, scene_ids: Strings) -> Sequence[scene_pb2.SceneMedia]:
        """Return signed URLs that show up to 200 scenes, in their order; those that are gone are left out."""
        request = message(scene_pb2.GetSceneMediaRequest, scene_ids=scene_ids)
        return (await self._call(self._scenes.GetSceneMedia, request)).media

    # ------------------------------------------------------------------------------------------ search

    def search(
        self,
        query: str = "",
        *,
        image: File | None = None,
        limit: int = 20,
        page_token: str = "",
        final_only: bool = False,
        include_urls: bool = False,
        weights: search_pb2.SearchWeights | None = None,
        fusion: search_pb2.Fusion.ValueType = search_pb2.FUSION_UNSPECIFIED,
        max_scenes_per_video: int | None = None,
        group_by: search_pb2.GroupBy.ValueType = search_pb2.GROUP_BY_UNSPECIFIED,
        facets: Sequence[search_pb2.Facet.ValueType] = (),
        include_weak: bool = False,
        timeout_s: float = 10.0,
        **narrowed: Unpack[Narrowed],
    ) -> AsyncGenerator[search_pb2.SearchScenesResponse, None]:
        """Yield frames, each with the complete current list of hits; the last is DONE with the summary.

        Tries again only while no frame has arrived. What an argument means is said where the field of
        ``SearchScenesRequest`` is; None and UNSPECIFIED leave it to the server.

        Args:
            image: a picture to find by, alone or beside ``query``; it is uploaded first, once a day.
            narrowed: what a hit must have, see ``Narrowed``.
        """
        request = message(
            search_pb2.SearchScenesRequest,
            query=a_string("query", query),
            page_size=limit,
            page_token=page_token,
            filter=search_filter(narrowed),
            delivery=search_pb2.DELIVERY_FINAL_ONLY if final_only else search_pb2.DELIVERY_PROGRESSIVE,
            include_urls=include_urls,
            weights=weights,
            fusion=fusion,
            max_scenes_per_video=max_scenes_per_video,
            group_by=group_by,
            facets=facets,
            include_weak=include_weak,
        )
        return self._searched(request, None if image is None else Path(image), _bounded(timeout_s))

    async def _searched(
        self, request: search_pb2.SearchScenesRequest, image: Path | None, timeout_s: float
    ) -> AsyncGenerator[search_pb2.SearchScenesResponse, None]:
        if image is not None:
            request.image_upload_id = await self._upload_image(image)
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        attempt = 0
        while True:
            begun = False
            left = max(end - loop.time(), 0.001)
            frames = self._stream(self._search.SearchScenes, request, timeout=left)
            try:
                async with aclosing(frames):
                    async for frame in frames:
                        begun = True
                        yield frame
            except errors.HeimdexError as error:
                attempt += 1
                pause = _pause_s(error, attempt)
                if begun or error.retry_after_s is None or attempt >= _ATTEMPTS or loop.time() + pause >= end:
                    raise
                await asyncio.sleep(pause)
                continue
            return

    async def suggest(self, text: str, *, page_size: int = 8) -> Sequence[search_pb2.Suggestion]:
        """Return how what is being typed may go on: people first, then tags and words of most scenes."""
        request = message(search_pb2.SuggestQueriesRequest, text=a_string("text", text), page_size=page_size)
        return (await self._call(self._search.SuggestQueries, request)).suggestions

    async def similar(
        self,
        scene_id: str,
        *,
        limit: int = 20,
        include_same_video: bool = False,
        include_urls: bool = False,
        weights: search_pb2.SearchWeights | None = None,
        **narrowed: Unpack[Narrowed],
    ) -> search_pb2.FindSimilarResponse:
        """Return scenes that say or show what a scene does, best first, itself left out. Raises NotFound.

        Args:
            weights: as in a search; ``text`` is meaning alone, ``tags`` counts those in common.
            narrowed: what a hit must have, see ``Narrowed``.
        """
        request = message(
            search_pb2.FindSimilarRequest,
            scene_id=scene_id,
            page_size=limit,
            filter=search_filter(narrowed),
            include_same_video=include_same_video,
            include_urls=include_urls,
            weights=weights,
        )
        return await self._call(self._search.FindSimilar, request)

    async def record_feedback(
        self,
        query_id: str,
        kind: search_pb2.FeedbackKind.ValueType,
        *,
        scene_id: str = "",
        rank: int = 0,
        request_id: str | None = None,
    ) -> None:
        """Tell what became of an answer: of a scene in it, or with NOT_FOUND of the whole. Raises NotFound.

        Args:
            query_id: of the answer's summary.
            rank: the scene's, 0 when unknown.
        """
        request = message(
            search_pb2.RecordFeedbackRequest,
            request_id=request_id or str(uuid.uuid4()),
            query_id=query_id,
            kind=kind,
            scene_id=scene_id,
            rank=rank,
        )
        await self._call(self._search.RecordFeedback, request)

    # ------------------------------------------------------------------------------------------ people

    async def enrol_person(
        self,
        display_name: str,
        photos: Sequence[File],
        *,
        aliases: Strings = (),
        request_id: str | None = None,
    ) -> people_pb2.Person:
        """Upload photos and enrol somebody by them; the person carries a verdict per photo.

        The uploads are this enrolment's own: a repeated call with the same ``request_id`` finds them and the person.

        Raises:
            FailedPrecondition: NO_PHOTO_ACCEPTED, with the verdict of each file in the message, or FACES_DISABLED.
        """
        own = request_id or str(uuid.uuid4())
        paths = [Path(photo) for photo in several("photos", photos)]
        request = message(
            people_pb2.EnrolPersonRequest,
            display_name=a_string("display_name", display_name),
            aliases=several("aliases", aliases),
            request_id=own,
        )
        upload_ids = [await self._upload_photo(path, f"{own}:{place}") for place, path in enumerate(paths)]
        request.upload_ids.extend(upload_ids)
        try:
            timeout_s = max(self._timeout_s, _ENROL_S)
            return (await self._call(self._people.EnrolPerson, request, timeout_s=timeout_s)).person
        except errors.FailedPrecondition as error:
            verdicts = [
                f"{path.name}: {error.metadata[upload_id].lower().replace('_', ' ')}"
                for path, upload_id in zip(paths, upload_ids, strict=True)
                if upload_id in error.metadata
            ]
            if verdicts:
                error.message = f"{error.message}: {', '.join(verdicts)}"
            raise

    async def get_person(self, person_id: str) -> people_pb2.Person:
        """Return a person. Raises NotFound."""
        return (
            await self._call(self._people.GetPerson, message(people_pb2.GetPersonRequest, person_id=person_id))
        ).person

    async def list_people(self) -> AsyncGenerator[people_pb2.Person, None]:
        """Yield the enrolled people by display name."""
        token = ""
        while True:
            page = await self._call(
                self._people.ListPeople, message(people_pb2.ListPeopleRequest, page_size=200, page_token=token)
            )
            for person in page.people:
                yield person
            token = page.next_page_token
            if not token:
                return

    async def delete_person(self, person_id: str, *, request_id: str | None = None) -> None:
        """Erase a person, the photos and every match."""
        request = message(
            people_pb2.DeletePersonRequest, person_id=person_id, request_id=request_id or str(uuid.uuid4())
        )
        await self._call(self._people.DeletePerson, request)

    # ---------------------------------------------------------------------------------- administration

    async def create_generation(
        self,
        *,
        dictionary: Strings = (),
        synonyms: Sequence[Strings] = (),
        promote_when_ready: bool = False,
        request_id: str | None = None,
    ) -> admin_pb2.Generation:
        """Begin to build a generation with these words of the deployment's own, and no others; it is PENDING.

        Args:
            dictionary: lines: a word, or a compound followed by its parts.
            synonyms: groups of words that mean the same.

        Raises: PermissionDenied without the role ``admin``, as all below; FailedPrecondition (GENERATION_STATE).
        """
        request = message(
            admin_pb2.CreateGenerationRequest,
            vocabulary=part(
                "vocabulary",
                admin_pb2.Vocabulary,
                dictionary=dictionary,
                synonyms=[part("vocabulary.synonyms", admin_pb2.Synonyms, words=group) for group in synonyms],
            ),
            promote_when_ready=promote_when_ready,
            request_id=request_id or str(uuid.uuid4()),
        )
        return (await self._call(self._admin.CreateGeneration, request)).generation

    async def get_generation(self, generation: int = 0) -> admin_pb2.Generation:
        """Return a generation with its words, by default the one that serves. Raises NotFound."""
        request = message(admin_pb2.GetGenerationRequest, generation=generation)
        return (await self._call(self._admin.GetGeneration, request)).generation

    async def watch_generation(self, generation: int) -> AsyncGenerator[admin_pb2.Generation, None]:
        """Yield a generation now and after each change, until it is built, or FAILED, or dropped."""
        seen, coming = b"", True
        while coming:
            found = await self.get_generation(generation)
            now = found.SerializeToString(deterministic=True)  # the message is the caller's, who may write into it
            if now == seen:
                await asyncio.sleep(_LOOK_S)
            else:
                seen, coming = now, found.state in _COMING
                yield found

    async def list_generations(self) -> Sequence[admin_pb2.Generation]:
        """Return every generation by number, without its words."""
        return (await self._call(self._admin.ListGenerations, admin_pb2.ListGenerationsRequest())).generations

    async def promote_generation(self, generation: int, *, request_id: str | None = None) -> admin_pb2.Generation:
        """Have searches read a generation that is READY or RETIRED. Raises NotFound, FailedPrecondition."""
        request = message(
            admin_pb2.PromoteGenerationRequest, generation=generation, request_id=request_id or str(uuid.uuid4())
        )
        return (await self._call(self._admin.PromoteGeneration, request)).generation

    async def drop_generation(self, generation: int, *, request_id: str | None = None) -> None:
        """Give up a generation that does not serve, with its index. Raises NotFound, FailedPrecondition."""
        request = message(
            admin_pb2.DropGenerationRequest, generation=generation, request_id=request_id or str(uuid.uuid4())
        )
        await self._call(self._admin.DropGeneration, request)

    # ------------------------------------------------------------------------------------------ upload

    async def upload(
        self,
        path: File,
        *,
        file_name: str | None = None,
        purpose: upload_pb2.UploadPurpose.ValueType = upload_pb2.UPLOAD_PURPOSE_VIDEO,
        allow_duplicate: bool = False,
        progress: Progress | None = None,
    ) -> Uploaded:
        """Upload a file; a repeated call goes on where an earlier one was interrupted.

        The request id is derived from the content and the name, so that no state is kept on disk.

        Raises:
            FileNotFoundError, OSError: the file cannot be read.
            TransferFailed: object storage refused the bytes or the connection broke too often.
            HeimdexError: anything the gateway says.
        """
        path = Path(path)
        request = await _described(path, file_name or path.name, purpose)
        request.allow_duplicate = allow_duplicate
        same = (
            f"heimdex:{purpose}:{request.sha256}:{request.file_name}:{int(allow_duplicate)}:{request.part_size_bytes}"
        )
        request.request_id = str(uuid.uuid5(uuid.NAMESPACE_URL, same))
        try:
            upload = await self._open_upload(request)
        except errors.AlreadyExists as error:
            if error.reason != "ALREADY_EXISTS" or "video_id" not in error.metadata:
                raise
            return Uploaded("", error.metadata["video_id"], already_there=True)
        done = await self._finish(upload, path, progress)
        return Uploaded(done.upload_id, done.video_id, already_there=False)

    async def abort_upload(self, upload_id: str) -> None:
        """Drop an upload and its bytes."""
        request = message(upload_pb2.AbortUploadRequest, upload_id=upload_id, request_id=str(uuid.uuid4()))
        await self._call(self._uploads.AbortUpload, request)

    async def _upload_photo(self, path: Path, request_id: str) -> str:
        """Upload a photo, or find the upload of an earlier call with the same id; return the upload's id."""
        request = await _described(path, path.name, upload_pb2.UPLOAD_PURPOSE_PERSON_PHOTO)
        request.request_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"heimdex:photo:{request_id}"))
        upload = (await self._call(self._uploads.CreateUpload, request)).upload
        return (await self._finish(upload, path, None)).upload_id

    async def _upload_image(self, path: Path) -> str:
        """Upload a picture to find by, or find the upload of an earlier search by it; return the upload's id."""
        request = await _described(path, path.name, upload_pb2.UPLOAD_PURPOSE_QUERY_IMAGE)
        same = f"heimdex:image:{request.sha256}:{request.file_name}"
        request.request_id = str(uuid.uuid5(uuid.NAMESPACE_URL, same))
        upload = (await self._call(self._uploads.CreateUpload, request)).upload
        if upload.state in (upload_pb2.UPLOAD_STATE_ABORTED, upload_pb2.UPLOAD_STATE_EXPIRED):
            request.request_id = str(uuid.uuid4())
            upload = (await self._call(self._uploads.CreateUpload, request)).upload
        return (await self._finish(upload, path, None)).upload_id

    async def _finish(self, upload: upload_pb2.Upload, path: Path, progress: Progress | None) -> upload_pb2.Upload:
        """Send what is missing and complete the upload."""
        if upload.state != upload_pb2.UPLOAD_STATE_COMPLETED:
            await self._transfer(upload, path, progress)
        own = f"{upload.upload_id}:complete"
        request = message(upload_pb2.CompleteUploadRequest, upload_id=upload.upload_id, request_id=own)
        return (await self._call(self._uploads.CompleteUpload, request)).upload

    async def _open_upload(self, request: upload_pb2.CreateUploadRequest) -> upload_pb2.Upload:
        """Create the upload, or find the one of an earlier, interrupted call that can still go on.

        Each that can't has a follower, whose id is derived from its own: so a repeated call finds that one, too.
        """
        try:
            upload = (await self._call(self._uploads.CreateUpload, request)).upload
        except errors.InvalidArgument as error:
            if [violation.field for violation in error.violations] != ["part_sha256"]:
                raise
            request.ClearField("part_sha256")  # this server cuts files into parts of another size
            request.ClearField("part_size_bytes")
            upload = (await self._call(self._uploads.CreateUpload, request)).upload
        if upload.state in (upload_pb2.UPLOAD_STATE_OPEN, upload_pb2.UPLOAD_STATE_COMPLETING):
            return upload
        is_video = request.purpose == upload_pb2.UPLOAD_PURPOSE_VIDEO
        completed = is_video and upload.state == upload_pb2.UPLOAD_STATE_COMPLETED
        if completed and not request.allow_duplicate and await self._is_alive(upload.video_id):
            raise errors.AlreadyExists(
                grpc.StatusCode.ALREADY_EXISTS,
                "the tenant has this video already",
                reason="ALREADY_EXISTS",
                metadata={"video_id": upload.video_id},
            )
        follower = upload_pb2.CreateUploadRequest()
        follower.CopyFrom(request)
        follower.request_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"heimdex:after:{upload.upload_id}"))
        return await self._open_upload(follower)

    async def _is_alive(self, video_id: str) -> bool:
        try:
            return (await self.get_video(video_id)).state in _ALIVE
        except errors.NotFound:
            return False

    async def _transfer(self, upload: upload_pb2.Upload, path: Path, progress: Progress | None) -> None:
        total, stop, lock = upload.size_bytes, threading.Event(), threading.Lock()
        done = sum(p.size_bytes for p in upload.parts if p.received)

        def sent(count: int) -> None:
            nonlocal done
            with lock:
                done += count
                if progress:
                    progress(min(done, total), total)

        if progress:
            progress(done, total)
        gate = asyncio.Semaphore(_PUTS_AT_ONCE)

        async def put_part(part: upload_pb2.UploadPart) -> None:
            async with gate:
                await self._put(upload, part, path, sent, stop)

        jobs = [asyncio.ensure_future(put_part(p)) for p in upload.parts if not p.received]
        if not upload.parts and upload.HasField("request"):
            whole = upload_pb2.UploadPart(size_bytes=total, request=upload.request)
            jobs.append(asyncio.ensure_future(put_part(whole)))
        try:
            await asyncio.gather(*jobs)
        except BaseException:
            stop.set()
            for job in jobs:
                job.cancel()
            raise

    async def _put(
        self,
        upload: upload_pb2.Upload,
        part: upload_pb2.UploadPart,
        path: Path,
        sent: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        request = part.request
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await asyncio.to_thread(
                    _transfer.put,
                    request,
                    path,
                    offset_bytes=part.offset_bytes,
                    size_bytes=part.size_bytes,
                    sent=sent,
                    stop=stop,
                )
            except _transfer.Expired:
                request = await self._sign_again(upload.upload_id, part.part_number)
            except errors.TransferFailed as error:
                if error.reason != "TRANSFER_FAILED" or attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(_pause_s(error, attempt))
            else:
                return
        raise errors.TransferFailed("object storage kept refusing fresh URLs")

    async def _sign_again(self, upload_id: str, part_number: int) -> upload_pb2.SignedRequest:
        request = message(
            upload_pb2.CreateUploadPartUrlsRequest,
            upload_id=upload_id,
            part_numbers=[part_number] if part_number else [],
        )
        upload = (await self._call(self._uploads.CreateUploadPartUrls, request)).upload
        if not part_number:
            return upload.request
        return next(p.request for p in upload.parts if p.part_number == part_number)

    # ------------------------------------------------------------------------------------------- calls

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._config.token}"),) if self._config.token else ()

    async def _call(
        self, method: Callable[..., Awaitable[T]], request: Message, *, timeout_s: float | None = None
    ) -> T:
        """Make a unary call; tries again when the server says when, within the timeout, the client's by default."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (timeout_s or self._timeout_s)
        for attempt in range(1, _ATTEMPTS + 1):
            options: dict[str, Any] = {"timeout": max(end - loop.time(), 0.001), "metadata": self._metadata()}
            try:
                with self._typed():
                    return await method(request, **options)
            except errors.HeimdexError as error:
                pause = _pause_s(error, attempt)
                if error.retry_after_s is None or attempt == _ATTEMPTS or loop.time() + pause >= end:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _stream(
        self, method: Callable[..., grpc.aio.UnaryStreamCall[Any, T]], request: Message, **options: float
    ) -> AsyncGenerator[T, None]:
        """Make a streaming call, once; whoever closes it leaves nothing running."""
        with self._typed():
            call = method(request, metadata=self._metadata(), **options)
            try:
                async for frame in call:
                    yield frame
            finally:
                call.cancel()  # does nothing when it has ended

    @contextmanager
    def _typed(self) -> Iterator[None]:
        """Raise what a call may end with as an error of ours."""
        try:
            yield
        except grpc.RpcError as error:
            raise errors.from_rpc(error) from error
        except grpc.aio.UsageError as error:
            if not self._closed:
                raise
            raise errors.Closed from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if not self._closed or task is None or task.cancelling():
                raise  # of the caller, who is cancelled
            raise errors.Closed from error


async def _described(
    path: Path, name: str, purpose: upload_pb2.UploadPurpose.ValueType
) -> upload_pb2.CreateUploadRequest:
    """Return what CreateUpload must know of a file, without a request id."""
    size_bytes, sha256, parts = await asyncio.to_thread(_transfer.digests, path, _transfer.PART_SIZE_BYTES)
    return message(
        upload_pb2.CreateUploadRequest,
        purpose=purpose,
        size_bytes=size_bytes,
        content_type="application/octet-stream",
        sha256=sha256,
        file_name=name,
        part_sha256=parts,
        part_size_bytes=_transfer.PART_SIZE_BYTES if parts else 0,
    )


def _bounded(timeout_s: float) -> float:
    """Return a timeout that gRPC can count; infinity is the longest. ValueError for what is no number."""
    if math.isnan(timeout_s):
        raise ValueError("timeout_s is not a number")
    return min(timeout_s, _LONGEST_S)


def _pause_s(error: errors.HeimdexError, attempt: int) -> float:
    """Return how long to wait: RetryInfo's time at the least, doubling, with jitter so that callers spread."""
    told_s = error.retry_after_s or 0.2
    base_s = max(told_s, min(told_s * 2 ** (attempt - 1), _MAX_PAUSE_S))
    return float(base_s * random.uniform(1.0, 1.3))  # noqa: S311  # jitter, no secret
