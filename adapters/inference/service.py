"""The inference service: texts, pictures -> vectors, photos -> faces; models run in threads, not in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import grpc
import structlog
from prometheus_client import Histogram

from adapters.batcher import Batcher
from adapters.inference.codec import CALLS_AT_ONCE, REASON_KEY, to_bytes
from adapters.inference.photo import decode
from contracts.errors import FieldViolation, HeimdexError, InvalidRequest, ModelUnavailable
from contracts.ports import Face, FaceModel, TextEncoder, VisionEncoder
from heimdex.common.v1 import common_pb2
from heimdex.inference.v1 import inference_service_pb2 as pb
from heimdex.inference.v1.inference_service_pb2_grpc import InferenceServiceServicer

MAX_TEXTS = 64
MAX_TEXT_LENGTH = 2000

_MAX_BATCH = 64  # texts in one call of an encoder; beyond 16 more gain nothing, but a wave of searches stays together
_MAX_WAITING = 1024
_WARM_UP = "따뜻하게"

_encode_seconds = Histogram("heimdex_inference_encode_seconds", "Time of one call of both encoders.")
_batch_size = Histogram("heimdex_inference_batch_size", "Texts of one call.", buckets=(1, 2, 4, 8, 16, 32, 64))
_faces_seconds = Histogram("heimdex_inference_faces_seconds", "Time of one photo, decoding included.")
_image_seconds = Histogram("heimdex_inference_image_seconds", "Time of one picture, decoding included.")

Model = TypeVar("Model")
Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[object, object]

_log = structlog.get_logger()


class InferenceService(InferenceServiceServicer):
    """Encoders loaded at ``warm``; the face model at its first photo and the image side of the vision encoder at its
    first picture, in an instance of its own: both are dropped when idle.
    """

    def __init__(
        self,
        text: TextEncoder,
        vision: VisionEncoder,
        make_faces: Callable[[], FaceModel],
        make_images: Callable[[], VisionEncoder],
        *,
        idle_s: float = 60.0,
    ) -> None:
        self._text = text
        self._vision = vision
        self._faces = _IdleModel(make_faces, idle_s)
        self._images = _IdleModel(make_images, idle_s)
        self._threads = ThreadPoolExecutor(2 * CALLS_AT_ONCE, "encode")
        self._batcher: Batcher[str, pb.QueryVectors] = Batcher(
            self._encode, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING, max_calls=CALLS_AT_ONCE
        )
        self._warm = False

    async def warm(self) -> None:
        """Load the encoders by using them, one after the other: transformers cannot be imported by two threads at once.

        Raises: ModelUnavailable (transient) when weights are missing.
        """
        loop = asyncio.get_running_loop()
        for encode in (self._text.encode_queries, self._vision.encode_queries):
            await loop.run_in_executor(self._threads, encode, [_WARM_UP])
        self._warm = True

    async def close(self) -> None:
        """Let go of models and threads."""
        await self._batcher.close()
        self._faces.drop()
        self._images.drop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def EncodeQueries(  # noqa: N802
        self, request: pb.EncodeQueriesRequest, context: Context
    ) -> pb.EncodeQueriesResponse:
        """Encode texts into both spaces."""
        return await _answer(self._encode_queries(request), context)

    async def ReadFaces(self, request: pb.ReadFacesRequest, context: Context) -> pb.ReadFacesResponse:  # noqa: N802
        """Decode a photo and return its faces."""
        return await _answer(self._read_faces(request), context)

    async def EncodeImage(self, request: pb.EncodeImageRequest, context: Context) -> pb.EncodeImageResponse:  # noqa: N802
        """Decode a picture and encode it into the image space."""
        return await _answer(self._encode_image(request), context)

    async def _encode_queries(self, request: pb.EncodeQueriesRequest) -> pb.EncodeQueriesResponse:
        if not 1 <= len(request.texts) <= MAX_TEXTS:
            raise InvalidRequest(FieldViolation("texts", f"must have 1 to {MAX_TEXTS} entries"))
        for index, text in enumerate(request.texts):
            if len(text) > MAX_TEXT_LENGTH:
                raise InvalidRequest(FieldViolation(f"texts[{index}]", f"is longer than {MAX_TEXT_LENGTH} code points"))
        if not self._warm:
            raise ModelUnavailable("inference", "encoders are loading")
        vectors = await asyncio.gather(*(self._batcher.ask(text) for text in request.texts))
        return pb.EncodeQueriesResponse(
            vectors=vectors, text_version=self._text.version, vision_version=self._vision.version
        )

    async def _encode(self, texts: Sequence[str]) -> Sequence[pb.QueryVectors]:
        loop = asyncio.get_running_loop()
        _batch_size.observe(len(texts))
        with _encode_seconds.time():
            text, vision = await asyncio.gather(
                loop.run_in_executor(self._threads, self._text.encode_queries, texts),
                loop.run_in_executor(self._threads, self._vision.encode_queries, texts),
            )
        return [pb.QueryVectors(text=to_bytes(t), vision=to_bytes(v)) for t, v in zip(text, vision, strict=True)]

    async def _read_faces(self, request: pb.ReadFacesRequest) -> pb.ReadFacesResponse:
        with _faces_seconds.time():
            return await self._faces.use(lambda model: _faces(model, request.image))

    async def _encode_image(self, request: pb.EncodeImageRequest) -> pb.EncodeImageResponse:
        with _image_seconds.time():
            return await self._images.use(lambda model: _image(model, request.image))


class _IdleModel(Generic[Model]):
    """A model that is there while it is used: one picture at a time, in a thread."""

    def __init__(self, make: Callable[[], Model], idle_s: float) -> None:
        self._make = make
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._model: Model | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def loaded(self) -> bool:
        return self._model is not None

    async def use(self, work: Callable[[Model], Response]) -> Response:
        async with self._turn:
            if self._timer is not None:
                self._timer.cancel()
            model = self._model = self._model or self._make()
            running = asyncio.ensure_future(asyncio.to_thread(work, model))
            try:
                return await asyncio.shield(running)
            finally:
                # Nobody can stop a thread: the next picture waits for it, though its caller may be gone.
                while not running.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait({running})
                self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._expire)

    def _expire(self) -> None:
        if not self._turn.locked():
            self.drop()

    def drop(self) -> None:
        """Forget the model and give its memory back."""
        if self._timer is not None:
            self._timer.cancel()
        self._model = None
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


def _image(model: VisionEncoder, body: bytes) -> pb.EncodeImageResponse:
    vectors, _ = model.encode_images([decode(body)])
    return pb.EncodeImageResponse(vision=to_bytes(vectors[0]), vision_version=model.version)


def _faces(model: FaceModel, body: bytes) -> pb.ReadFacesResponse:
    image = decode(body)
    height, width = image.shape[:2]
    faces = [_to_proto(face, width, height) for face in model.find(image)]
    return pb.ReadFacesResponse(faces=faces, width_px=width, height_px=height, faces_version=model.version)


def _to_proto(face: Face, width_px: int, height_px: int) -> pb.Face:
    x, y, width, height = face.box
    return pb.Face(
        box=common_pb2.Box(x=x / width_px, y=y / height_px, width=width / width_px, height=height / height_px),
        score=face.score,
        vector=to_bytes(face.vector),
        sharpness=face.sharpness,
    )


async def _answer(call: Awaitable[Response], context: Context) -> Response:
    """Await ``call``; end the RPC with the status of what it raises."""
    started_s = time.monotonic()
    try:
        return await call
    except HeimdexError as error:
        code, message, reason = grpc.StatusCode[error.code], error.message, error.reason
        if code is not grpc.StatusCode.INVALID_ARGUMENT:
            _log.warning("call failed", reason=reason, error=message, seconds=round(time.monotonic() - started_s, 3))
    except Exception as error:  # noqa: BLE001 - the edge of the process: every exception becomes a status
        _log.exception("call failed", error_type=type(error).__name__)
        code, message, reason = grpc.StatusCode.INTERNAL, f"inference failed: {type(error).__name__}", "INTERNAL"
    await context.abort(code, message, ((REASON_KEY, reason),))
    raise AssertionError  # abort has raised
