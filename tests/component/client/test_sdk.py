"""The SDK on a gateway: uploads that go on where they were, watches that resume, retries, typed errors."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import unicodedata
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import pytest

from contracts.errors import DependencyUnavailable, LimitExceeded
from contracts.ids import new_id, row_id
from gateway.interceptors.around import Around, Call
from gateway.interceptors.errors import Errors
from heimdex.client import (
    AlreadyExists,
    AsyncClient,
    Client,
    Closed,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TransferFailed,
    Unauthenticated,
    Unavailable,
    _transfer,
)
from heimdex.people.v1 import people_service_pb2 as people_pb2
from heimdex.search.v1 import search_service_pb2 as search_pb2
from heimdex.video.v1 import video_pb2
from tests.component.client.storage import HttpObjects
from tests.component.gateway.door import CLOCK, PART_SIZE_BYTES, Door, open_door, until
from tests.component.gateway.test_people import RED, photo
from tests.unit.search.fakes import said


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A file that goes in one piece."""
    path = tmp_path / unicodedata.normalize("NFD", "영상.mp4")
    path.write_bytes(b"frames" * 50)
    return path


@pytest.fixture
def long_film(tmp_path: Path) -> Path:
    """A file that goes in four parts."""
    path = tmp_path / "long.mp4"
    path.write_bytes(random.Random(2).randbytes(3500))
    return path


async def test_a_video_is_uploaded_once(client: AsyncClient, film: Path) -> None:
    sent: list[tuple[int, int]] = []
    done = await client.upload(film, progress=lambda now, total: sent.append((now, total)))
    assert not done.already_there
    video = await client.get_video(done.video_id)
    assert (video.state, video.file_name) == (video_pb2.VIDEO_STATE_VALIDATING, "영상.mp4")
    assert sent[0] == (0, 300)
    assert sent[-1] == (300, 300)
    again = await client.upload(film)
    assert (again.already_there, again.video_id) == (True, done.video_id)
    other_name = await client.upload(film, file_name="another.mp4")
    assert (other_name.already_there, other_name.video_id) == (True, done.video_id)
    copies = [await client.upload(film, allow_duplicate=True) for _ in range(3)]
    assert not any(copy.already_there for copy in copies)
    assert len({done.video_id, *(copy.video_id for copy in copies)}) == 4


async def test_an_interrupted_upload_goes_on_where_it_was(
    client: AsyncClient, objects: HttpObjects, long_film: Path
) -> None:
    await interrupted(client, objects, long_film)
    first = [video async for video in client.list_videos()]
    done = await client.upload(long_film)
    assert [video.video_id for video in first] == [done.video_id]
    assert (await client.get_video(done.video_id)).state == video_pb2.VIDEO_STATE_VALIDATING


async def test_so_does_one_after_an_upload_that_is_over(
    client: AsyncClient, objects: HttpObjects, door: Door, long_film: Path
) -> None:
    await interrupted(client, objects, long_film)
    (over,) = [video.video_id async for video in client.list_videos()]
    await door.catalog.expire_uploads(door.clock.now_ms() + 7 * 86_400_000)
    await interrupted(client, objects, long_film)
    (begun,) = {video.video_id async for video in client.list_videos()} - {over}
    assert (await client.upload(long_film)).video_id == begun


async def interrupted(client: AsyncClient, objects: HttpObjects, film: Path) -> None:
    """Begin to upload a film, and stop once bytes are under way."""
    objects.break_next, before = 100, objects.requests
    uploading = asyncio.ensure_future(client.upload(film))
    async with asyncio.timeout(10):
        while objects.requests < before + 2:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    objects.break_next = 0


async def test_a_server_with_parts_of_another_size_is_told_no_digests(
    client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_transfer, "PART_SIZE_BYTES", PART_SIZE_BYTES - 100)
    film = tmp_path / "film.mp4"
    film.write_bytes(random.Random(3).randbytes(2 * PART_SIZE_BYTES - 300))  # two parts of either size
    video = await client.get_video((await client.upload(film)).video_id)
    assert video.state == video_pb2.VIDEO_STATE_VALIDATING


