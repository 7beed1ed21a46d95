"""Videos: reads for the gateway, and its command to delete one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import (
    DELETED_VISIBLE_MS,
    changed,
    command,
    emit,
    load_videos,
    lock_video,
    made_before,
    remember,
)
from adapters.catalog.engine import Transactions
from adapters.catalog.models import UploadRow, VideoRow
from adapters.catalog.state import Command
from contracts.catalog import Idempotency, UploadState, Video, VideoState
from contracts.errors import NotFound
from contracts.ports import Record

_UNLISTED = (VideoState.DELETED, VideoState.ABORTED, VideoState.EXPIRED)
_GOING = frozenset({Command.DELETE, Command.FORGET})


class Videos(Transactions):
    """Reads and the deletion of videos."""

    async def get_video(self, tenant_id: str, video_id: str) -> Video:
        """Return a video. NotFound, also 30 days after its deletion."""

        async def work(session: AsyncSession) -> Video:
            row = await session.get(VideoRow, video_id)
            if row is None or row.tenant_id != tenant_id or _forgotten(row, self._now_ms()):
                raise NotFound("video", video_id)
            return (await load_videos(session, [row]))[0]

        return await self._read(work)

    async def list_videos(
        self, tenant_id: str, *, states: Sequence[VideoState], limit: int, before: tuple[int, str] | None
    ) -> Sequence[Video]:
        """Return videos, newest first, after the cursor (create_ms, video_id).

        Without ``states``: all but DELETED, ABORTED and EXPIRED.
        """

        async def work(session: AsyncSession) -> Sequence[Video]:
            place = tuple_(VideoRow.create_ms, VideoRow.video_id)
            query = select(VideoRow).where(
                VideoRow.tenant_id == tenant_id,
                VideoRow.state.in_(states) if states else VideoRow.state.not_in(_UNLISTED),
                or_(VideoRow.delete_ms == 0, VideoRow.delete_ms >= self._now_ms() - DELETED_VISIBLE_MS),
            )
            if before is not None:
                query = query.where(place < before)
            query = query.order_by(VideoRow.create_ms.desc(), VideoRow.video_id.desc()).limit(limit)
            return await load_videos(session, list(await session.scalars(query)))

        return await self._read(work)

    async def videos_matching(
        self,
        tenant_id: str,
        *,
        video_ids: Sequence[str] = (),
        languages: Sequence[str] = (),
        uploaded_from_ms: int | None = None,
        uploaded_to_ms: int | None = None,
        limit: int = 1000,
    ) -> Sequence[str]:
        """Return searchable videos that are not being deleted, newest first, at most ``limit``."""
        query = select(VideoRow.video_id).where(
            VideoRow.tenant_id == tenant_id, VideoRow.searchable_revision > 0, VideoRow.command.not_in(_GOING)
        )
        if video_ids:
            query = query.where(VideoRow.video_id.in_(video_ids))
        if languages:
            of_video = func.lower(VideoRow.language)
            query = query.where(or_(of_video.in_(languages), *(of_video.startswith(f"{one}-") for one in languages)))
        if uploaded_from_ms is not None:
            query = query.where(VideoRow.create_ms >= uploaded_from_ms)
        if uploaded_to_ms is not None:
            query = query.where(VideoRow.create_ms < uploaded_to_ms)
        query = query.order_by(VideoRow.create_ms.desc(), VideoRow.video_id.desc()).limit(limit)

        async def work(session: AsyncSession) -> Sequence[str]:
            return list(await session.scalars(query))

        return await self._read(work)

    async def request_deletion(
        self, tenant_id: str, video_id: str, call: Idempotency, records: Sequence[Record]
    ) -> Video:
        """-> DELETING with outbox; DELETING and DELETED are returned as they are without a second record."""

        async def work(session: AsyncSession) -> Video:
            now_ms = self._now_ms()
            await made_before(session, call, now_ms)  # refuses another body; the effect below is idempotent
            row = await lock_video(session, tenant_id, video_id)
            if _forgotten(row, now_ms):
                raise NotFound("video", video_id)
            await remember(session, call, video_id, now_ms)
            if row.command not in _GOING:
                command(row, Command.DELETE)
                await _close_upload(session, video_id, now_ms)
                await emit(session, records, now_ms)
                await changed(session, [row], now_ms)
            return (await load_videos(session, [row]))[0]

        return await self._write(work)


def _forgotten(row: VideoRow, now_ms: int) -> bool:
    return bool(row.delete_ms) and row.delete_ms < now_ms - DELETED_VISIBLE_MS


async def _close_upload(session: AsyncSession, video_id: str, now_ms: int) -> None:
    open_ = UploadRow.state.in_((UploadState.OPEN, UploadState.COMPLETING))
    query = update(UploadRow).where(UploadRow.video_id == video_id, open_)
    await session.execute(
        query.values(state=UploadState.ABORTED, update_ms=now_ms), execution_options={"synchronize_session": False}
    )
