"""Matches: who was found in which scene; written by control ``people``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import exists, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import emit, load_videos, lock_videos
from adapters.catalog.engine import Transactions
from adapters.catalog.models import (
    MatchingRow,
    PersonRow,
    ScenePersonRow,
    SceneTableRow,
    StageRunRow,
    TenantRow,
    VideoRow,
)
from adapters.catalog.people import read_people
from adapters.catalog.scenes import read_scenes, shown
from adapters.catalog.state import ENDED, Command
from contracts.catalog import Match, Person, Video
from contracts.facts import scene_fact

_PAGE = 50
_SAME = 1e-6
_GOING = frozenset({Command.DELETE, Command.FORGET})


class Matches(Transactions):
    """Reads and writes of control ``people``."""

    async def gallery(self, tenant_id: str) -> tuple[int, Sequence[Person]]:
        """Return (gallery_version, people), of one moment; each with the vectors of accepted photos."""

        async def work(session: AsyncSession) -> tuple[int, Sequence[Person]]:
            tenant = await session.get(TenantRow, tenant_id)
            query = select(PersonRow).where(PersonRow.tenant_id == tenant_id).order_by(PersonRow.person_id)
            people = await read_people(session, list(await session.scalars(query)))
            enrolled = [
                replace(person, photos=tuple(photo for photo in person.photos if photo.vector)) for person in people
            ]
            return (tenant.gallery_version if tenant else 0), [person for person in enrolled if person.photos]

        return await self._read(work)

    async def videos_with_faces(self, tenant_id: str) -> AsyncIterator[tuple[Video, str]]:
        """Yield (video, manifest key of its ``faces`` run) for every revision that is current or searchable and whose
        faces ended OK, as the tracker or the matcher knows; ``video.revision`` is that revision. Pages; no cursor is
        open across a ``yield``.
        """
        after = ("", 0)
        while True:
            page = await self._faces_page(tenant_id, after)
            for video, manifest_key in page:
                yield video, manifest_key
            if len(page) < _PAGE:
                return
            after = (page[-1][0].video_id, page[-1][0].revision)

    async def _faces_page(self, tenant_id: str, after: tuple[str, int]) -> list[tuple[Video, str]]:
        async def work(session: AsyncSession) -> list[tuple[Video, str]]:
            in_use = (StageRunRow.revision == VideoRow.revision) | (
                StageRunRow.revision == VideoRow.searchable_revision
            )
            place = tuple_(StageRunRow.video_id, StageRunRow.revision)
            told = (StageRunRow.state == ENDED) & (StageRunRow.outcome == "OK")
            matched = exists().where(  # the tracker may be slower than the matcher
                MatchingRow.video_id == StageRunRow.video_id, MatchingRow.revision == StageRunRow.revision
            )
            query = (
                select(VideoRow, StageRunRow.revision, StageRunRow.manifest_key)
                .join(StageRunRow, (StageRunRow.video_id == VideoRow.video_id) & in_use)
                .where(
                    VideoRow.tenant_id == tenant_id,
                    VideoRow.command.not_in(_GOING),
                    StageRunRow.stage == "faces",
                    told | matched,
                    place > after,
                )
                .order_by(StageRunRow.video_id, StageRunRow.revision)
                .limit(_PAGE)
            )
            rows = list(await session.execute(query))
            videos = await load_videos(session, [row for row, _, _ in rows])
            return [
                (replace(video, revision=revision), manifest_key)
                for video, (_, revision, manifest_key) in zip(videos, rows, strict=True)
            ]

        return await self._read(work)

    async def write_matches(
        self,
        tenant_id: str,
        video_id: str,
        revision: int,
        *,
        gallery_version: int,
        matches: Sequence[Match],
        now_ms: int,
    ) -> Sequence[str]:
        """Replace the matches of a revision unless a newer gallery wrote them; re-emit (outbox) the facts of searchable
        scenes that changed; return the ids of all scenes that changed.

        Matches of people who are no longer enrolled are left out; a video that is going, or a revision older than the
        searchable one, changes nothing.
        """

        async def work(session: AsyncSession) -> Sequence[str]:
            video = await session.get(VideoRow, video_id, with_for_update=True)
            if video is None or video.tenant_id != tenant_id or video.command in _GOING:
                return ()
            if revision < video.searchable_revision:
                return ()
            matching = await session.get(MatchingRow, (video_id, revision))
            if matching is not None and matching.gallery_version > gallery_version:
                return ()
            if matching is None:
                matching = MatchingRow(video_id=video_id, revision=revision)
                session.add(matching)
            matching.gallery_version = gallery_version
            enrolled = await _enrolled(session, tenant_id, {match.person_id for match in matches})
            wanted = {(m.scene_id, m.person_id): m.confidence for m in matches if m.person_id in enrolled}
            altered = await _replace(session, video, revision, wanted)
            if revision == video.searchable_revision:
                await _tell(session, tenant_id, altered, gallery_version, now_ms)
            return sorted(altered)

        return await self._write(work)

    async def forget_person(self, tenant_id: str, person_id: str, now_ms: int, *, limit: int = 200) -> Sequence[str]:
        """Remove up to ``limit`` match rows of a person who was erased and re-emit the facts of those scenes.

        Returns:
            Ids of the videos touched; call again until it is empty. A person who is enrolled loses nothing.
        """

        async def work(session: AsyncSession) -> Sequence[str]:
            if await session.get(PersonRow, person_id) is not None:
                return ()
            mine = (ScenePersonRow.tenant_id == tenant_id) & (ScenePersonRow.person_id == person_id)
            query = select(ScenePersonRow).where(mine).order_by(ScenePersonRow.scene_id).limit(limit)
            rows = list(await session.scalars(query))
            await lock_videos(session, (row.video_id for row in rows))
            version = await session.scalar(select(TenantRow.gallery_version).where(TenantRow.tenant_id == tenant_id))
            for row in rows:
                await session.delete(row)
            await session.flush()
            await _tell(session, tenant_id, {row.scene_id for row in rows}, version or 0, now_ms)
            return sorted({row.video_id for row in rows})

        return await self._write(work)

    async def mark_matched(self, tenant_id: str, person_id: str) -> None:
        """Record that every video present at enrolment has been looked through."""

        async def work(session: AsyncSession) -> None:
            query = update(PersonRow).where(PersonRow.person_id == person_id, PersonRow.tenant_id == tenant_id)
            await session.execute(query.values(matched=True), execution_options={"synchronize_session": False})

        await self._write(work)


async def _enrolled(session: AsyncSession, tenant_id: str, person_ids: set[str]) -> set[str]:
    """Return who of these is enrolled, held so to the end of the transaction."""
    query = select(PersonRow.person_id).where(PersonRow.person_id.in_(person_ids), PersonRow.tenant_id == tenant_id)
    return set(await session.scalars(query.with_for_update(read=True, key_share=True)))


async def _replace(
    session: AsyncSession, video: VideoRow, revision: int, wanted: Mapping[tuple[str, str], float]
) -> set[str]:
    """Make a revision's match rows what is ``wanted``: (scene_id, person_id) -> confidence; return scenes changed."""
    mine = (ScenePersonRow.video_id == video.video_id) & (ScenePersonRow.revision == revision)
    rows = {(row.scene_id, row.person_id): row for row in await session.scalars(select(ScenePersonRow).where(mine))}
    altered: set[str] = set()
    for key in rows.keys() - wanted.keys():
        await session.delete(rows[key])
        altered.add(key[0])
    for (scene_id, person_id), confidence in wanted.items():
        row = rows.get((scene_id, person_id))
        if row is None:
            session.add(
                ScenePersonRow(
                    scene_id=scene_id,
                    revision=revision,
                    person_id=person_id,
                    tenant_id=video.tenant_id,
                    video_id=video.video_id,
                    confidence=confidence,
                )
            )
        elif abs(row.confidence - confidence) > _SAME:
            row.confidence = confidence
        else:
            continue
        altered.add(scene_id)
    await session.flush()
    return altered


async def _tell(session: AsyncSession, tenant_id: str, scene_ids: set[str], version: int, now_ms: int) -> None:
    if not scene_ids:
        return
    query = shown(tenant_id).where(SceneTableRow.scene_id.in_(scene_ids)).order_by(SceneTableRow.scene_id)
    scenes = await read_scenes(session, query)
    await emit(session, [scene_fact(s, now_ms=now_ms, gallery_version=version) for s in scenes], now_ms)
