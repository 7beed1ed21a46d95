"""Completion: an upload whose bytes are said to be there -> a completed one, and for a video its first revision.

Every step may be repeated after a crash anywhere: what is done is found done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from contracts import facts, ids, plan
from contracts.catalog import Catalog, Generation, Upload, UploadState
from contracts.errors import DependencyUnavailable, HeimdexError, NotFound, PreconditionFailed
from contracts.ports import Clock, ObjectInfo, Objects, Part
from gateway.uploads import pieces
from heimdex.events.v1 import context_pb2, manifest_pb2

_FIRST_REVISION = 1

_log = structlog.get_logger()


class Completion:
    """Completes uploads. A client that goes away does not stop what it has begun; the same upload is done once."""

    def __init__(self, catalog: Catalog, objects: Objects, pipeline: plan.Pipeline, clock: Clock) -> None:
        self._catalog = catalog
        self._objects = objects
        self._pipeline = pipeline
        self._clock = clock
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
        if not upload.video_id:
            return await self._catalog.finish_completion(
                upload.tenant_id, upload.upload_id, etag=stored.etag, plan_key="", specs={}, records=()
            )
        plan_key = ids.plan_key(upload.tenant_id, upload.video_id, _FIRST_REVISION)
        fixed = await self._fix(plan_key, await self._plan(upload, stored))
        context = context_pb2.EventContext(
            tenant_id=upload.tenant_id,
            video_id=upload.video_id,
            revision=_FIRST_REVISION,
            plan_key=plan_key,
            root_traceparent=traceparent,
        )
        return await self._catalog.finish_completion(
            upload.tenant_id,
            upload.upload_id,
            etag=stored.etag,
            plan_key=plan_key,
            specs={noun: ",".join(each) for noun, each in plan.planned_specs(fixed).items()},
            records=[facts.video_uploaded(context, fixed.create_time)],
        )

    async def _plan(self, upload: Upload, stored: ObjectInfo) -> manifest_pb2.Plan:
        tenant = await self._catalog.tenant(upload.tenant_id)
        active = await self._catalog.active_generation()
        building = await self._catalog.building_generations()
        others = [generation for generation in building if generation.models != active.models]
        source = manifest_pb2.Source(
            key=upload.object_key, etag=stored.etag, size_bytes=stored.size_bytes, sha256=upload.sha256
        )
        return plan.build_plan(
            self._pipeline,
            tenant_id=upload.tenant_id,
            video_id=upload.video_id,
            revision=_FIRST_REVISION,
            source=source,
            faces_enabled=tenant.faces_enabled,
            # Those of the same models need no work of their own: commit writes to every one that there is then.
            generations=[_target(generation) for generation in (active, *others)],
            create_time=facts.timestamp(self._clock.now_ms()),
        )

    async def _fix(self, key: str, wanted: manifest_pb2.Plan) -> manifest_pb2.Plan:
        """Put a plan and return the one that is there then.

        An earlier try may have put it. The same but for its time is kept, so that all tries tell the same. Another one
        (deployed since, or faces switched) is replaced: nobody works by a plan before VIDEO_UPLOADED is written.
        """
        body = wanted.SerializeToString(deterministic=True)
        try:
            await self._objects.put(key, body, content_type="application/protobuf", if_none_match=True)
        except PreconditionFailed:
            found, info = await self._objects.get(key)
            earlier = manifest_pb2.Plan.FromString(found)
            same = manifest_pb2.Plan()
            same.CopyFrom(wanted)
            same.create_time.CopyFrom(earlier.create_time)
            if same == earlier:
                return earlier
            await self._objects.put(key, body, content_type="application/protobuf", if_match=info.etag)
        return wanted


def _target(generation: Generation) -> plan.TargetGeneration:
    """Return a generation with the models whose vectors its collections hold."""
    models = {"embeddings": generation.text_model, "vision": generation.vision_model}
    return plan.TargetGeneration(generation.generation, models)


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
