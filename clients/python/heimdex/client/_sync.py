"""Client: Heimdex without asyncio: the same calls, blocking, iterators for streams."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

from heimdex.admin.v1.admin_service_pb2 import Generation
from heimdex.client._async import AsyncClient, Progress, Uploaded
from heimdex.client._request import File, Strings
from heimdex.client.errors import Closed
from heimdex.client.filters import Narrowed
from heimdex.people.v1.people_service_pb2 import Person
from heimdex.scene.v1.scene_pb2 import Scene
from heimdex.scene.v1.scene_service_pb2 import SceneMedia
from heimdex.search.v1 import search_service_pb2 as search_pb2
from heimdex.search.v1.search_service_pb2 import FindSimilarResponse, SearchScenesResponse, Suggestion
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from heimdex.video.v1 import video_pb2
from heimdex.video.v1.video_service_pb2 import GetPlaybackUrlResponse

T = TypeVar("T")


class Client:
    """``AsyncClient`` behind blocking methods; safe for use from several threads.

    One thread of its own runs the event loop; ``close`` (or ``with``) ends it. A ``Stream`` that is dropped half read
    is ended there; its ``close`` does it at once.
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
        """As ``AsyncClient``."""
        self._closed = False
        self._lock = threading.RLock()  # the collector may begin something while this thread holds it
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="heimdex-client", daemon=True)
        self._thread.start()

        async def make() -> AsyncClient:
            return AsyncClient(
                endpoint, token, home=home, insecure=insecure, root_certificates=root_certificates, timeout_s=timeout_s
            )

        try:
            self._client = self._run(make())
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel and end the thread; calls of other threads that are under way are Closed."""
        try:
            ended = self._begin(self._end(), closing=True)
        except Closed:
            return
        try:
            ended.result()
        finally:
            self._stop()

    def get_video(self, video_id: str) -> video_pb2.Video:
        """Return a video. Raises NotFound."""
        return self._run(self._client.get_video(video_id))

    def list_videos(self, states: Sequence[video_pb2.VideoState.ValueType] = ()) -> Stream[video_pb2.Video]:
        """Yield the tenant's videos, newest first."""
        return self._iterate(self._client.list_videos(states))

    def watch_video(self, video_id: str, *, after_sequence: int = 0) -> Stream[video_pb2.Video]:
        """Yield the video now and after each change, until it is in a final state."""
        return self._iterate(self._client.watch_video(video_id, after_sequence=after_sequence))

    def watch_videos(self) -> Stream[video_pb2.Video]:
        """Yield every video of the tenant that changes; never ends by itself."""
        return self._iterate(self._client.watch_videos())

    def playback_url(self, video_id: str) -> GetPlaybackUrlResponse:
        """Return a signed URL of the uploaded file."""
        return self._run(self._client.playback_url(video_id))

    def reprocess_video(self, video_id: str, *, request_id: str | None = None) -> video_pb2.Video:
        """Begin another revision of a video that is indexed or has failed, and return it, VALIDATING.

        What was rejected or failed runs again, and what has changed since: models, settings, faces switched on.
        Raises FailedPrecondition while it is under way.
        """
        return self._run(self._client.reprocess_video(video_id, request_id=request_id))

    def delete_video(self, video_id: str, *, request_id: str | None = None) -> video_pb2.Video:
        """Begin the erasure of a video and return it, DELETING."""
        return self._run(self._client.delete_video(video_id, request_id=request_id))

    def get_scene(self, scene_id: str, *, include_urls: bool = False) -> Scene:
        """Return a scene. Raises NotFound."""
        return self._run(self._client.get_scene(scene_id, include_urls=include_urls))

    def list_scenes(self, video_id: str, *, include_urls: bool = False) -> Stream[Scene]:
        """Yield a video's scenes in order."""
        return self._iterate(self._client.list_scenes(video_id, include_urls=include_urls))

    def neighbours(
        self, scene_id: str, *, before: int = 1, after: int = 1, include_urls: bool = False
    ) -> Sequence[Scene]:
        """Return the scenes before and after one in its video, in order, itself left out. Raises NotFound."""
        return self._run(self._client.neighbours(scene_id, before=before, after=after, include_urls=include_urls))

    def scene_media(self, scene_ids: Strings) -> Sequence[SceneMedia]:
        """Return signed URLs that show up to 200 scenes, in their order; those that are gone are left out."""
        return self._run(self._client.scene_media(scene_ids))

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
    ) -> Stream[SearchScenesResponse]:
        """Yield frames, each with the complete current list of hits; the last is DONE."""
        return self._iterate(
            self._client.search(
                query,
                image=image,
                limit=limit,
                page_token=page_token,
                final_only=final_only,
                include_urls=include_urls,
                weights=weights,
                fusion=fusion,
                max_scenes_per_video=max_scenes_per_video,
                group_by=group_by,
                facets=facets,
                include_weak=include_weak,
                timeout_s=timeout_s,
                **narrowed,
            )
        )

    def suggest(self, text: str, *, page_size: int = 8) -> Sequence[Suggestion]:
        """Return how what is being typed may go on: people first, then tags and words of most scenes."""
        return self._run(self._client.suggest(text, page_size=page_size))

    def similar(
        self,
        scene_id: str,
        *,
        limit: int = 20,
        include_same_video: bool = False,
        include_urls: bool = False,
        weights: search_pb2.SearchWeights | None = None,
        **narrowed: Unpack[Narrowed],
    ) -> FindSimilarResponse:
        """Return scenes that say or show what a scene does, best first, itself left out. Raises NotFound."""
        return self._run(
            self._client.similar(
                scene_id,
                limit=limit,
                include_same_video=include_same_video,
                include_urls=include_urls,
                weights=weights,
                **narrowed,
            )
        )

    def record_feedback(
        self,
        query_id: str,
        kind: search_pb2.FeedbackKind.ValueType,
        *,
        scene_id: str = "",
        rank: int = 0,
        request_id: str | None = None,
    ) -> None:
        """Tell what became of an answer: of a scene in it, or with NOT_FOUND of the whole. Raises NotFound."""
        self._run(self._client.record_feedback(query_id, kind, scene_id=scene_id, rank=rank, request_id=request_id))

    def enrol_person(
        self,
        display_name: str,
        photos: Sequence[File],
        *,
        aliases: Strings = (),
        request_id: str | None = None,
    ) -> Person:
        """Upload photos and enrol somebody by them."""
        return self._run(self._client.enrol_person(display_name, photos, aliases=aliases, request_id=request_id))

    def get_person(self, person_id: str) -> Person:
        """Return a person. Raises NotFound."""
        return self._run(self._client.get_person(person_id))

    def list_people(self) -> Stream[Person]:
        """Yield the enrolled people by display name."""
        return self._iterate(self._client.list_people())

    def delete_person(self, person_id: str, *, request_id: str | None = None) -> None:
        """Erase a person, the photos and every match."""
        self._run(self._client.delete_person(person_id, request_id=request_id))

    def create_generation(
        self,
        *,
        dictionary: Strings = (),
        synonyms: Sequence[Strings] = (),
        promote_when_ready: bool = False,
        request_id: str | None = None,
    ) -> Generation:
        """Begin to build a generation with these words of the deployment's own, and no others; it is PENDING."""
        return self._run(
            self._client.create_generation(
                dictionary=dictionary, synonyms=synonyms, promote_when_ready=promote_when_ready, request_id=request_id
            )
        )

    def get_generation(self, generation: int = 0) -> Generation:
        """Return a generation with its words, by default the one that serves. Raises NotFound."""
        return self._run(self._client.get_generation(generation))

    def watch_generation(self, generation: int) -> Stream[Generation]:
        """Yield a generation now and after each change, until it is built, or FAILED, or dropped."""
        return self._iterate(self._client.watch_generation(generation))

    def list_generations(self) -> Sequence[Generation]:
        """Return every generation by number, without its words."""
        return self._run(self._client.list_generations())

    def promote_generation(self, generation: int, *, request_id: str | None = None) -> Generation:
        """Have searches read a generation that is READY or RETIRED. Raises NotFound, FailedPrecondition."""
        return self._run(self._client.promote_generation(generation, request_id=request_id))

    def drop_generation(self, generation: int, *, request_id: str | None = None) -> None:
        """Give up a generation that does not serve, with its index. Raises NotFound, FailedPrecondition."""
        self._run(self._client.drop_generation(generation, request_id=request_id))

    def upload(
        self,
        path: File,
        *,
        file_name: str | None = None,
        purpose: upload_pb2.UploadPurpose.ValueType = upload_pb2.UPLOAD_PURPOSE_VIDEO,
        allow_duplicate: bool = False,
        progress: Progress | None = None,
    ) -> Uploaded:
        """Upload a file; a repeated call goes on where an earlier one was interrupted."""
        return self._run(
            self._client.upload(
                path, file_name=file_name, purpose=purpose, allow_duplicate=allow_duplicate, progress=progress
            )
        )

    def abort_upload(self, upload_id: str) -> None:
        """Drop an upload and its bytes."""
        self._run(self._client.abort_upload(upload_id))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = self._begin(work)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Closed from None  # nobody else cancels it
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _begin(self, work: Coroutine[Any, Any, T], *, closing: bool = False) -> concurrent.futures.Future[T]:
        """Hand work to the loop. Raises Closed after ``close``: whatever was begun before comes to an end."""
        with self._lock:
            refusal = self._refusal()
            if refusal is None:
                self._closed = closing
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise refusal

    def _refusal(self) -> Exception | None:
        if threading.current_thread() is self._thread:  # in a callback, or a finalizer that the collector runs
            return RuntimeError("a blocking call on the client's own thread would wait for itself")
        return Closed() if self._closed else None

    def _iterate(self, frames: AsyncGenerator[T, None]) -> Stream[T]:
        return Stream(self._run, frames)

    async def _end(self) -> None:
        """Close the client and end whatever the loop still does, so that nobody waits for a loop that has stopped."""
        await self._client.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Stream(Iterator[T]):
    """What an async generator of the client's loop yields.

    Nobody waits when one is dropped half read, for the collector may run on the loop's own thread: asyncio closes the
    async iterator that nobody can reach any more, in its loop and its own time. ``close`` waits.
    """

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], frames: AsyncGenerator[T, None]) -> None:
        """Made by ``Client``."""
        self._run = run
        self._frames = frames

    def __next__(self) -> T:
        """Return what comes next. Raises as the call that it is of."""
        for frame in self._run(self._step()):
            return cast("T", frame)
        raise StopIteration

    def close(self) -> None:
        """End it; what it has not yielded is lost."""
        with contextlib.suppress(Closed):  # it has ended with its client
            self._run(self._ended())

    async def _step(self) -> list[T]:
        """Return the next frame, nothing at the end."""
        async for frame in self._frames:
            return [frame]
        return []

    async def _ended(self) -> None:
        await self._frames.aclose()
