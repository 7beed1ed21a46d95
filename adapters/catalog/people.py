"""People: enrolment and erasure by the gateway, and what queries know of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, exists, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import emit, made_before, remember
from adapters.catalog.engine import Transactions
from adapters.catalog.models import PersonRow, PhotoRow, ScenePersonRow, UploadRow, VideoRow
from adapters.catalog.rows import person_of
from adapters.catalog.state import Command
from adapters.catalog.tenants import lock_tenant
from contracts.catalog import Idempotency, Person, UploadState
from contracts.errors import NotFound, PreconditionFailed
from contracts.ports import Record

_CLOSED = (UploadState.ABORTED, UploadState.EXPIRED)
_HIDDEN = (Command.DELETE, Command.FORGET)


class People(Transactions):
    """Reads and writes of people."""

    async def create_person(self, person: Person, call: Idempotency, records: Sequence[Record]) -> Person:
        """Insert a person and photos, raise the gallery version, outbox.

        PreconditionFailed (UPLOAD_CLOSED) when a photo was swept or has served an enrolment.
        """

        async def work(session: AsyncSession) -> Person:
            now_ms = self._now_ms()
            made = await made_before(session, call, now_ms)
            if made is not None:
                return await _person(session, person.tenant_id, made)
            await remember(session, call, person.person_id, now_ms)
            (await lock_tenant(session, person.tenant_id)).gallery_version += 1
            await _use_uploads(session, person, now_ms)
            session.add(
                PersonRow(
                    person_id=person.person_id,
                    tenant_id=person.tenant_id,
                    display_name=person.display_name,
                    aliases=list(person.aliases),
                    create_ms=person.create_ms,
                    model_version=person.model_version,
                    matched=False,
                )
            )
            session.add_all(
                [
                    PhotoRow(
                        person_id=person.person_id,
                        position=position,
                        tenant_id=person.tenant_id,
                        upload_id=photo.upload_id,
                        file_name=photo.file_name,
                        verdict=photo.verdict,
                        object_key=photo.object_key,
                        vector=photo.vector,
                    )
                    for position, photo in enumerate(person.photos)
                ]
            )
            await emit(session, records, now_ms)
            return await _person(session, person.tenant_id, person.person_id)

        return await self._write(work)

    async def get_person(self, tenant_id: str, person_id: str) -> Person:
        """Return a person with scene_count. NotFound."""

        async def work(session: AsyncSession) -> Person:
            return await _person(session, tenant_id, person_id)

        return await self._read(work)

    async def list_people(
        self, tenant_id: str, *, limit: int, after: tuple[str, str] | None = None
    ) -> Sequence[Person]:
        """Return people by (display_name, person_id), names in the order of code points."""

        async def work(session: AsyncSession) -> Sequence[Person]:
            query = select(PersonRow).where(PersonRow.tenant_id == tenant_id)
            if after is not None:
                query = query.where(tuple_(PersonRow.display_name, PersonRow.person_id) > after)
            query = query.order_by(PersonRow.display_name, PersonRow.person_id).limit(limit)
            return await read_people(session, list(await session.scalars(query)))

        return await self._read(work)

    async def delete_person(
        self, tenant_id: str, person_id: str, call: Idempotency, records: Sequence[Record]
    ) -> Sequence[str]:
        """Erase a person with photos, vectors and every match from what is shown; return the photos' object keys,
        those of refused photos too.

        The match rows, which hold ids only and are shown no more, go with ``forget_person``, which also re-emits the
        scene facts. The photos' uploads are closed, so that they are swept if the caller does not purge them.
        NotFound, but for a replay, which returns nothing to purge.
        """

        async def work(session: AsyncSession) -> Sequence[str]:
            now_ms = self._now_ms()
            if await made_before(session, call, now_ms) is not None:
                return ()
            tenant = await lock_tenant(session, tenant_id)
            row = await session.get(PersonRow, person_id, with_for_update=True)
            if row is None or row.tenant_id != tenant_id:
                raise NotFound("person", person_id)
            tenant.gallery_version += 1
            of_person = PhotoRow.person_id == person_id
            # A photo that was refused names no object: what was uploaded for it is known by its upload alone.
            its_upload = (UploadRow.upload_id == PhotoRow.upload_id) & (UploadRow.tenant_id == PhotoRow.tenant_id)
            sent = select(PhotoRow.upload_id, func.coalesce(UploadRow.object_key, PhotoRow.object_key))
            sent = sent.outerjoin(UploadRow, its_upload).where(of_person).order_by(PhotoRow.position)
            photos = (await session.execute(sent)).all()
            closed = update(UploadRow).where(UploadRow.upload_id.in_([upload_id for upload_id, _ in photos]))
            await session.execute(
                closed.values(state=UploadState.EXPIRED, swept=False),
                execution_options={"synchronize_session": False},
            )
            await session.execute(delete(PhotoRow).where(of_person))
            await session.delete(row)
            await remember(session, call, person_id, now_ms)
            await emit(session, records, now_ms)
            return [key for _, key in photos if key]

        return await self._write(work)

    async def people_names(self, tenant_id: str) -> Sequence[tuple[str, str]]:
        """Return (person_id, name) for every display name and alias, each display name before its aliases."""

        async def work(session: AsyncSession) -> Sequence[tuple[str, str]]:
            query = select(PersonRow.person_id, PersonRow.display_name, PersonRow.aliases)
            rows = await session.execute(query.where(PersonRow.tenant_id == tenant_id).order_by(PersonRow.person_id))
            return [(person_id, name) for person_id, first, aliases in rows for name in (first, *aliases)]

        return await self._read(work)

    async def people_scene_counts(self, tenant_id: str, person_ids: Sequence[str]) -> Mapping[str, int]:
        """Return person_id -> searchable scenes with that person; those without any are left out."""

        async def work(session: AsyncSession) -> Mapping[str, int]:
            own = select(PersonRow.person_id).where(PersonRow.tenant_id == tenant_id)
            return await _scene_counts(
                session, list(await session.scalars(own.where(PersonRow.person_id.in_(person_ids))))
            )

        return await self._read(work)


async def read_people(session: AsyncSession, rows: Sequence[PersonRow]) -> list[Person]:
    """Return people with photos and scene counts, in the order of ``rows``."""
    ids = [row.person_id for row in rows]
    photos: dict[str, list[PhotoRow]] = {}
    for photo in await session.scalars(select(PhotoRow).where(PhotoRow.person_id.in_(ids))):
        photos.setdefault(photo.person_id, []).append(photo)
    counts = await _scene_counts(session, ids)
    return [person_of(row, photos.get(row.person_id, ()), counts.get(row.person_id, 0)) for row in rows]


async def _person(session: AsyncSession, tenant_id: str, person_id: str) -> Person:
    row = await session.get(PersonRow, person_id)
    if row is None or row.tenant_id != tenant_id:
        raise NotFound("person", person_id)
    return (await read_people(session, [row]))[0]


async def _scene_counts(session: AsyncSession, person_ids: Sequence[str]) -> Mapping[str, int]:
    searchable = (VideoRow.video_id == ScenePersonRow.video_id) & (
        VideoRow.searchable_revision == ScenePersonRow.revision
    )
    query = (
        select(ScenePersonRow.person_id, func.count())
        .join(VideoRow, searchable)
        .where(ScenePersonRow.person_id.in_(person_ids), VideoRow.command.not_in(_HIDDEN))
        .group_by(ScenePersonRow.person_id)
    )
    return dict((await session.execute(query)).all())


async def _use_uploads(session: AsyncSession, person: Person, now_ms: int) -> None:
    ids = [photo.upload_id for photo in person.photos]
    mine = (UploadRow.upload_id.in_(ids)) & (UploadRow.tenant_id == person.tenant_id)
    served = exists().where(PhotoRow.upload_id == UploadRow.upload_id)
    unusable = select(UploadRow.upload_id).where(mine, UploadRow.state.in_(_CLOSED) | served)
    closed = await session.scalar(unusable.order_by(UploadRow.upload_id).limit(1))
    if closed is not None:
        raise PreconditionFailed(
            "the upload is closed, or has served an enrolment: upload the photo again",
            reason="UPLOAD_CLOSED",
            metadata={"upload_id": closed},
        )
    query = update(UploadRow).where(mine).values(state=UploadState.COMPLETED, update_ms=now_ms)
    await session.execute(query, execution_options={"synchronize_session": False})
