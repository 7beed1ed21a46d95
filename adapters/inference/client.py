"""Clients of the inference process: queries, pictures -> vectors, photos -> faces, by the ports of ``contracts``."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from adapters.batcher import Batcher
from adapters.inference.codec import CALLS_AT_ONCE, MAX_MESSAGE_BYTES, REASON_KEY, from_bytes
from contracts.errors import (
    DependencyUnavailable,
    FieldViolation,
    HeimdexError,
    InvalidRequest,
    LimitExceeded,
    ModelUnavailable,
)
from contracts.ports import Face, Float32, QueryVectors
from heimdex.inference.v1 import inference_service_pb2 as pb
from heimdex.inference.v1.inference_service_pb2_grpc import InferenceServiceStub

if TYPE_CHECKING:
    from heimdex.inference.v1.inference_service_pb2_grpc import InferenceServiceAsyncStub

_NAME = "inference"
_MAX_BATCH = 64
_MAX_WAITING = 512
_CACHED = 4096  # queries; 15 MB with the small profile

_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def channel(address: str) -> grpc.aio.Channel:
    """Return a channel to the inference process at ``host:port``; it connects by itself, again and again."""
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


@dataclass(slots=True)
class _Pending:
    answer: asyncio.Task[QueryVectors]
    callers: int = 0


class GrpcQueryEncoder:
    """``QueryEncoder``: batches concurrent queries, remembers the last 4,096, asks once for what is asked twice."""

    def __init__(
        self, connection: grpc.aio.Channel, *, text_version: str, vision_version: str, timeout_s: float = 10.0
    ) -> None:
        """Configure; nothing is sent.

        Args:
            connection: from ``channel``; stays the caller's.
            text_version: of the vectors that are searched; others are refused.
            vision_version: the same for images.
            timeout_s: of one batch, in the queue of the other side included.
        """
        self._stub: InferenceServiceAsyncStub = InferenceServiceStub(connection)
        self._versions = (text_version, vision_version)
        self._timeout_s = timeout_s
        self._cache: OrderedDict[str, QueryVectors] = OrderedDict()
        self._pending: dict[str, _Pending] = {}
        self._batcher: Batcher[str, QueryVectors] = Batcher(
            self._encode, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING, max_calls=CALLS_AT_ONCE
        )

    async def encode(self, text: str) -> QueryVectors:
        """Encode one NFC query; the vectors are shared and read-only.

        Raises:
            DependencyUnavailable: the process does not answer, or has other models (transient).
            LimitExceeded: too many queries wait (transient).
            InvalidRequest: the text is too long (permanent).
        """
        if (known := self._cache.get(text)) is not None:
            self._cache.move_to_end(text)
            return known
        pending = self._pending.get(text)
        if pending is None:
            pending = self._pending[text] = _Pending(asyncio.ensure_future(self._ask(text)))
        pending.callers += 1
        try:
            return await asyncio.shield(pending.answer)
        finally:
            pending.callers -= 1
            if pending.callers == 0 and not pending.answer.done():  # nobody wants it any more
                del self._pending[text]  # who asks from now on asks anew, and is not cancelled with it
                pending.answer.cancel()

    async def close(self) -> None:
        """Stop; callers that wait are cancelled."""
        await self._batcher.close()

    async def _ask(self, text: str) -> QueryVectors:
        try:
            vectors = await self._batcher.ask(text)
        finally:
            mine = self._pending.get(text)
            if mine is not None and mine.answer is asyncio.current_task():
                del self._pending[text]
        self._cache[text] = vectors
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return vectors

    async def _encode(self, texts: Sequence[str]) -> Sequence[QueryVectors]:
        try:
            response = await self._stub.EncodeQueries(pb.EncodeQueriesRequest(texts=texts), timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _typed(error, "text") from error
        if (response.text_version, response.vision_version) != self._versions:
            raise ModelUnavailable(
                _NAME, f"encoders are {response.text_version}, {response.vision_version}, not {self._versions}"
            )
        return [QueryVectors(from_bytes(v.text), from_bytes(v.vision)) for v in response.vectors]


class GrpcPhotoReader:
    """``PhotoReader``: faces of enrolment photos."""

    def __init__(self, connection: grpc.aio.Channel, *, faces_version: str, timeout_s: float = 30.0) -> None:
        """Configure; nothing is sent. ``faces_version`` is the gallery's: vectors of another model are refused."""
        self._stub: InferenceServiceAsyncStub = InferenceServiceStub(connection)
        self._version = faces_version
        self._timeout_s = timeout_s

    async def faces(self, image: bytes) -> Sequence[tuple[Face, int, int]]:
        """Decode an image file and return its faces with the image's width and height in pixels, largest first.

        Raises:
            InvalidRequest: not a JPEG, PNG or WebP, or too large (permanent).
            DependencyUnavailable: the process does not answer, or has another model (transient).
        """
        try:
            response = await self._stub.ReadFaces(pb.ReadFacesRequest(image=image), timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _typed(error, "image") from error
        if response.faces_version != self._version:
            raise ModelUnavailable(_NAME, f"face model is {response.faces_version}, not {self._version}")
        width, height = response.width_px, response.height_px
        return [(_face(face, width, height), width, height) for face in response.faces]


class GrpcImageEncoder:
    """``ImageEncoder``: pictures that are searched by."""

    def __init__(self, connection: grpc.aio.Channel, *, timeout_s: float = 30.0) -> None:
        """Configure; nothing is sent."""
        self._stub: InferenceServiceAsyncStub = InferenceServiceStub(connection)
        self._timeout_s = timeout_s

    async def encode_image(self, image: bytes, *, version: str) -> Float32:
        """Decode an image file and return its read-only vector in the space of images.

        Raises:
            InvalidRequest: not a JPEG, PNG or WebP, or too large (permanent).
            DependencyUnavailable: the process does not answer, or has another model than ``version`` (transient).
        """
        try:
            response = await self._stub.EncodeImage(pb.EncodeImageRequest(image=image), timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _typed(error, "image") from error
        if response.vision_version != version:
            raise ModelUnavailable(_NAME, f"vision encoder is {response.vision_version}, not {version}")
        return from_bytes(response.vision)


def _face(face: pb.Face, width_px: int, height_px: int) -> Face:
    box = face.box
    pixels = (box.x * width_px, box.y * height_px, box.width * width_px, box.height * height_px)
    return Face(pixels, face.score, from_bytes(face.vector), face.sharpness)


def _typed(error: grpc.aio.AioRpcError, field: str) -> HeimdexError:
    """Return the error of our tree for a failed call."""
    code, text = error.code(), error.details() or ""
    reason = next((value for key, value in error.trailing_metadata() or () if key == REASON_KEY), None)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidRequest(FieldViolation(field, text.removeprefix(f"{field}: ")))
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        if reason is None:  # the transport's own: the message is larger than it takes
            return InvalidRequest(FieldViolation(field, "is too large"), reason="MESSAGE_TOO_LARGE")
        return LimitExceeded(text)
    if reason == ModelUnavailable.default_reason:
        return ModelUnavailable(_NAME, text)
    return DependencyUnavailable(_NAME, f"{code.name}: {text}")
