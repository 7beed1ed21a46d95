"""Watch: the log of changes, for the gateway's one poller."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import WATCH_HEAD
from adapters.catalog.engine import Transactions
from adapters.catalog.models import VideoRow, WatchHeadRow, WatchRow
from contracts.catalog import WatchEntry


class Watch(Transactions):
    """Reads of the watch log."""

    async def changes(self, after_row: int, *, limit: int = 500) -> Sequence[tuple[int, WatchEntry]]:
        """Return watch log entries of all tenants after a log row, ascending: (row, entry)."""

        async def work(session: AsyncSession) -> Sequence[tuple[int, WatchEntry]]:
            query = select(WatchRow).where(WatchRow.row > after_row).order_by(WatchRow.row).limit(limit)
            return [
                (row.row, WatchEntry(row.tenant_id, row.video_id, row.sequence)) for row in await session.scalars(query)
            ]

        return await self._read(work)

    async def last_change(self) -> int:
        """Return the newest log row, 0 for none."""

        async def work(session: AsyncSession) -> int:
            return (await session.get_one(WatchHeadRow, WATCH_HEAD)).row

        return await self._read(work)

    async def video_sequence(self, tenant_id: str, video_id: str) -> int:
        """Return the newest sequence of a video, 0 for none."""

        async def work(session: AsyncSession) -> int:
            query = select(VideoRow.sequence).where(VideoRow.video_id == video_id, VideoRow.tenant_id == tenant_id)
            return await session.scalar(query) or 0

        return await self._read(work)
