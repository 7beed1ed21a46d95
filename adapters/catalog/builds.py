"""Builds: how far a generation is built, and the videos that go into it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.engine import Transactions
from adapters.catalog.generations import promote
from adapters.catalog.models import GenerationRow, VideoRow
from adapters.catalog.rows import build_of
from adapters.catalog.state import Command
from contracts.catalog import Build, GenerationState, Searchable
from contracts.errors import NotFound

_SHOWN = (VideoRow.searchable_revision > 0, VideoRow.command.not_in((Command.DELETE, Command.FORGET)))


class Builds(Transactions):
    """Reads and writes of control ``builder``."""

    async def begin_build(self, generation: int) -> None:
        """PENDING -> BUILDING. Another state stays.

        Commits lock the rows of generations while they make a revision searchable: this waits for those under way, and
        later ones see it.
        """
        await self._move(generation, {GenerationState.PENDING}, GenerationState.BUILDING)

    async def record_build(self, generation: int, *, videos_done: int, videos_total: int, after_video_id: str) -> bool:
        """Note how far a build is; return False, and note nothing, when it is BUILDING no longer."""

        async def work(session: AsyncSession) -> bool:
            row = await session.get(GenerationRow, generation, with_for_update=True)
            if row is None or row.state != GenerationState.BUILDING:
                return False
            row.videos_done, row.videos_total, row.after_video_id = videos_done, videos_total, after_video_id
            return True

        return await self._write(work)

    async def finish_build(self, generation: int) -> Build:
        """BUILDING -> READY, or at once ACTIVE where that was asked for. Another state stays. NotFound."""

        async def work(session: AsyncSession) -> Build:
            row = await session.get(GenerationRow, generation, with_for_update=True)
            if row is None:
                raise NotFound("generation", str(generation))
            if row.state == GenerationState.BUILDING:
                row.state, row.update_ms = GenerationState.READY, self._now_ms()
                if row.promote_when_ready:
                    await promote(session, row, row.update_ms)
            return build_of(row)

        return await self._write(work)

    async def fail_build(self, generation: int, *, reason: str, message: str) -> None:
        """PENDING or BUILDING -> FAILED. Another state stays."""
        coming = {GenerationState.PENDING, GenerationState.BUILDING}
        await self._move(generation, coming, GenerationState.FAILED, reason=reason, message=message)

    async def finish_drop(self, generation: int) -> None:
        """DROPPING -> DROPPED. Another state stays."""
        await self._move(generation, {GenerationState.DROPPING}, GenerationState.DROPPED)

    async def searchable_videos(self, after: str, *, limit: int) -> Sequence[Searchable]:
        """Return videos of all tenants that may be shown, with an id after ``after``, by id."""

        async def work(session: AsyncSession) -> Sequence[Searchable]:
            query = select(VideoRow.tenant_id, VideoRow.video_id, VideoRow.searchable_revision)
            query = query.where(VideoRow.video_id > after, *_SHOWN).order_by(VideoRow.video_id).limit(limit)
            return [Searchable(*found) for found in await session.execute(query)]

        return await self._read(work)

    async def searchable_revisions(self, video_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the searchable revision of those videos that may be shown."""

        async def work(session: AsyncSession) -> Mapping[str, int]:
            query = select(VideoRow.video_id, VideoRow.searchable_revision)
            query = query.where(VideoRow.video_id.in_(video_ids), *_SHOWN)
            return dict((await session.execute(query)).all())

        return await self._read(work)

    async def count_searchable(self) -> int:
        """Return how many videos of all tenants may be shown."""

        async def work(session: AsyncSession) -> int:
            return int(await session.scalar(select(func.count()).select_from(VideoRow).where(*_SHOWN)) or 0)

        return await self._read(work)

    async def _move(
        self, generation: int, before: Collection[str], after: str, *, reason: str = "", message: str = ""
    ) -> None:
        async def work(session: AsyncSession) -> None:
            row = await session.get(GenerationRow, generation, with_for_update=True)
            if row is not None and row.state in before:
                row.state, row.update_ms = after, self._now_ms()
                row.error_reason, row.error_message = reason, message

        await self._write(work)
