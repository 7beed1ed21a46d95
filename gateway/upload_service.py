"""Upload service: CreateUpload, GetUpload, CreateUploadPartUrls, CompleteUpload, AbortUpload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from contracts import ids
from contracts.catalog import Catalog, Idempotency, Upload, UploadState
from contracts.errors import HeimdexError, InvalidRequest, PreconditionFailed
from contracts.ports import Clock, Objects
from gateway import identity, validation, videos
from gateway.completion import Completion
from gateway.identity import Principal
from gateway.requests import idempotency
from gateway.uploads import UploadUrls, part_count, pieces
from heimdex.upload.v1 import upload_service_pb2 as pb
from heimdex.upload.v1.upload_service_pb2_grpc import UploadServiceServicer

PART_SIZE_BYTES: Final = 16 * 1024 * 1024
MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
UPLOAD_LIFE_S: Final = 24 * 3600
_VIDEO: Final = "VIDEO"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What is taken.

    Attributes:
        max_video_bytes: largest video.
        max_image_bytes: largest photo or query image.
        part_size_bytes: files above it go in parts of it.
        life_s: how long an upload waits to be completed.
    """

    max_video_bytes: int
    max_image_bytes: int = MAX_IMAGE_BYTES
    part_size_bytes: int = PART_SIZE_BYTES
    life_s: int = UPLOAD_LIFE_S

    def of(self, purpose: str) -> int:
        """Return the largest file of a purpose."""
        return self.max_video_bytes if purpose == _VIDEO else self.max_image_bytes


_PURPOSES: Mapping[int, str] = {
    pb.UPLOAD_PURPOSE_VIDEO: _VIDEO,
    pb.UPLOAD_PURPOSE_PERSON_PHOTO: "PERSON_PHOTO",
    pb.UPLOAD_PURPOSE_QUERY_IMAGE: "QUERY_IMAGE",
}


