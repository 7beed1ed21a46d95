"""Builder: a generation that was asked for -> its text index with every video in it; one that was dropped -> none.

The catalogue is what it builds from: its scenes are what answers show. Vectors are left alone, for a generation of the
same models shares its collections. What is committed meanwhile is written by the commits themselves, so nobody waits
and nothing is missed; what is done again, after a crash or by two at once, is the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import structlog

from contracts.catalog import Build, Catalog, Generation, GenerationState, SceneRow, Searchable
from contracts.errors import HeimdexError, Internal
from contracts.ports import Clock, TextIndex
from indexer.commit.rows import text_row
from indexer.search.transcripts import scene_of

EVERY_S = 1.0
GRACE_S = 300.0
"""How long the index of a dropped generation stays, for who began to read or write it before. Source: the longest
commit of the longest video, 240 s by its deadline in ``contracts.flow``."""

_VIDEOS = 20  # of a page, after which a build goes on when it is begun again
_SCENES = 500  # of one read
_DEAD_AFTER_S = 1800.0  # one page may wait a minute for each 500 of its scenes

_log = structlog.get_logger()


class Builder:
    """Builds generations one after another, and removes the indices of those that were dropped."""

    def __init__(
        self,
        catalog: Catalog,
        text: TextIndex,
        clock: Clock,
        *,
        every_s: float = EVERY_S,
        grace_s: float = GRACE_S,
    ) -> None:
        """Wire; ``every_s`` is the pause between two looks, ``grace_s`` how long the index of a dropped one stays."""
        self._catalog = catalog
        self._text = text
        self._clock = clock
        self._every_s = every_s
        self._grace_s = grace_s
        self._tick_s: float | None = None

    async def run(self) -> None:
        """Build until cancelled; no error ends it."""
        while True:
            await self.turn()
            await self._clock.sleep(self._every_s)

    def healthy(self) -> bool:
        """Return False when a page does not end."""
        return self._tick_s is None or self._clock.monotonic_s() - self._tick_s < _DEAD_AFTER_S

    async def turn(self) -> None:
        """Do what there is to do; what time heals is tried again in the next turn."""
        self._tick()
        try:
            active = await self._catalog.active_generation()
            for build in await self._catalog.list_generations():
                match build.generation.state:
                    case GenerationState.DROPPING:
                        await self._drop(build)
                    case GenerationState.PENDING | GenerationState.BUILDING:
                        if build.generation.models == active.models:  # vectors of others are made by other workers
                            await self._build_or_fail(build, active)
        except HeimdexError as error:
            _log.warning("not built", reason=error.reason, error=error.message)
        except Exception:  # noqa: BLE001 - of the catalogue, not of a build: the next turn looks again
            _log.exception("not built")

    async def _build_or_fail(self, build: Build, active: Generation) -> None:
        number = build.generation.generation
        try:
            await self._build(build, active)
        except HeimdexError as error:
            if error.retryable:
                raise
            _log.warning("build failed", generation=number, reason=error.reason, error=error.message)
            await self._catalog.fail_build(number, reason=error.reason, message=error.message)
        except Exception as error:  # noqa: BLE001 - a defect becomes a typed state
            _log.exception("build failed", generation=number)
            given_up = Internal(f"{type(error).__name__} in builder")
            await self._catalog.fail_build(number, reason=given_up.reason, message=given_up.message)

    async def _build(self, build: Build, active: Generation) -> None:
        """Bring a generation to READY. Each page may be written again, so a build goes on where its last one ended."""
        generation = build.generation
        number, index = generation.generation, generation.text_index
        await self._text.ensure(index, generation.vocabulary)
        await self._text.ensure(active.text_index, active.vocabulary)  # commits go on writing to it when it is retired
        await self._catalog.begin_build(number)
        done, total = build.videos_done, await self._catalog.count_searchable()
        async for page in self._pages(build.after_video_id):
            self._tick()
            await self._write(index, page)
            done += len(page)
            last = page[-1].video_id
            if not await self._catalog.record_build(
                number, videos_done=done, videos_total=max(total, done), after_video_id=last
            ):
                return  # dropped meanwhile, or built by another
        await self._text.refresh(index)
        built = await self._catalog.finish_build(number)
        _log.info("generation built", generation=number, state=built.generation.state, videos=done)

    async def _pages(self, after: str) -> AsyncIterator[Sequence[Searchable]]:
        """Yield searchable videos of all tenants by id, after the given one."""
        while page := await self._catalog.searchable_videos(after, limit=_VIDEOS):
            yield page
            after = page[-1].video_id

    async def _write(self, index: str, videos: Sequence[Searchable]) -> None:
        """Write the scenes of some videos, and take back those of a revision that is shown no longer.

        The eraser, and a commit that removes older rows, may have been here before the rows were.
        """
        rows = [text_row(scene_of(scene.body), scene) for video in videos async for scene in self._scenes(video)]
        await self._text.upsert(index, rows)
        shown = await self._catalog.searchable_revisions([video.video_id for video in videos])
        late = [(row.row_id, row.video_id) for row in rows if shown.get(row.video_id) != row.revision]
        if late:
            await self._text.delete(index, late)

    async def _scenes(self, video: Searchable) -> AsyncIterator[SceneRow]:
        """Yield the scenes of a video in order; of one that is deleted meanwhile no more."""
        after = -1
        while scenes := await self._catalog.list_scenes(
            video.tenant_id, video.video_id, limit=_SCENES, after_index=after
        ):
            for scene in scenes:
                yield scene
            after = scenes[-1].index

    async def _drop(self, build: Build) -> None:
        """Remove the index when nobody reads it any longer."""
        if self._clock.now_ms() - build.update_ms < self._grace_s * 1000:
            return
        await self._text.drop(build.generation.text_index)
        await self._catalog.finish_drop(build.generation.generation)
        _log.info("generation dropped", generation=build.generation.generation)

    def _tick(self) -> None:
        self._tick_s = self._clock.monotonic_s()
