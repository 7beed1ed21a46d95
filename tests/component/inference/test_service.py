"""The inference service over a real channel: batches, caches, typed errors, cancelled callers, idle models."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain

import grpc
import numpy as np
import pytest
from PIL import Image

from adapters.inference.client import GrpcImageEncoder, GrpcPhotoReader, GrpcQueryEncoder, channel
from adapters.inference.codec import MAX_MESSAGE_BYTES
from adapters.inference.service import MAX_TEXT_LENGTH, InferenceService
from adapters.models.faces.fake import VERSION as FACES
from adapters.models.faces.fake import FakeFaceModel, draw_face
from adapters.models.text.fake import VERSION as TEXT
from adapters.models.text.fake import FakeTextEncoder
from adapters.models.vision.fake import VERSION as VISION
from adapters.models.vision.fake import FakeVisionEncoder
from contracts.errors import DependencyUnavailable, InvalidRequest, LimitExceeded, ModelUnavailable
from contracts.ports import Face, FaceModel, Float32, UInt8, VisionEncoder
from heimdex.inference.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server


class Recording(FakeTextEncoder):
    """The fake text encoder; notes each call's texts, and can be held up or broken."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.error: Exception | None = None

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        self.calls.append(list(texts))
        assert self.open.wait(20)
        if self.error is not None:
            raise self.error
        return super().encode_queries(texts)


@dataclass
class Running:
    """A service, its encoder and clients of it."""

    text: Recording
    service: InferenceService
    connection: grpc.aio.Channel
    queries: GrpcQueryEncoder
    photos: GrpcPhotoReader
    server: grpc.aio.Server
    images: GrpcImageEncoder
    made: list[FaceModel | VisionEncoder] = field(default_factory=list)


@asynccontextmanager
async def _running(*, warm: bool = True, idle_s: float = 60.0) -> AsyncIterator[Running]:
    text = Recording()
    made: list[FaceModel | VisionEncoder] = []

    def make_faces() -> FaceModel:
        made.append(faces := FakeFaceModel())
        return faces

    def make_images() -> VisionEncoder:
        made.append(images := FakeVisionEncoder())
        return images

    service = InferenceService(text, FakeVisionEncoder(), make_faces, make_images, idle_s=idle_s)
    if warm:
        await service.warm()
    text.calls.clear()
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),))
    add_InferenceServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    connection = channel(f"127.0.0.1:{port}")
    queries = GrpcQueryEncoder(connection, text_version=TEXT, vision_version=VISION)
    try:
        photos = GrpcPhotoReader(connection, faces_version=FACES)
        yield Running(text, service, connection, queries, photos, server, GrpcImageEncoder(connection), made)
    finally:
        text.open.set()
        await queries.close()
        await connection.close()
        await server.stop(None)
        await service.close()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with _running() as one:
        yield one


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - threads and timers tell nobody
            await asyncio.sleep(0.005)


async def test_a_query_has_its_vectors_in_both_spaces(running: Running) -> None:
    vectors = await running.queries.encode("빨간 고양이")
    assert (vectors.text == FakeTextEncoder().encode_queries(["빨간 고양이"])[0]).all()
    assert (vectors.vision == FakeVisionEncoder().encode_queries(["빨간 고양이"])[0]).all()
    assert vectors.text.dtype == vectors.vision.dtype == np.float32
    assert not vectors.text.flags.writeable


async def test_callers_at_once_share_calls(running: Running) -> None:
    texts = [f"질문 {number}" for number in range(100)]
    answers = await asyncio.gather(*(running.queries.encode(text) for text in texts))
    assert sorted(chain.from_iterable(running.text.calls)) == sorted(texts)
    assert len(running.text.calls) < 10
    expected = FakeTextEncoder().encode_queries(texts)
    assert all((answer.text == row).all() for answer, row in zip(answers, expected, strict=True))


async def test_the_same_query_is_encoded_once(running: Running) -> None:
    await asyncio.gather(*(running.queries.encode("고양이") for _ in range(20)))
    await running.queries.encode("고양이")
    assert running.text.calls == [["고양이"]]


