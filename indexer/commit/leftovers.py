"""Leftovers: a video with a new searchable revision -> the rows of its older ones removed from the stores, in time.

Nobody is shown them meanwhile: readers keep rows of the searchable revision only. What a crash leaves behind goes with
the next delivery or the next revision of the video.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from contracts import ids
from contracts.catalog import Catalog, Video
from contracts.errors import HeimdexError
from contracts.ports import Clock, TextIndex, VectorIndex

_TRIES = 5
_PAUSE_S = 5.0

_log = structlog.get_logger()


class Leftovers:
    """Removes rows after a grace, in the background."""

    def __init__(
        self,
        catalog: Catalog,
        text_vectors: VectorIndex,
        vision_vectors: VectorIndex,
        text: TextIndex,
        clock: Clock,
        *,
        grace_s: float,
    ) -> None:
        """Wire."""
        self._catalog = catalog
        self._text_vectors = text_vectors
        self._vision_vectors = vision_vectors
        self._text = text
        self._clock = clock
        self._grace_s = grace_s
        self._waiting: dict[asyncio.Task[None], tuple[Video, tuple[str, ...]]] = {}

    def later(self, video: Video, row_ids: Sequence[str]) -> None:
        """Remove rows of a video after the grace."""
        if row_ids:
            task = asyncio.create_task(self._after_grace(video, tuple(row_ids)))
            self._waiting[task] = (video, tuple(row_ids))
            task.add_done_callback(self._ended)

    async def of_older_revisions(self, video: Video) -> None:
        """Remove, after the grace, whatever rows revisions before the searchable one may have left."""
        older = range(1, video.searchable_revision)
        if older and not any(waiting.video_id == video.video_id for waiting, _ in self._waiting.values()):
            scene_ids = await self._catalog.video_scene_ids(video.tenant_id, video.video_id)
            self.later(video, [ids.row_id(scene, revision) for scene in scene_ids for revision in older])

    async def close(self) -> None:
        """Remove what still waits, once and without waiting."""
        waiting = dict(self._waiting)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
        await asyncio.gather(*(self._try(*rows) for task, rows in waiting.items() if task.cancelled()))

    async def _after_grace(self, video: Video, row_ids: tuple[str, ...]) -> None:
        await self._clock.sleep(self._grace_s)
        for _ in range(_TRIES):
            if await self._try(video, row_ids):
                return
            await self._clock.sleep(_PAUSE_S)
        _log.error("old rows left behind", video_id=video.video_id, rows=len(row_ids))

    async def _try(self, video: Video, row_ids: tuple[str, ...]) -> bool:
        try:
            for generation in await self._catalog.all_generations():
                await self._text_vectors.delete(generation.text_collection, video.tenant_id, row_ids)
                await self._vision_vectors.delete(generation.vision_collection, video.tenant_id, row_ids)
                await self._text.delete(generation.text_index, [(row, video.video_id) for row in row_ids])
        except HeimdexError as error:
            _log.warning("old rows not removed", video_id=video.video_id, reason=error.reason, error=error.message)
            return False
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._waiting.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("old rows left behind", exc_info=error)
