"""Tracker: stage facts and progress, merged into stage runs, video states and the watch log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import changed, lock_videos, settle
from adapters.catalog.engine import Transactions
from adapters.catalog.models import DeadLetterRow, StageRunRow, VideoRow
from adapters.catalog.rows import put_stage_run, stage_run_of
from adapters.catalog.state import ENDED, PENDING, Command, merge
from contracts.catalog import DeadLetterEntry, StageUpdate
from contracts.flow import STAGES

_TRUE = frozenset({"true", "1", "yes"})


class Tracking(Transactions):
    """Writes of control ``tracker``."""

    async def apply_updates(self, updates: Sequence[StageUpdate], now_ms: int) -> int:
        """Merge stage runs, derive video states, append the watch log; return how many updates changed anything.

        Facts of other revisions than the current one, of deleted or unknown videos and of other tenants are ignored.
        """

        async def work(session: AsyncSession) -> int:
            videos = await lock_videos(session, (update.video_id for update in updates))
            running = {v.video_id: v for v in videos.values() if v.command == Command.RUN}
            runs = await _runs(session, running)
            told = 0
            touched: dict[str, VideoRow] = {}
            for update in updates:
                video = running.get(update.video_id)
                if video is not None and _concerns(update, video) and _apply(session, update, video, runs):
                    told += 1
                    touched[video.video_id] = video
            for video_id, video in touched.items():
                settle(video, [run for (of, _), run in runs.items() if of == video_id])
            await changed(session, [touched[video_id] for video_id in sorted(touched)], now_ms)
            return told

        return await self._write(work)

    async def record_dead_letters(self, letters: Sequence[DeadLetterEntry]) -> None:
        """Note dead letters; the same one again changes nothing."""

        async def work(session: AsyncSession) -> None:
            for letter in letters:
                place = (letter.consumer, letter.source_topic, letter.source_partition, letter.source_offset)
                if await session.get(DeadLetterRow, place) is None:
                    session.add(
                        DeadLetterRow(
                            consumer=letter.consumer,
                            source_topic=letter.source_topic,
                            source_partition=letter.source_partition,
                            source_offset=letter.source_offset,
                            tenant_id=letter.tenant_id,
                            video_id=letter.video_id,
                            revision=letter.revision,
                            reason=letter.reason,
                            message=letter.message,
                            attempts=letter.attempts,
                            event_ms=letter.event_ms,
                        )
                    )
                    await session.flush()

        await self._write(work)


async def _runs(session: AsyncSession, videos: Mapping[str, VideoRow]) -> dict[tuple[str, str], StageRunRow]:
    query = select(StageRunRow).where(StageRunRow.video_id.in_(sorted(videos)))
    rows = await session.scalars(query)
    return {(row.video_id, row.stage): row for row in rows if row.revision == videos[row.video_id].revision}


def _concerns(update: StageUpdate, video: VideoRow) -> bool:
    return update.tenant_id == video.tenant_id and update.revision == video.revision and update.run.stage in STAGES


def _apply(
    session: AsyncSession, update: StageUpdate, video: VideoRow, runs: dict[tuple[str, str], StageRunRow]
) -> bool:
    key = (update.video_id, update.run.stage)
    row = runs.get(key)
    if row is None:  # a stage that a later version of the flow has added
        row = StageRunRow(
            video_id=video.video_id, revision=video.revision, stage=update.run.stage, tenant_id=video.tenant_id,
            state=PENDING, outcome="", attempt=0, progress=0.0, start_ms=0, end_ms=0, elapsed_ms=0,
            reason="", message="", manifest_key="", error_metadata={},
        )  # fmt: skip
        session.add(row)
        runs[key] = row
    known = stage_run_of(row)
    merged = merge(known, update.run)
    if merged == known:
        return False
    put_stage_run(row, merged)
    if merged.stage == "validate" and merged.state == ENDED and update.run.state == ENDED:
        _describe(video, update)
    return True


def _describe(video: VideoRow, update: StageUpdate) -> None:
    """Write what ``validate`` found out about the file; only its ending says it, so order cannot matter."""
    video.duration_ms = update.counts.get("duration_ms", video.duration_ms)
    video.width_px = update.counts.get("width_px", video.width_px)
    video.height_px = update.counts.get("height_px", video.height_px)
    video.content_type = update.labels.get("content_type", video.content_type)
    video.browser_playable = update.labels.get("browser_playable", "") in _TRUE
