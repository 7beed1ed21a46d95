"""Erasure: the last word on a video, after every other store has been emptied."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import changed, command, emit
from adapters.catalog.engine import Transactions
from adapters.catalog.models import (
    DeadLetterRow,
    IdempotencyRow,
    MatchingRow,
    OutboxTableRow,
    RevisionRow,
    SceneIdRow,
    ScenePersonRow,
    SceneTableRow,
    StageRunRow,
    UploadRow,
    VideoRow,
)
from adapters.catalog.state import Command
from contracts.facts import SCENE_TOPIC
from contracts.ports import Record

_OF_VIDEO = (
    ScenePersonRow,
    MatchingRow,
    SceneTableRow,
    SceneIdRow,
    StageRunRow,
    RevisionRow,
    UploadRow,
    DeadLetterRow,
)


class Erasure(Transactions):
    """Writes of control ``eraser``."""

    async def finish_erasure(self, tenant_id: str, video_id: str, now_ms: int, records: Sequence[Record]) -> None:
        """Remove everything but the video's id and times; -> DELETED with outbox (tombstones, VIDEO_ERASED).

        Scene facts that were not sent yet are dropped, for the tombstones follow. A deleted or unknown video changes
        nothing, so it is safe to repeat.
        """

        async def work(session: AsyncSession) -> None:
            video = await session.get(VideoRow, video_id, with_for_update=True)
            if video is None or video.tenant_id != tenant_id or video.command == Command.FORGET:
                return
            scene_ids = select(SceneIdRow.scene_id).where(SceneIdRow.video_id == video_id)
            await session.execute(
                delete(OutboxTableRow)
                .where(OutboxTableRow.topic == SCENE_TOPIC, OutboxTableRow.key.in_(scene_ids))
                .execution_options(synchronize_session=False)
            )
            uploads = select(UploadRow.upload_id).where(UploadRow.video_id == video_id)
            await session.execute(  # the same file may come again, by the same request
                delete(IdempotencyRow)
                .where(IdempotencyRow.tenant_id == tenant_id, IdempotencyRow.resource_id.in_(uploads))
                .execution_options(synchronize_session=False)
            )
            for table in _OF_VIDEO:
                await session.execute(delete(table).where(table.video_id == video_id))
            _wipe(video, now_ms)
            await emit(session, records, now_ms)
            await changed(session, [video], now_ms)

        await self._write(work)


def _wipe(video: VideoRow, now_ms: int) -> None:
    """Keep id, tenant and times; a file's name, content and what was found in it are gone."""
    command(video, Command.FORGET)
    video.delete_ms = now_ms
    video.file_name = video.sha256 = video.content_type = video.language = ""
    video.source_key = video.source_etag = ""
    video.size_bytes = video.duration_ms = video.width_px = video.height_px = 0
    video.revision = video.searchable_revision = video.scene_count = video.index_ms = 0
    video.browser_playable = False
