"""Upkeep: what control ``reconciler`` looks for and clears away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Delete, and_, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import DAY_MS, DELETED_VISIBLE_MS, IDEMPOTENCY_MS, emit, load_videos
from adapters.catalog.engine import Transactions
from adapters.catalog.models import (
    DeadLetterRow,
    IdempotencyRow,
    OutboxTableRow,
    PhotoRow,
    QueryRow,
    RevisionRow,
    UploadRow,
    VideoRow,
    WatchRow,
)
from contracts.catalog import PROCESSED, QUERIES_KEPT_MS, UploadState, Video, VideoState
from contracts.ports import Record

OUTBOX_KEPT_MS = 7 * DAY_MS
DEAD_LETTERS_KEPT_MS = 7 * DAY_MS
WATCH_KEPT = 500
UPLOADS_KEPT_MS = 30 * DAY_MS
_VIDEOS_AT_ONCE = 100
_MOVING = (VideoState.VALIDATING, VideoState.PROCESSING, VideoState.DELETING)
_OVER = (UploadState.COMPLETED, UploadState.EXPIRED, UploadState.ABORTED)


class Upkeep(Transactions):
    """Reads and writes of control ``reconciler``."""

    async def stalled(self, before_ms: int, *, limit: int = 50) -> Sequence[Video]:
        """Return VALIDATING, PROCESSING and DELETING videos without change, and not nudged, since ``before_ms``."""

        async def work(session: AsyncSession) -> Sequence[Video]:
            query = select(VideoRow).where(
                VideoRow.state.in_(_MOVING), VideoRow.update_ms < before_ms, VideoRow.nudge_ms < before_ms
            )
            rows = await session.scalars(query.order_by(VideoRow.update_ms, VideoRow.video_id).limit(limit))
            return await load_videos(session, list(rows))

        return await self._read(work)

    async def root_traceparent(self, video_id: str, revision: int) -> str:
        """Return the trace that began a revision; empty when there was none."""

        async def work(session: AsyncSession) -> str:
            row = await session.get(RevisionRow, (video_id, revision))
            return row.root_traceparent if row else ""

        return await self._read(work)

    async def nudge(self, video_id: str, now_ms: int, records: Sequence[Record]) -> None:
        """Re-emit ``records`` for a stalled video and note when."""

        async def work(session: AsyncSession) -> None:
            query = update(VideoRow).where(VideoRow.video_id == video_id).values(nudge_ms=now_ms)
            await session.execute(query, execution_options={"synchronize_session": False})
            await emit(session, records, now_ms)

        await self._write(work)

    async def erased_unswept(self, before_ms: int, *, limit: int = 50) -> Sequence[Video]:
        """Return videos deleted before ``before_ms`` that were not looked through once more since."""

        async def work(session: AsyncSession) -> Sequence[Video]:
            query = select(VideoRow).where(
                VideoRow.state == VideoState.DELETED, VideoRow.delete_ms < before_ms, VideoRow.swept.is_(False)
            )
            rows = await session.scalars(query.order_by(VideoRow.delete_ms).limit(limit))
            return await load_videos(session, list(rows))

        return await self._read(work)

    async def mark_erased_swept(self, video_ids: Sequence[str]) -> None:
        """Note that deleted videos were looked through once more."""

        async def work(session: AsyncSession) -> None:
            query = update(VideoRow).where(VideoRow.video_id.in_(video_ids)).values(swept=True)
            await session.execute(query, execution_options={"synchronize_session": False})

        await self._write(work)

    async def indexed_between(self, after: str, before_ms: int, *, limit: int = 20) -> Sequence[Video]:
        """Return INDEXED and FAILED videos without change since ``before_ms`` with an id after ``after``, in order.

        For the sweep of blobs that no manifest names: in these videos nobody is at work.
        """

        async def work(session: AsyncSession) -> Sequence[Video]:
            query = select(VideoRow).where(
                VideoRow.state.in_(PROCESSED),
                VideoRow.update_ms < before_ms,
                VideoRow.video_id > after,
            )
            return await load_videos(
                session, list(await session.scalars(query.order_by(VideoRow.video_id).limit(limit)))
            )

        return await self._read(work)

    async def prune(self, now_ms: int) -> int:
        """Drop sent outbox rows after 7 days, idempotency after 24 h, watch log beyond the last 500 a video, dead
        letters after 7 days, closed uploads, deleted videos and texts of queries after 30 days; return how many rows
        went.

        Uploads of photos stay as long as somebody is known by them: whoever is erased has them closed, to be swept.
        One transaction a table, so that none is long.
        """
        # By the few videos that changed so often: the log of a large library has millions of entries.
        often_changed = WatchRow.video_id.in_(select(VideoRow.video_id).where(VideoRow.sequence > WATCH_KEPT))
        newest = select(VideoRow.sequence).where(VideoRow.video_id == WatchRow.video_id).scalar_subquery()
        past_deletion = and_(
            VideoRow.state == VideoState.DELETED, VideoRow.swept, VideoRow.delete_ms < now_ms - DELETED_VISIBLE_MS
        )
        past_upload = and_(
            VideoRow.state.in_((VideoState.ABORTED, VideoState.EXPIRED)), VideoRow.update_ms < now_ms - UPLOADS_KEPT_MS
        )
        past_close = and_(
            UploadRow.state.in_(_OVER),
            UploadRow.update_ms < now_ms - UPLOADS_KEPT_MS,
            (UploadRow.state == UploadState.COMPLETED) | UploadRow.swept,
            ~exists().where(PhotoRow.object_key == UploadRow.object_key),
        )
        rules: tuple[tuple[Any, ColumnElement[bool]], ...] = (
            (OutboxTableRow, (OutboxTableRow.sent_ms > 0) & (OutboxTableRow.sent_ms < now_ms - OUTBOX_KEPT_MS)),
            (IdempotencyRow, IdempotencyRow.create_ms < now_ms - IDEMPOTENCY_MS),
            (DeadLetterRow, DeadLetterRow.event_ms < now_ms - DEAD_LETTERS_KEPT_MS),
            (QueryRow, QueryRow.create_ms < now_ms - QUERIES_KEPT_MS),
            (UploadRow, past_close),
            (WatchRow, often_changed & (WatchRow.sequence <= newest - WATCH_KEPT)),
        )
        pruned = sum([await self._delete(delete(table).where(rule)) for table, rule in rules])
        return pruned + await self._forget_videos(past_deletion | past_upload)

    async def _forget_videos(self, gone: ColumnElement[bool]) -> int:
        """Delete videos, some of them at a time, with their entries of the watch log."""

        async def work(session: AsyncSession) -> int:
            ids = (await session.scalars(select(VideoRow.video_id).where(gone).limit(_VIDEOS_AT_ONCE))).all()
            for table in (WatchRow, VideoRow) if ids else ():
                rows = delete(table).where(table.video_id.in_(ids))
                await session.execute(rows.execution_options(synchronize_session=False))
            return len(ids)

        return await self._write(work)

    async def _delete(self, statement: Delete) -> int:
        async def work(session: AsyncSession) -> int:
            result = await session.execute(statement.execution_options(synchronize_session=False))
            return int(result.rowcount)  # type: ignore[attr-defined]  # a DELETE's result has it

        return await self._write(work)