async def test_parts_that_have_arrived_are_not_sent_again(
    client: AsyncClient, door: Door, objects: HttpObjects, long_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise DependencyUnavailable("catalog", "pulled out", retry_after_s=60)

    with monkeypatch.context() as broken:
        broken.setattr(door.catalog, "begin_completion", away)
        with pytest.raises(Unavailable):
            await client.upload(long_film)
    assert objects.requests == 4
    await client.upload(long_film)
    assert objects.requests == 4


async def test_broken_connections_and_expired_urls_are_tried_again(
    client: AsyncClient, objects: HttpObjects, film: Path, long_film: Path
) -> None:
    objects.break_next = 1
    assert (await client.upload(film)).video_id
    objects.expire_next = 2
    assert (await client.upload(long_film)).video_id


async def test_a_store_that_refuses_is_a_failed_transfer(
    client: AsyncClient, objects: HttpObjects, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> int:
        return 400

    monkeypatch.setattr(objects, "send", refuse)
    with pytest.raises(TransferFailed) as refused:
        await client.upload(film)
    assert refused.value.reason == "TRANSFER_REFUSED"


async def test_part_digests_of_another_size_are_left_out(
    client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heimdex.client._transfer.digests.__defaults__", (700,))
    path = tmp_path / "odd.mp4"
    path.write_bytes(random.Random(3).randbytes(2500))
    assert (await client.upload(path)).video_id


async def test_a_watch_goes_on_after_the_server_drained(client: AsyncClient, door: Door, film: Path) -> None:
    video_id = (await client.upload(film)).video_id
    states: list[int] = []

    async def watch() -> None:
        async for video in client.watch_video(video_id):
            states.append(video.state)  # noqa: PERF401  # seen one by one

    watching = asyncio.ensure_future(watch())
    async with asyncio.timeout(20):
        while not states:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await door.poller.drain()
        door.poller._draining = False  # another gateway
        await client.delete_video(video_id)
        await door.catalog.finish_erasure("team", video_id, time.time_ns() // 1_000_000, [])
        await watching
    assert states[0] == video_pb2.VIDEO_STATE_VALIDATING
    assert states[-1] == video_pb2.VIDEO_STATE_DELETED


async def test_whoever_leaves_a_stream_early_leaves_nothing_running(client: AsyncClient, door: Door) -> None:
    rows = await door.index(b"film", "고양이가 잔다")
    door.stores.text.hits = [said(row_id(rows[0].scene_id, 1), 9.0)]
    door.stores.encoder.door.close()
    frames = client.search("고양이")
    assert (await anext(frames)).kind == search_pb2.FRAME_KIND_PARTIAL
    await frames.aclose()
    async with asyncio.timeout(10):
        while not door.stores.encoder.door.left:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_stream_that_the_collector_finds_on_the_clients_own_thread_is_ended(door: Door) -> None:
    rows = await door.index(b"film", "고양이가 잔다")
    door.stores.text.hits = [said(row_id(rows[0].scene_id, 1), 9.0)]
    door.stores.encoder.door.close()

    def work() -> bool:
        with Client(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as blocking:
            cycle: list[object] = [blocking.search("고양이")]
            assert next(cycle[0]).kind == search_pb2.FRAME_KIND_PARTIAL  # type: ignore[call-overload]
            cycle.append(cycle)
            del cycle
            collected = threading.Event()

            def collect() -> None:
                gc.collect()
                collected.set()

            blocking._loop.call_soon_threadsafe(collect)
            return collected.wait(30) and bool(list(blocking.list_videos()))

    gc.disable()  # nobody else finds it first
    try:
        assert await asyncio.to_thread(work), "the client goes on"
    finally:
        gc.enable()
    await until(lambda: door.stores.encoder.door.left > 0)


async def test_calls_under_way_are_closed_with_their_client(client: AsyncClient, door: Door) -> None:
    encoder = door.stores.encoder.door
    encoder.close()
    searching = asyncio.ensure_future(_all(client.search("고양이")))
    watching = asyncio.ensure_future(anext(client.watch_videos()))
    await until(lambda: encoder.entered == 1)
    await client.close()
    for call in (searching, watching):
        with pytest.raises(Closed):
            await call


async def test_whoever_is_cancelled_is_cancelled(client: AsyncClient, door: Door) -> None:
    encoder = door.stores.encoder.door
    encoder.close()
    searching = asyncio.ensure_future(_all(client.search("고양이")))
    await until(lambda: encoder.entered == 1)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching


async def test_calls_of_other_threads_are_closed_with_the_blocking_client(door: Door) -> None:
    encoder = door.stores.encoder.door
    encoder.close()
    blocking = await asyncio.to_thread(Client, f"127.0.0.1:{door.port}", door.signer.token(), insecure=True)
    searching = asyncio.ensure_future(asyncio.to_thread(lambda: list(blocking.search("고양이"))))
    await until(lambda: encoder.entered == 1)
    await asyncio.to_thread(blocking.close)
    with pytest.raises(Closed):
        await searching


async def test_similar_scenes_take_filters_and_weights(client: AsyncClient, door: Door) -> None:
    one, *_ = await door.index(b"one", "고양이가 잔다")
    two, *_ = await door.index(b"two", "고양이가 존다", file_name="two.mp4")
    cosines = {row_id(row.scene_id, row.revision): 0.5 for row in (one, two)}
    door.stores.dense.cosines = cosines
    door.stores.dense.videos = {row_id(row.scene_id, row.revision): row.video_id for row in (one, two)}
    weights = search_pb2.SearchWeights(text=1, vision=0, tags=0)
    (by_meaning,) = (await client.similar(one.scene_id, weights=weights)).hits
    assert by_meaning.scene.scene_id == two.scene_id
    assert {each.channel: each.weight for each in by_meaning.contributions if each.weight} == {
        search_pb2.CHANNEL_DENSE: 1.0
    }
    assert not (await client.similar(one.scene_id, tags=["dog"])).hits


async def test_a_search_is_tried_again_while_nothing_has_arrived(client: AsyncClient, door: Door) -> None:
    rows = await door.index(b"film", "고양이가 잔다")
    door.stores.text.hits = [said(row_id(rows[0].scene_id, 1), 9.0)]
    down = DependencyUnavailable("store", "is down", retry_after_s=0.05)
    door.stores.text.door.error = door.stores.encoder.door.error = down

    async def heal() -> None:
        while door.stores.text.door.left < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        door.stores.text.door.error = door.stores.encoder.door.error = None

    healing = asyncio.ensure_future(heal())
    *_, last = [frame async for frame in client.search("고양이")]
    await healing
    assert (last.kind, len(last.hits)) == (search_pb2.FRAME_KIND_DONE, 1)


class Full(Around):
    """No place for anybody within the minute."""

    def __init__(self) -> None:
        self.refused = 0

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        self.refused += 1
        raise LimitExceeded("too many calls of this kind at once", retry_after_s=60)


async def test_a_search_does_not_wait_for_a_turn_that_comes_too_late(tmp_path: Path) -> None:
    full = Full()
    async with (
        open_door(tmp_path, around=lambda _: (Errors(CLOCK), full)) as door,
        AsyncClient(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as client,
    ):
        with pytest.raises(ResourceExhausted) as refusal:
            await _all(client.search("강아지", timeout_s=30))
        assert (refusal.value.reason, refusal.value.retry_after_s) == ("OVERLOADED", 60.0)
        assert full.refused == 1


async def _all(frames: AsyncIterator[search_pb2.SearchScenesResponse]) -> list[search_pb2.SearchScenesResponse]:
    return [frame async for frame in frames]


async def test_somebody_is_enrolled_and_found_again_by_the_request_id(
    client: AsyncClient, door: Door, tmp_path: Path
) -> None:
    await door.catalog.set_faces("team", True)
    good, bad = tmp_path / "민지.png", tmp_path / "note.png"
    good.write_bytes(photo(RED))
    bad.write_text("a letter")
    request_id = str(uuid.uuid4())
    person = await client.enrol_person("민지", [good, bad], aliases=["Minji"], request_id=request_id)
    assert [(p.file_name, p.verdict) for p in person.photos] == [
        ("민지.png", people_pb2.PHOTO_VERDICT_ACCEPTED), ("note.png", people_pb2.PHOTO_VERDICT_NOT_AN_IMAGE),
    ]  # fmt: skip
    assert await client.enrol_person("민지", [good, bad], aliases=["Minji"], request_id=request_id) == person
    with pytest.raises(AlreadyExists):
        await client.enrol_person("수지", [good, bad], request_id=request_id)
    twin = await client.enrol_person("민지", [good])
    assert {p.person_id async for p in client.list_people()} == {person.person_id, twin.person_id}
    await client.delete_person(person.person_id)
    with pytest.raises(NotFound):
        await client.get_person(person.person_id)


async def test_photos_that_enrol_nobody_are_named(client: AsyncClient, door: Door, tmp_path: Path) -> None:
    note, empty = tmp_path / "note.png", tmp_path / "wall.png"
    note.write_text("a letter")
    empty.write_bytes(photo())
    with pytest.raises(FailedPrecondition) as off:
        await client.enrol_person("아무개", [note])
    assert off.value.reason == "FACES_DISABLED"
    await door.catalog.set_faces("team", True)
    with pytest.raises(FailedPrecondition) as none:
        await client.enrol_person("아무개", [note, empty])
    assert none.value.reason == "NO_PHOTO_ACCEPTED"
    assert "note.png: not an image, wall.png: no face" in str(none.value)


async def test_errors_are_typed(door: Door, client: AsyncClient) -> None:
    with pytest.raises(NotFound):
        await client.get_scene("scn_00000000000000000000000000")
    with pytest.raises(InvalidArgument) as wrong:
        [frame async for frame in client.search("")]
    assert [v.field for v in wrong.value.violations] == ["query"]
    async with AsyncClient(f"127.0.0.1:{door.port}", "nonsense", insecure=True) as stranger:
        with pytest.raises(Unauthenticated):
            [video async for video in stranger.list_videos()]
    with pytest.raises(Exception, match="larger than the server takes") as large:
        await client.get_video("x" * (5 << 20))
    assert large.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]


async def test_the_blocking_client_does_the_same(door: Door, film: Path) -> None:
    def work() -> tuple[str, list[str], int]:
        with Client(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as blocking:
            video_id = blocking.upload(film).video_id
            watched = next(iter(blocking.watch_video(video_id)))
            *_, last = blocking.search("고양이")
            return video_id, [video.video_id for video in blocking.list_videos()], last.kind + watched.state

    video_id, listed, codes = await asyncio.to_thread(work)
    assert listed == [video_id]
    assert codes == search_pb2.FRAME_KIND_DONE + video_pb2.VIDEO_STATE_VALIDATING


async def test_a_picture_is_sent_once_and_pages_go_on_with_it(door: Door, client: AsyncClient, tmp_path: Path) -> None:
    rows = await door.index(b"film", "하나", "둘", "셋")
    door.stores.vision.cosines = {row_id(row.scene_id, row.revision): 0.9 for row in rows}
    picture = tmp_path / "picture.png"
    picture.write_bytes(photo(RED))
    *_, first = [frame async for frame in client.search(image=picture, limit=2)]
    token = first.next_page_token
    *_, rest = [frame async for frame in client.search(image=picture, limit=2, page_token=token)]
    assert [hit.rank for hit in (*first.hits, *rest.hits)] == [1, 2, 3]
    sent = [each.key async for each in door.objects.list("t/team/u/")]
    assert len(sent) == 1, "the second search found the upload of the first"


async def test_feedback_is_told_with_a_request_id_of_its_own_unless_one_is_given(
    client: AsyncClient, door: Door
) -> None:
    async def outbox() -> int:
        return len(await door.catalog.pending())

    query_id = new_id("qry")
    for count in (1, 2):
        await client.record_feedback(query_id, search_pb2.FEEDBACK_KIND_NOT_FOUND)
        assert await outbox() == count
    for _ in range(2):
        await client.record_feedback(query_id, search_pb2.FEEDBACK_KIND_NOT_FOUND, request_id="r")
        assert await outbox() == 3
    with pytest.raises(NotFound):
        await client.record_feedback(query_id, search_pb2.FEEDBACK_KIND_OPENED, scene_id=new_id("scn"), rank=1)