class UploadService(UploadServiceServicer):
    """Takes bytes in, by presigned URLs."""

    def __init__(
        self, catalog: Catalog, objects: Objects, completion: Completion, clock: Clock, limits: UploadLimits
    ) -> None:
        self._catalog = catalog
        self._objects = objects
        self._completion = completion
        self._clock = clock
        self._limits = limits
        self._urls = UploadUrls(objects)

    async def CreateUpload(self, request: pb.CreateUploadRequest, context: Any) -> pb.CreateUploadResponse:
        """Open an upload, or find the one that this ``request_id`` has opened before."""
        who = identity.principal()
        call = idempotency(who, "CreateUpload", request)
        upload = self._wanted(who, request)
        known = await self._catalog.replay(call)
        if known is not None:
            opened = await self._catalog.get_upload(who.tenant_id, known)
        else:
            opened = await self._open(upload, call, allow_duplicate=request.allow_duplicate)
        return pb.CreateUploadResponse(upload=await self._urls.missing(opened))

    async def GetUpload(self, request: pb.GetUploadRequest, context: Any) -> pb.GetUploadResponse:
        """Return an upload and which parts have arrived."""
        return pb.GetUploadResponse(upload=await self._urls.unsigned(await self._find(request.upload_id)))

    async def CreateUploadPartUrls(
        self, request: pb.CreateUploadPartUrlsRequest, context: Any
    ) -> pb.CreateUploadPartUrlsResponse:
        """Sign URLs again."""
        upload = await self._find(request.upload_id)
        last = len(pieces(upload))
        if len(request.part_numbers) > last:
            raise validation.invalid("part_numbers", f"has {len(request.part_numbers)}; the upload has {last} parts")
        for index, number in enumerate(request.part_numbers):
            if not 1 <= number <= last:
                raise validation.invalid(f"part_numbers[{index}]", f"is {number}; the upload has {last} parts")
        if upload.state is not UploadState.OPEN or self._clock.now_ms() >= upload.expire_ms:
            state = UploadState.EXPIRED if upload.state is UploadState.OPEN else upload.state
            raise PreconditionFailed(f"the upload is {state}", reason="UPLOAD_CLOSED", metadata={"state": state})
        if request.part_numbers:
            signed = await self._urls.chosen(upload, frozenset(request.part_numbers))
        elif upload.multipart_id:
            signed = await self._urls.missing(upload)
        else:
            signed = await self._urls.whole(upload)
        return pb.CreateUploadPartUrlsResponse(upload=signed)

    async def CompleteUpload(self, request: pb.CompleteUploadRequest, context: Any) -> pb.CompleteUploadResponse:
        """Join the bytes and begin; the second call returns the same."""
        who = identity.principal()
        validation.request_id(request.request_id)
        upload_id = validation.resource_id(request.upload_id, "upload_id", "upl")
        done = await self._completion.complete(who.tenant_id, upload_id, traceparent=identity.trace().traceparent)
        response = pb.CompleteUploadResponse(upload=await self._urls.unsigned(done))
        if done.video_id:
            video = await self._catalog.get_video(who.tenant_id, done.video_id)
            response.video.CopyFrom(videos.to_proto(video, now_ms=self._clock.now_ms()))
        return response

    async def AbortUpload(self, request: pb.AbortUploadRequest, context: Any) -> pb.AbortUploadResponse:
        """Drop an upload and its bytes."""
        who = identity.principal()
        call = idempotency(who, "AbortUpload", request)
        upload_id = validation.resource_id(request.upload_id, "upload_id", "upl")
        aborted = await self._catalog.abort_upload(who.tenant_id, upload_id, call)
        try:
            await self._objects.purge(aborted.object_key)
        except HeimdexError as error:
            # The reconciler looks again when no URL can bring bytes any more, and sweeps what it finds.
            _log.warning("bytes of an aborted upload left", upload_id=upload_id, reason=error.reason)
        return pb.AbortUploadResponse(upload=await self._urls.unsigned(aborted))

    # ---- opening --------------------------------------------------------------------------------------

    def _wanted(self, who: Principal, request: pb.CreateUploadRequest) -> Upload:
        """Return the upload that a request asks for. InvalidRequest when it asks for what is not taken."""
        purpose = _PURPOSES.get(request.purpose)
        if purpose is None:
            raise validation.invalid("purpose", "is required: VIDEO, PERSON_PHOTO or QUERY_IMAGE")
        self._check_size(request.size_bytes, self._limits.of(purpose))
        digests = self._part_digests(request)
        now_ms = self._clock.now_ms()
        upload_id = ids.new_id("upl")
        video_id = ids.new_id("vid") if purpose == _VIDEO else ""
        return Upload(
            upload_id=upload_id,
            tenant_id=who.tenant_id,
            purpose=purpose,
            state=UploadState.OPEN,
            object_key=(
                ids.source_key(who.tenant_id, video_id) if video_id else ids.upload_key(who.tenant_id, upload_id)
            ),
            size_bytes=request.size_bytes,
            content_type=validation.content_type(request.content_type),
            sha256=validation.sha256(request.sha256),
            file_name=validation.file_name(request.file_name),
            create_ms=now_ms,
            expire_ms=now_ms + self._limits.life_s * 1000,
            video_id=video_id,
            part_size_bytes=self._limits.part_size_bytes if self._parts_of(request) else 0,
            part_sha256=digests,
        )

    def _parts_of(self, request: pb.CreateUploadRequest) -> int:
        return part_count(request.size_bytes, self._limits.part_size_bytes)

    def _part_digests(self, request: pb.CreateUploadRequest) -> tuple[str, ...]:
        wanted, own_bytes = self._parts_of(request), self._limits.part_size_bytes
        if request.part_sha256 and len(request.part_sha256) != wanted:
            raise validation.invalid(
                "part_sha256", f"has {len(request.part_sha256)} digests for {wanted} parts of {own_bytes} bytes"
            )
        if request.part_sha256 and request.part_size_bytes not in {0, own_bytes}:
            raise validation.invalid(
                "part_sha256", f"is of parts of {request.part_size_bytes} bytes; here they have {own_bytes}"
            )
        return tuple(validation.sha256(d, f"part_sha256[{i}]") for i, d in enumerate(request.part_sha256))

    @staticmethod
    def _check_size(size_bytes: int, limit_bytes: int) -> None:
        if size_bytes < 0:
            raise validation.invalid("size_bytes", "is negative")
        if size_bytes > limit_bytes:
            error: InvalidRequest = validation.invalid(
                "size_bytes", f"is {size_bytes}, more than {limit_bytes}", reason="TOO_LARGE"
            )
            error.metadata |= {"size_bytes": str(size_bytes), "limit_bytes": str(limit_bytes)}
            raise error

    async def _open(self, upload: Upload, call: Idempotency, *, allow_duplicate: bool) -> Upload:
        """Insert an upload, its multipart upload opened before; dropped again when another call was first."""
        if not upload.part_size_bytes:
            return await self._catalog.create_upload(upload, call, allow_duplicate=allow_duplicate)
        multipart_id = await self._objects.create_multipart(
            upload.object_key, content_type=upload.content_type, checksums=bool(upload.part_sha256)
        )
        wanted = replace(upload, multipart_id=multipart_id)
        try:
            opened = await self._catalog.create_upload(wanted, call, allow_duplicate=allow_duplicate)
        except HeimdexError:
            await self._objects.abort_multipart(upload.object_key, multipart_id)
            raise
        if opened.upload_id != upload.upload_id:
            await self._objects.abort_multipart(upload.object_key, multipart_id)
        return opened

    async def _find(self, upload_id: str) -> Upload:
        found = validation.resource_id(upload_id, "upload_id", "upl")
        return await self._catalog.get_upload(identity.principal().tenant_id, found)
