"""Revisions: runs of a video through the flow, as they begin."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import changed, emit, load_videos, lock_video, made_before, remember, settle
from adapters.catalog.engine import Transactions
from adapters.catalog.models import RevisionRow, StageRunRow, VideoRow
from adapters.catalog.state import PENDING, Command
from contracts.catalog import PROCESSED, Idempotency, NewRevision, Video
from contracts.errors import PreconditionFailed
from contracts.flow import STAGES
from contracts.ports import Record

_TRACEPARENT = "traceparent"


class Revisions(Transactions):
    """Runs after the first, which an upload's completion begins."""

    async def begin_revision(self, tenant_id: str, video_id: str, call: Idempotency, new: NewRevision | None) -> Video:
        """INDEXED or FAILED -> VALIDATING, unless this call was made before."""

        async def work(session: AsyncSession) -> Video:
            now_ms = self._now_ms()
            made = await made_before(session, call, now_ms)
            video = await lock_video(session, tenant_id, video_id)
            if made is None:
                if new is None or video.state not in PROCESSED or video.revision != new.revision - 1:
                    message = f"the video is {video.state}: it can be processed again when it is indexed or has failed"
                    raise PreconditionFailed(message, metadata={"state": video.state})
                await remember(session, call, video_id, now_ms)
                await begin(session, video, new, now_ms)
                await changed(session, [video], now_ms)
            return (await load_videos(session, [video]))[0]

        return await self._write(work)


async def begin(session: AsyncSession, video: VideoRow, new: NewRevision, now_ms: int) -> None:
    """Begin a revision of a locked video: its rows, its state, its outbox."""
    video.revision, video.command = new.revision, Command.RUN
    runs = [
        StageRunRow(
            video_id=video.video_id,
            revision=new.revision,
            stage=noun,
            tenant_id=video.tenant_id,
            spec=new.specs.get(noun, ""),
            state=PENDING,
            error_metadata={},
        )
        for noun in STAGES
    ]
    revision = RevisionRow(
        video_id=video.video_id,
        revision=new.revision,
        tenant_id=video.tenant_id,
        plan_key=new.plan_key,
        root_traceparent=_root_traceparent(new.records),
        create_ms=now_ms,
    )
    session.add_all([revision, *runs])
    settle(video, runs)
    await emit(session, new.records, now_ms)


def _root_traceparent(records: Sequence[Record]) -> str:
    for record in records:
        for name, value in record.headers:
            if name == _TRACEPARENT:
                return value.decode()
    return ""
