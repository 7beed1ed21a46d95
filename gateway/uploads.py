"""Uploads: the parts of an upload and their URLs -> ``heimdex.upload.v1.Upload``. Pure but for signing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from contracts.catalog import UPLOAD_URL_LIFE_S, Upload, UploadState
from contracts.errors import NotFound
from contracts.facts import timestamp
from contracts.ports import Objects, SignedUrl
from heimdex.upload.v1 import upload_service_pb2 as pb

_TAKING = frozenset({UploadState.OPEN, UploadState.COMPLETING})


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a multipart upload: number from 1, its place in the file, and its digest where one was declared."""

    number: int
    offset_bytes: int
    size_bytes: int
    sha256: str | None


def pieces(upload: Upload) -> tuple[Piece, ...]:
    """Return the parts of an upload in order; none for a single PUT."""
    size = upload.part_size_bytes
    if not upload.multipart_id:
        return ()
    return tuple(
        Piece(
            number=index + 1,
            offset_bytes=offset,
            size_bytes=min(size, upload.size_bytes - offset),
            sha256=upload.part_sha256[index] if upload.part_sha256 else None,
        )
        for index, offset in enumerate(range(0, upload.size_bytes, size))
    )


def part_count(size_bytes: int, part_size_bytes: int) -> int:
    """Return in how many parts a file goes; 0 for a single PUT, which all up to one part size are."""
    return 0 if size_bytes <= part_size_bytes else -(-size_bytes // part_size_bytes)


def to_proto(upload: Upload) -> pb.Upload:
    """Return an upload without parts and URLs."""
    return pb.Upload(
        upload_id=upload.upload_id,
        purpose=pb.UploadPurpose.Value(f"UPLOAD_PURPOSE_{upload.purpose}"),
        state=pb.UploadState.Value(f"UPLOAD_STATE_{upload.state.name}"),
        size_bytes=upload.size_bytes,
        content_type=upload.content_type,
        sha256=upload.sha256,
        file_name=upload.file_name,
        video_id=upload.video_id,
        create_time=timestamp(upload.create_ms),
        expire_time=timestamp(upload.expire_ms),
    )


class UploadUrls:
    """Signs what an upload still needs."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def unsigned(self, upload: Upload) -> pb.Upload:
        """Return an upload with its parts and which of them have arrived, without URLs."""
        return await self._with_parts(upload, sign=())

    async def missing(self, upload: Upload) -> pb.Upload:
        """Return an upload with URLs for everything that has not arrived."""
        if upload.state not in _TAKING:
            return await self.unsigned(upload)
        if not upload.multipart_id:
            there = await self._objects.head(upload.object_key)
            return to_proto(upload) if there is not None else await self.whole(upload)
        return await self._with_parts(upload, sign=None)

    async def whole(self, upload: Upload) -> pb.Upload:
        """Return an upload with the URL of its single PUT, which brings nothing when the bytes are there."""
        message = to_proto(upload)
        url = await self._objects.sign_put(
            upload.object_key,
            ttl_s=UPLOAD_URL_LIFE_S,
            size_bytes=upload.size_bytes,
            sha256_hex=upload.sha256,
            content_type=upload.content_type,
        )
        message.request.CopyFrom(_request(url))
        return message

    async def chosen(self, upload: Upload, numbers: Collection[int]) -> pb.Upload:
        """Return a multipart upload with URLs for some of its parts, arrived or not."""
        return await self._with_parts(upload, sign=numbers)

    async def _with_parts(self, upload: Upload, *, sign: Collection[int] | None) -> pb.Upload:
        """Return an upload with its parts; ``sign`` None is every part that has not arrived."""
        message = to_proto(upload)
        wanted = pieces(upload)
        received = await self._received(upload)
        if sign is None:
            sign = {piece.number for piece in wanted if piece.number not in received}
        urls = dict(await asyncio.gather(*(self._sign(upload, piece) for piece in wanted if piece.number in sign)))
        for piece in wanted:
            part = message.parts.add(
                part_number=piece.number,
                offset_bytes=piece.offset_bytes,
                size_bytes=piece.size_bytes,
                received=piece.number in received,
            )
            if piece.number in urls:
                part.request.CopyFrom(_request(urls[piece.number]))
        return message

    async def _received(self, upload: Upload) -> frozenset[int]:
        if not upload.multipart_id:
            return frozenset()
        if upload.state is UploadState.COMPLETED:
            return frozenset(piece.number for piece in pieces(upload))
        if upload.state not in _TAKING:
            return frozenset()
        sizes = {piece.number: piece.size_bytes for piece in pieces(upload)}
        try:
            parts = await self._objects.list_parts(upload.object_key, upload.multipart_id)
        except NotFound:  # joined already, by a completion that did not get to its end
            there = await self._objects.head(upload.object_key)
            return frozenset(sizes) if there is not None else frozenset()
        return frozenset(part.number for part in parts if sizes.get(part.number) == part.size_bytes)

    async def _sign(self, upload: Upload, piece: Piece) -> tuple[int, SignedUrl]:
        url = await self._objects.sign_part(
            upload.object_key,
            upload.multipart_id,
            piece.number,
            ttl_s=UPLOAD_URL_LIFE_S,
            size_bytes=piece.size_bytes,
            sha256_hex=piece.sha256,
        )
        return piece.number, url


def _request(url: SignedUrl) -> pb.SignedRequest:
    # Names as HTTP libraries write them: a client that adds its own Content-Length must not send two.
    headers = {"-".join(part.capitalize() for part in name.split("-")): value for name, value in url.headers.items()}
    return pb.SignedRequest(url=url.url, method=url.method, headers=headers, expire_time=timestamp(url.expires_at_ms))
