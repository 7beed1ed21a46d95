"""Eraser: a request to delete a video -> every store emptied of it, read back, and then the word that it is so.

First the gate, which every worker looks at before it writes; then all stores; then a wait for those who looked before
the gate was there; then all stores again. Each step may be repeated: a crash anywhere is healed by the next delivery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from contracts import codec, facts, ids
from contracts.catalog import Catalog, VideoState
from contracts.errors import BadArtifact, DependencyUnavailable, NotFound, PreconditionFailed
from contracts.ports import Clock, Objects, Record, TextIndex, VectorIndex
from control.guard import insist
from heimdex.events.v1 import events_pb2

LEASE_TTL_S = 30.0
"""As of ``adapters.bus.lease``: whoever held one has lost it by then."""

LONGEST_PUT_S = 60.0
"""Longest that a worker may take from its last look at the gate to the end of what it writes then."""

LEASE_WAIT_S = LEASE_TTL_S + LONGEST_PUT_S

_AT_ONCE = 4
"""Videos that are removed from the stores at the same time; waiting for leases is not counted."""

_log = structlog.get_logger()


class Eraser:
    """Handler of control ``eraser``."""

    def __init__(
        self,
        catalog: Catalog,
        objects: Objects,
        text_vectors: VectorIndex,
        vision_vectors: VectorIndex,
        text: TextIndex,
        *,
        leases: Objects,
        clock: Clock,
        lease_wait_s: float = LEASE_WAIT_S,
    ) -> None:
        """Wire.

        Args:
            objects: of everything but leases.
            leases: the bucket of leases.
            lease_wait_s: how long workers may still write that looked before the gate was there.
        """
        self._catalog = catalog
        self._objects = objects
        self._text_vectors = text_vectors
        self._vision_vectors = vision_vectors
        self._text = text
        self._leases = leases
        self._clock = clock
        self._lease_wait_s = lease_wait_s
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def handle(self, record: Record) -> None:
        """Erase a video. Raises BadArtifact and other permanent errors; what time heals is waited for."""
        request = codec.decode(record)
        if not isinstance(request, events_pb2.VideoDeletionRequested) or not request.tenant_id or not request.video_id:
            raise BadArtifact(f"no deletion: {request.DESCRIPTOR.full_name}")
        tenant_id, video_id = request.tenant_id, request.video_id
        state = await insist(lambda: self._state(tenant_id, video_id), self._clock, what="catalogue")
        if state is None:
            _log.warning("no such video to erase", tenant_id=tenant_id, video_id=video_id)
            return
        if state not in {VideoState.DELETING, VideoState.DELETED}:
            raise PreconditionFailed(f"the video is {state}: nobody asked to delete it")
        await insist(lambda: self._close_gate(video_id), self._clock, what="objects")
        await insist(lambda: self._empty(tenant_id, video_id), self._clock, what="stores")
        if state is VideoState.DELETING:  # else this only looks once more: nobody is at work on it any longer
            await self._clock.sleep(self._lease_wait_s)
            await insist(lambda: self._empty(tenant_id, video_id), self._clock, what="stores")
        await insist(lambda: self._leases.purge(ids.video_prefix(tenant_id, video_id)), self._clock, what="objects")
        await insist(lambda: self._verify(tenant_id, video_id), self._clock, what="stores")
        await insist(lambda: self._finish(tenant_id, video_id), self._clock, what="catalogue")
        _log.info("erased", tenant_id=tenant_id, video_id=video_id)

    async def _state(self, tenant_id: str, video_id: str) -> VideoState | None:
        """Return what the catalogue, which alone decides, says; None for another tenant's video or a forgotten one."""
        try:
            return (await self._catalog.get_video(tenant_id, video_id)).state
        except NotFound:
            return None

    async def _close_gate(self, video_id: str) -> None:
        try:
            await self._objects.put(ids.gate_key(video_id), b"", if_none_match=True)
        except PreconditionFailed:
            _log.info("gate was closed before", video_id=video_id)

    async def _empty(self, tenant_id: str, video_id: str) -> None:
        """Remove the video from every store."""
        async with self._at_once:
            await self._empty_indices(tenant_id, video_id)
            await self._objects.purge(ids.video_prefix(tenant_id, video_id))

    async def _empty_indices(self, tenant_id: str, video_id: str) -> None:
        for index, collections in (await self._vector_stores()).items():
            for collection in collections:
                await index.delete_video(collection, tenant_id, video_id)
        for text_index in await self._text_indices():
            await self._text.delete_video(text_index, tenant_id, video_id)

    async def _verify(self, tenant_id: str, video_id: str) -> None:
        """Read back. Raises DependencyUnavailable, after removing again, while anything is left."""
        async with self._at_once:
            left = await self._left(tenant_id, video_id)
            if left:
                await self._empty_indices(tenant_id, video_id)
                raise DependencyUnavailable("stores", f"not yet gone from {', '.join(left)}")

    async def _left(self, tenant_id: str, video_id: str) -> list[str]:
        """Return the stores that still had something of the video."""
        left: list[str] = []
        for index, collections in (await self._vector_stores()).items():
            for collection in collections:
                await index.flush(collection)
                if await index.count(collection, tenant_id, video_id):
                    left.append(collection)
        for text_index in await self._text_indices():
            await self._text.refresh(text_index)
            if await self._text.count(text_index, tenant_id, video_id):
                left.append(text_index)
        prefix = ids.video_prefix(tenant_id, video_id)
        for bucket, what in ((self._objects, "objects"), (self._leases, "leases")):
            if await bucket.purge(prefix):  # a listing would show neither old versions nor open uploads
                left.append(what)
        return left

    async def _finish(self, tenant_id: str, video_id: str) -> None:
        scene_ids = await self._catalog.video_scene_ids(tenant_id, video_id)
        now_ms = self._clock.now_ms()
        tombstones = [facts.scene_tombstone(tenant_id, scene_id) for scene_id in scene_ids]
        erased = facts.video_erased(tenant_id, video_id, now_ms)
        await self._catalog.finish_erasure(tenant_id, video_id, now_ms, [*tombstones, erased])

    # -------------------------------------------------------------------------------------------- generations

    async def _vector_stores(self) -> Mapping[VectorIndex, Sequence[str]]:
        generations = await self._catalog.all_generations()
        text = {generation.text_collection for generation in generations}
        vision = {generation.vision_collection for generation in generations}
        if self._text_vectors is self._vision_vectors:
            return {self._text_vectors: sorted(text | vision)}
        return {self._text_vectors: sorted(text), self._vision_vectors: sorted(vision)}

    async def _text_indices(self) -> Sequence[str]:
        return sorted({generation.text_index for generation in await self._catalog.all_generations()})
