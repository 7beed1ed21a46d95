"""Completion: an upload whose bytes are said to be there -> a completed one, and for a video its first revision.

Every step may be repeated after a crash anywhere: what is done is found done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from contracts.catalog import Catalog, NewRevision, Upload, UploadState
from contracts.errors import DependencyUnavailable, HeimdexError, NotFound, PreconditionFailed
from contracts.ports import ObjectInfo, Objects, Part
from gateway.revisions import FIRST, Revisions
from gateway.uploads import pieces
from heimdex.events.v1 import manifest_pb2

_log = structlog.get_logger()


class Completion:
    """Completes uploads. A client that goes away does not stop what it has begun; the same upload is done once."""

    def __init__(self, catalog: Catalog, objects: Objects, revisions: Revisions) -> None:
        self._catalog = catalog
        self._objects = objects
        self._revisions = revisions
        self._running: dict[str, asyncio.Task[Upload]] = {}

    async def complete(self, tenant_id: str, upload_id: str, *, traceparent: str) -> Upload:
        """Return the completed upload.

        Raises:
            NotFound: no such upload in the tenant. Permanent.
            PreconditionFailed: UPLOAD_INCOMPLETE, SIZE_MISMATCH (it stays open) or UPLOAD_CLOSED. Permanent.
            DependencyUnavailable: SQL or object storage is away; call again. Transient.
        """
        key = f"{tenant_id}/{upload_id}"
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._complete(tenant_id, upload_id, traceparent))
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _ended(self, key: str, task: asyncio.Task[Upload]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # callers that are gone cannot look

    async def _complete(self, tenant_id: str, upload_id: str, traceparent: str) -> Upload:
        upload = await self._catalog.begin_completion(tenant_id, upload_id)
        if upload.state is UploadState.COMPLETED:
            return upload
        try:
            stored = await self._stored(upload)
        except PreconditionFailed:
            await self._catalog.reopen_upload(tenant_id, upload_id)
            raise
        done = await self._finish(upload, stored, traceparent)
        _log.info("upload completed", tenant=tenant_id, upload_id=upload_id, video_id=upload.video_id)
        return done

    # ---- the bytes ------------------------------------------------------------------------------------

    async def _stored(self, upload: Upload) -> ObjectInfo:
        """Return the stored object when it has the declared size. Raises PreconditionFailed when it has not."""
        if upload.multipart_id:
            await self._join(upload)
        stored = await self._objects.head(upload.object_key)
        if stored is None:
            raise _incomplete("the bytes have not arrived: PUT them first", upload, 0)
        if stored.size_bytes != upload.size_bytes:
            # A PUT takes nothing where something is: what is wrong must go, for the right bytes to come.
            await self._objects.purge(upload.object_key)
            raise _mismatch(upload, stored.size_bytes)
        return stored

    async def _join(self, upload: Upload) -> None:
        try:
            parts = await self._objects.list_parts(upload.object_key, upload.multipart_id)
        except NotFound:
            return  # joined before, by a completion that did not get to its end; else the object is not there
        _check_parts(upload, parts)
        try:
            await self._objects.complete_multipart(upload.object_key, upload.multipart_id, parts)
        except HeimdexError as error:
            # The store may have joined them all the same, and only its answer was lost.
            if await self._objects.head(upload.object_key) is None:
                if isinstance(error, NotFound):
                    raise DependencyUnavailable("objects", "the parts are being joined: ask again") from error
                raise
            _log.warning("joined with an error", upload_id=upload.upload_id, reason=error.reason)

    # ---- the revision ---------------------------------------------------------------------------------

    async def _finish(self, upload: Upload, stored: ObjectInfo, traceparent: str) -> Upload:
        begins = await self._first(upload, stored, traceparent) if upload.video_id else None
        return await self._catalog.finish_completion(
            upload.tenant_id, upload.upload_id, etag=stored.etag, begins=begins
        )

    async def _first(self, upload: Upload, stored: ObjectInfo, traceparent: str) -> NewRevision:
        source = manifest_pb2.Source(
            key=upload.object_key, etag=stored.etag, size_bytes=stored.size_bytes, sha256=upload.sha256
        )
        return await self._revisions.prepare(upload.tenant_id, upload.video_id, FIRST, source, traceparent=traceparent)


def _check_parts(upload: Upload, parts: Sequence[Part]) -> None:
    """Raise PreconditionFailed unless the parts are those of the upload: all there, each of its size."""
    wanted = {piece.number: piece.size_bytes for piece in pieces(upload)}
    received = {part.number: part.size_bytes for part in parts}
    if any(received[number] != wanted.get(number, 0) for number in received):
        raise _mismatch(upload, sum(received.values()))
    missing = len(wanted.keys() - received.keys())
    if missing:
        message = f"{missing} of {len(wanted)} parts have not arrived: PUT them first"
        raise _incomplete(message, upload, sum(received.values()))


def _incomplete(message: str, upload: Upload, actual_bytes: int) -> PreconditionFailed:
    return PreconditionFailed(message, reason="UPLOAD_INCOMPLETE", metadata=_sizes(upload, actual_bytes))


def _mismatch(upload: Upload, actual_bytes: int) -> PreconditionFailed:
    message = f"{actual_bytes} bytes are stored, {upload.size_bytes} were declared: PUT them again"
    return PreconditionFailed(message, reason="SIZE_MISMATCH", metadata=_sizes(upload, actual_bytes))


def _sizes(upload: Upload, actual_bytes: int) -> dict[str, str]:
    return {"declared_bytes": str(upload.size_bytes), "actual_bytes": str(actual_bytes)}
