"""Effects: what goes with a change in the same transaction: outbox rows, watch log, idempotency, loading of videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.models import (
    IdempotencyRow,
    OutboxTableRow,
    RevisionRow,
    StageRunRow,
    VideoRow,
    WatchHeadRow,
    WatchRow,
)
from adapters.catalog.rows import outbox_row, stage_run_of, video_of
from adapters.catalog.state import Command, derive
from contracts.catalog import Idempotency, Video
from contracts.errors import AlreadyExists, NotFound
from contracts.ports import Record

DAY_MS = 86_400_000
IDEMPOTENCY_MS = DAY_MS
DELETED_VISIBLE_MS = 30 * DAY_MS
WATCH_HEAD = 1


async def lock_video(session: AsyncSession, tenant_id: str, video_id: str) -> VideoRow:
    """Return a video's row, locked to the end of the transaction. Raises NotFound."""
    row = await session.get(VideoRow, video_id, with_for_update=True)
    if row is None or row.tenant_id != tenant_id:
        raise NotFound("video", video_id)
    return row


async def lock_videos(session: AsyncSession, video_ids: Iterable[str]) -> dict[str, VideoRow]:
    """Return rows by id, locked in the order of their ids, so that two transactions never wait for each other."""
    query = select(VideoRow).where(VideoRow.video_id.in_(sorted(set(video_ids)))).order_by(VideoRow.video_id)
    return {row.video_id: row for row in await session.scalars(query.with_for_update())}


async def load_videos(session: AsyncSession, rows: Sequence[VideoRow]) -> list[Video]:
    """Return videos with the stage runs of their current revisions, in the order of ``rows``."""
    ids = [row.video_id for row in rows]
    of_current = VideoRow.video_id.in_(ids)
    runs: dict[str, list[StageRunRow]] = {}
    query = select(StageRunRow).join(
        VideoRow, (VideoRow.video_id == StageRunRow.video_id) & (VideoRow.revision == StageRunRow.revision)
    )
    for run in await session.scalars(query.where(of_current)):
        runs.setdefault(run.video_id, []).append(run)
    plans = select(RevisionRow.video_id, RevisionRow.plan_key).join(
        VideoRow, (VideoRow.video_id == RevisionRow.video_id) & (VideoRow.revision == RevisionRow.revision)
    )
    plan_keys = dict((await session.execute(plans.where(of_current))).all())
    return [video_of(row, runs.get(row.video_id, ()), plan_keys.get(row.video_id, "")) for row in rows]


def settle(video: VideoRow, runs: Iterable[StageRunRow]) -> None:
    """Derive a video's state and error from its command and the stage runs of its current revision."""
    verdict = derive(Command(video.command), [stage_run_of(run) for run in runs])
    video.state, video.error_reason, video.error_message = verdict.state, verdict.reason, verdict.message


def command(video: VideoRow, told: Command) -> None:
    """Give a video a command that says its state by itself."""
    video.command = told
    settle(video, ())


async def changed(session: AsyncSession, videos: Sequence[VideoRow], now_ms: int) -> None:
    """Note in the watch log that videos have changed: one entry each. To be called last: it locks the log's head.

    Numbers follow the order of commits, so a reader that goes on "after row n" misses nothing.
    """
    if not videos:
        return
    await session.flush()  # before the head is locked, which every other change waits for
    head = (
        update(WatchHeadRow)
        .where(WatchHeadRow.head == WATCH_HEAD)
        .values(row=WatchHeadRow.row + len(videos))
        .returning(WatchHeadRow.row)
    )
    last = (await session.execute(head.execution_options(synchronize_session=False))).scalar_one()
    for row, video in enumerate(videos, start=last - len(videos) + 1):
        video.sequence += 1
        video.update_ms = max(video.update_ms, now_ms)
        session.add(WatchRow(row=row, tenant_id=video.tenant_id, video_id=video.video_id, sequence=video.sequence))


async def emit(session: AsyncSession, records: Iterable[Record], now_ms: int) -> None:
    """Write records to the outbox, numbered in their order. In bulk: entities cost seven times as much."""
    rows = [outbox_row(record, now_ms) for record in records]
    if rows:
        await session.execute(insert(OutboxTableRow), rows, execution_options={"render_nulls": True})


async def made_before(session: AsyncSession, call: Idempotency, now_ms: int) -> str | None:
    """Return the id of what this call made within 24 h. Raises AlreadyExists(REQUEST_ID_REUSED) for another body."""
    row = await session.get(IdempotencyRow, _key(call))
    if row is None or row.create_ms < now_ms - IDEMPOTENCY_MS:
        return None
    if row.body_sha256 != call.body_sha256:
        raise AlreadyExists("request", "", "this request_id was used with another content", reason="REQUEST_ID_REUSED")
    return row.resource_id


async def remember(session: AsyncSession, call: Idempotency, resource_id: str, now_ms: int) -> None:
    """Note what a call made, in the transaction that makes it. Two at once: one is refused, and finds this row."""
    row = await session.get(IdempotencyRow, _key(call))
    if row is None:
        row = IdempotencyRow(
            tenant_id=call.tenant_id, principal=call.principal, method=call.method, request_id=call.request_id
        )
        session.add(row)
    row.body_sha256, row.resource_id, row.create_ms = call.body_sha256, resource_id, now_ms


def _key(call: Idempotency) -> tuple[str, str, str, str]:
    return (call.tenant_id, call.principal, call.method, call.request_id)