async def test_who_gives_up_takes_nobody_along(running: Running) -> None:
    running.text.open.clear()
    gone = asyncio.create_task(running.queries.encode("고양이"))
    other = asyncio.create_task(running.queries.encode("커피"))
    await _until(lambda: bool(running.text.calls))
    gone.cancel()
    late = asyncio.create_task(running.queries.encode("고양이"))  # asked while the first is being cancelled
    running.text.open.set()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (await late).text.any()
    assert (await other).text.any()


async def test_other_models_are_refused(running: Running) -> None:
    other = GrpcQueryEncoder(running.connection, text_version="other", vision_version=VISION)
    with pytest.raises(ModelUnavailable, match="not \\('other'"):
        await other.encode("고양이")
    await other.close()
    with pytest.raises(ModelUnavailable, match="not other"):
        await GrpcPhotoReader(running.connection, faces_version="other").faces(_png())


async def test_before_it_is_warm_it_says_so() -> None:
    async with _running(warm=False) as cold:
        with pytest.raises(ModelUnavailable, match="loading"):
            await cold.queries.encode("고양이")


async def test_missing_weights_reach_the_caller_with_their_reason(running: Running) -> None:
    running.text.error = ModelUnavailable("text", "e5.onnx is missing")
    with pytest.raises(ModelUnavailable, match=r"e5\.onnx is missing"):
        await running.queries.encode("고양이")
    running.text.error = None
    assert (await running.queries.encode("고양이")).text.any()  # failures are not remembered


async def test_a_defect_is_transient_and_shows_no_text(running: Running) -> None:
    running.text.error = KeyError("고양이")
    with pytest.raises(DependencyUnavailable, match=r"INTERNAL: inference failed: KeyError$"):
        await running.queries.encode("고양이")


async def test_a_text_that_is_too_long_is_the_callers_fault(running: Running) -> None:
    with pytest.raises(InvalidRequest, match="longer than"):
        await running.queries.encode("가" * (MAX_TEXT_LENGTH + 1))


async def test_a_server_that_stops_answers_what_it_has_begun(running: Running) -> None:
    running.text.open.clear()
    begun = asyncio.create_task(running.queries.encode("고양이"))
    await _until(lambda: bool(running.text.calls))
    stopped = asyncio.create_task(running.server.stop(20))
    await asyncio.sleep(0)
    late = asyncio.create_task(GrpcPhotoReader(running.connection, faces_version=FACES).faces(_png()))
    with pytest.raises(DependencyUnavailable):
        await late
    running.text.open.set()
    assert (await begun).text.any()
    await stopped


async def test_more_than_may_wait_are_refused(running: Running) -> None:
    running.text.open.clear()
    callers = [asyncio.create_task(running.queries.encode(f"질문 {number}")) for number in range(700)]
    await _until(lambda: any(caller.done() for caller in callers))
    running.text.open.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert refused
    assert all(isinstance(answer, LimitExceeded) for answer in refused)
    assert len(refused) < 200


async def test_nobody_there_is_transient(unused_address: str) -> None:
    connection = channel(unused_address)
    queries = GrpcQueryEncoder(connection, text_version=TEXT, vision_version=VISION, timeout_s=1.0)
    with pytest.raises(DependencyUnavailable):
        await queries.encode("고양이")
    await queries.close()
    await connection.close()


