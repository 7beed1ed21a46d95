"""Uploads: commands of the gateway on uploads, and on the videos that they will be."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import changed, command, lock_video, made_before, remember
from adapters.catalog.engine import Transactions
from adapters.catalog.models import PhotoRow, UploadRow, VideoRow
from adapters.catalog.revisions import begin
from adapters.catalog.rows import upload_of, upload_row
from adapters.catalog.state import Command
from contracts.catalog import UPLOAD_URL_LIFE_S, Idempotency, NewRevision, Upload, UploadState, VideoState
from contracts.errors import AlreadyExists, NotFound, PreconditionFailed

_LIVE = (VideoState.COMPLETING, VideoState.VALIDATING, VideoState.PROCESSING, VideoState.INDEXED)
UNUSED_MS = 86_400_000
"""How long a completed photo or query image may wait to be used."""


class Uploads(Transactions):
    """Writes of uploads."""

    async def create_upload(self, upload: Upload, call: Idempotency, *, allow_duplicate: bool) -> Upload:
        """Insert an upload, for videos the video too. AlreadyExists(video) when the tenant has its content already."""

        async def work(session: AsyncSession) -> Upload:
            now_ms = self._now_ms()
            made = await made_before(session, call, now_ms)
            if made is not None:
                return upload_of(await _upload(session, upload.tenant_id, made))
            if upload.video_id and not allow_duplicate:
                await _refuse_duplicate(session, upload)
            await remember(session, call, upload.upload_id, now_ms)
            session.add(upload_row(upload))
            if upload.video_id:
                video = VideoRow(
                    video_id=upload.video_id,
                    tenant_id=upload.tenant_id,
                    command=Command.UPLOAD,
                    state=VideoState.UPLOADING,
                    file_name=upload.file_name,
                    size_bytes=upload.size_bytes,
                    sha256=upload.sha256,
                    content_type="",
                    create_ms=upload.create_ms,
                    update_ms=upload.create_ms,
                    sequence=0,
                    source_key=upload.object_key,
                )
                session.add(video)
                await changed(session, [video], now_ms)
            return upload

        return await self._write(work)

    async def get_upload(self, tenant_id: str, upload_id: str) -> Upload:
        """Return an upload. NotFound."""

        async def work(session: AsyncSession) -> Upload:
            return upload_of(await _upload(session, tenant_id, upload_id))

        return await self._read(work)

    async def begin_completion(self, tenant_id: str, upload_id: str) -> Upload:
        """OPEN -> COMPLETING (video too); COMPLETING and COMPLETED as they are; else PreconditionFailed."""

        async def work(session: AsyncSession) -> Upload:
            row = await _locked(session, tenant_id, upload_id)
            if row.state == UploadState.OPEN:
                await _move(session, [row], UploadState.COMPLETING, Command.COMPLETE, self._now_ms())
            elif row.state not in {UploadState.COMPLETING, UploadState.COMPLETED}:
                raise _closed(row)
            return upload_of(row)

        return await self._write(work)

    async def reopen_upload(self, tenant_id: str, upload_id: str) -> None:
        """COMPLETING -> OPEN, when the bytes are not there or not right."""

        async def work(session: AsyncSession) -> None:
            row = await _locked(session, tenant_id, upload_id)
            if row.state == UploadState.COMPLETING:
                await _move(session, [row], UploadState.OPEN, Command.UPLOAD, self._now_ms())

        await self._write(work)

    async def finish_completion(
        self,
        tenant_id: str,
        upload_id: str,
        *,
        etag: str,
        begins: NewRevision | None = None,
    ) -> Upload:
        """COMPLETING -> COMPLETED; a video ``begins`` its revision 1. A completed upload is returned as it is."""

        async def work(session: AsyncSession) -> Upload:
            row = await _locked(session, tenant_id, upload_id)
            if row.state == UploadState.COMPLETED:
                return upload_of(row)
            if row.state != UploadState.COMPLETING:
                raise _closed(row)
            now_ms = self._now_ms()
            row.state, row.etag, row.update_ms = UploadState.COMPLETED, etag, now_ms
            if begins is not None:
                video = await lock_video(session, tenant_id, row.video_id)
                video.source_etag = etag
                await begin(session, video, begins, now_ms)
                await changed(session, [video], now_ms)
            return upload_of(row)

        return await self._write(work)

    async def abort_upload(self, tenant_id: str, upload_id: str, call: Idempotency) -> Upload:
        """OPEN -> ABORTED (video too); ABORTED is returned; what is completed, or being so, is PreconditionFailed."""

        async def work(session: AsyncSession) -> Upload:
            now_ms = self._now_ms()
            made = await made_before(session, call, now_ms)
            row = await _locked(session, tenant_id, made or upload_id)
            if row.state == UploadState.OPEN:
                await _move(session, [row], UploadState.ABORTED, Command.ABORT, now_ms)
            elif row.state != UploadState.ABORTED:
                raise _closed(row)
            await remember(session, call, upload_id, now_ms)
            return upload_of(row)

        return await self._write(work)

    async def expire_uploads(self, now_ms: int, *, limit: int = 100) -> Sequence[Upload]:
        """OPEN past its time -> EXPIRED (video too). Return closed uploads whose bytes are to be swept, oldest first.

        These are the expired and aborted ones, and completed photos and query images that nobody used for a day, once
        no signed URL can bring bytes any more. They come again until ``mark_swept``.
        """

        async def work(session: AsyncSession) -> Sequence[Upload]:
            late = select(UploadRow).where(UploadRow.state == UploadState.OPEN, UploadRow.expire_ms < now_ms)
            rows = await session.scalars(late.order_by(UploadRow.upload_id).limit(limit).with_for_update())
            await _move(session, rows.all(), UploadState.EXPIRED, Command.EXPIRE, now_ms)
            unused = (
                (UploadRow.state == UploadState.COMPLETED)
                & (UploadRow.video_id == "")
                & (UploadRow.update_ms < now_ms - UNUSED_MS)
                & ~exists().where(PhotoRow.object_key == UploadRow.object_key)
            )
            await session.execute(
                update(UploadRow).where(unused).values(state=UploadState.EXPIRED),
                execution_options={"synchronize_session": False},
            )
            closed = select(UploadRow).where(
                UploadRow.state.in_((UploadState.EXPIRED, UploadState.ABORTED)),
                UploadRow.swept.is_(False),
                UploadRow.update_ms < now_ms - UPLOAD_URL_LIFE_S * 1000,
            )
            swept = await session.scalars(closed.order_by(UploadRow.expire_ms, UploadRow.upload_id).limit(limit))
            return [upload_of(row) for row in swept]

        return await self._write(work)

    async def mark_swept(self, upload_ids: Sequence[str]) -> None:
        """Note that the bytes of closed uploads are gone."""

        async def work(session: AsyncSession) -> None:
            query = update(UploadRow).where(UploadRow.upload_id.in_(upload_ids)).values(swept=True)
            await session.execute(query, execution_options={"synchronize_session": False})

        await self._write(work)

    async def reopen_stuck(self, before_ms: int) -> int:
        """COMPLETING since before ``before_ms`` -> OPEN: whoever completed them is gone; return how many.

        The client may complete again, which is safe; else they expire like any other.
        """

        async def work(session: AsyncSession) -> int:
            query = select(UploadRow).where(UploadRow.state == UploadState.COMPLETING, UploadRow.update_ms < before_ms)
            rows = (await session.scalars(query.order_by(UploadRow.upload_id).limit(100).with_for_update())).all()
            await _move(session, rows, UploadState.OPEN, Command.UPLOAD, self._now_ms())
            return len(rows)

        return await self._write(work)


async def _move(
    session: AsyncSession, uploads: Sequence[UploadRow], state: UploadState, told: Command, now_ms: int
) -> None:
    videos = []
    for row in uploads:
        row.state, row.update_ms = state, now_ms
        if row.video_id:
            videos.append(await lock_video(session, row.tenant_id, row.video_id))
            command(videos[-1], told)
    await changed(session, videos, now_ms)


async def _upload(session: AsyncSession, tenant_id: str, upload_id: str) -> UploadRow:
    row = await session.get(UploadRow, upload_id)
    if row is None or row.tenant_id != tenant_id:
        raise NotFound("upload", upload_id)
    return row


async def _locked(session: AsyncSession, tenant_id: str, upload_id: str) -> UploadRow:
    row = await session.get(UploadRow, upload_id, with_for_update=True)
    if row is None or row.tenant_id != tenant_id:
        raise NotFound("upload", upload_id)
    return row


async def _refuse_duplicate(session: AsyncSession, upload: Upload) -> None:
    findable = (VideoRow.state == VideoState.FAILED) & (VideoRow.searchable_revision > 0)  # by an earlier revision
    query = select(VideoRow.video_id).where(
        VideoRow.tenant_id == upload.tenant_id,
        VideoRow.sha256 == upload.sha256,
        or_(VideoRow.state.in_(_LIVE), findable),
    )
    video_id = await session.scalar(query.order_by(VideoRow.create_ms).limit(1))
    if video_id is not None:
        raise AlreadyExists("video", video_id, "the tenant has this content already")


def _closed(row: UploadRow) -> PreconditionFailed:
    message = f"the upload is {row.state}"
    return PreconditionFailed(message, reason="UPLOAD_CLOSED", metadata={"state": row.state})