@pytest.fixture
async def unused_address() -> str:
    """An address that nobody listens on: the port of a server that has just closed."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"127.0.0.1:{port}"


def _bomb() -> bytes:
    """Return a picture of 60 megapixels in 8 kB."""
    file = io.BytesIO()
    Image.new("1", (10_000, 6_000)).save(file, "PNG", optimize=True)
    return file.getvalue()


def _png(orientation: int = 1) -> bytes:
    image = np.full((300, 200, 3), 60, np.uint8)
    draw_face(image, (20, 40, 100, 100), (200, 160, 60))
    draw_face(image, (130, 200, 50, 50), (40, 90, 200))
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image).save(file, "PNG", exif=exif)
    return file.getvalue()


async def test_a_picture_has_the_vector_that_its_scenes_have(running: Running) -> None:
    image = np.full((90, 160, 3), (220, 30, 30), np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    vector = await running.images.encode_image(file.getvalue(), version=VISION)
    (expected,), _ = FakeVisionEncoder().encode_images([image])
    assert (vector == expected).all()
    assert vector.dtype == np.float32
    red, blue = FakeVisionEncoder().encode_queries(["빨간 자동차", "파란 자동차"])
    assert vector @ red > vector @ blue


async def test_pictures_of_another_encoder_are_refused(running: Running) -> None:
    with pytest.raises(ModelUnavailable, match="not other"):
        await running.images.encode_image(_png(), version="other")


async def test_the_image_side_comes_with_the_first_picture_and_goes_when_idle() -> None:
    async with _running(idle_s=0.02) as one:
        assert not one.service._images.loaded
        await one.images.encode_image(_png(), version=VISION)
        await _until(lambda: not one.service._images.loaded)
        await asyncio.gather(*(one.images.encode_image(_png(), version=VISION) for _ in range(4)))
        assert [type(each) for each in one.made] == [FakeVisionEncoder] * 2


async def test_faces_come_largest_first_in_pixels(running: Running) -> None:
    (large, width, height), (small, *_) = await running.photos.faces(_png())
    assert (width, height) == (200, 300)
    assert large.box == pytest.approx((20, 40, 100, 100), abs=0.5)
    assert small.box == pytest.approx((130, 200, 50, 50), abs=0.5)
    assert FakeFaceModel().similarity(large.vector[None], small.vector[None])[0, 0] < 0.5
    assert large.sharpness > 0


async def test_a_photo_is_turned_upright(running: Running) -> None:
    (face, width, height), _ = await running.photos.faces(_png(orientation=6))  # a quarter turn clockwise
    assert (width, height) == (300, 200)
    assert face.box == pytest.approx((160, 20, 100, 100), abs=0.5)


async def test_a_photo_with_damaged_exif_is_taken_as_it_is(running: Running) -> None:
    image, exif = _png(), b"MM\0*"
    chunk = b"eXIf" + exif
    header = 8 + 25  # signature and IHDR
    damaged = (
        image[:header] + struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + image[header:]
    )
    (_, width, height), _ = await running.photos.faces(damaged)
    assert (width, height) == (200, 300)


@pytest.mark.parametrize("kind", ["photo", "picture"])
@pytest.mark.parametrize(
    "body",
    [b"", b"no image", _png()[:200], b"GIF89a" + bytes(100), _bomb(), bytes(11 << 20), bytes(20 << 20)],
    ids=["empty", "text", "cut", "gif", "bomb", "11 MiB", "above the message limit"],
)
async def test_what_is_no_photo_is_the_callers_fault(running: Running, body: bytes, kind: str) -> None:
    with pytest.raises(InvalidRequest):
        await (running.photos.faces(body) if kind == "photo" else running.images.encode_image(body, version=VISION))


async def test_photos_take_turns(running: Running) -> None:
    answers = await asyncio.gather(*(running.photos.faces(_png()) for _ in range(8)))
    assert [len(answer) for answer in answers] == [2] * 8
    assert len(running.made) == 1


async def test_photos_take_turns_when_a_caller_is_gone(running: Running) -> None:
    await running.photos.faces(_png())
    (model,) = running.made
    assert isinstance(model, FakeFaceModel)
    find, begun, go_on, at_once = model.find, threading.Semaphore(0), threading.Event(), []

    def held(image: UInt8) -> tuple[Face, ...]:
        at_once.append("in")
        begun.release()
        assert go_on.wait(20)
        at_once.append("out")
        return find(image)

    model.find = held  # type: ignore[method-assign]
    gone = asyncio.ensure_future(running.photos.faces(_png()))
    await asyncio.to_thread(begun.acquire)
    gone.cancel()
    following = asyncio.ensure_future(running.photos.faces(_png()))
    await running.queries.encode("고양이")  # by then both have arrived
    go_on.set()
    assert len(await following) == 2
    assert at_once == ["in", "out", "in", "out"]


async def test_the_face_model_goes_when_idle_and_comes_again() -> None:
    async with _running(idle_s=0.02) as one:
        assert await one.photos.faces(_png())
        await _until(lambda: not one.service._faces.loaded)
        assert await one.photos.faces(_png())
        assert len(one.made) == 2
