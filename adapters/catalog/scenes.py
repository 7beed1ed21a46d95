"""Scenes: reads of what may be shown: right tenant, searchable revision, video not being deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.engine import Transactions
from adapters.catalog.models import PersonRow, ScenePersonRow, SceneTableRow, VideoRow
from adapters.catalog.rows import scene_of
from adapters.catalog.state import Command
from contracts.catalog import ScenePerson, SceneRow
from contracts.errors import NotFound
from contracts.ids import row_id, split_row_id

_HIDDEN = (Command.DELETE, Command.FORGET)


class Scenes(Transactions):
    """Reads of scenes."""

    async def get_scene(self, tenant_id: str, scene_id: str) -> SceneRow:
        """Return a scene of the searchable revision of a video that is not being deleted. NotFound."""

        async def work(session: AsyncSession) -> SceneRow:
            found = await read_scenes(session, shown(tenant_id).where(SceneTableRow.scene_id == scene_id))
            if not found:
                raise NotFound("scene", scene_id)
            return found[0]

        return await self._read(work)

    async def list_scenes(
        self, tenant_id: str, video_id: str, *, limit: int, after_index: int = -1
    ) -> Sequence[SceneRow]:
        """Return scenes of the searchable revision in order; empty when there is none."""

        async def work(session: AsyncSession) -> Sequence[SceneRow]:
            query = shown(tenant_id).where(SceneTableRow.video_id == video_id, SceneTableRow.position > after_index)
            return await read_scenes(session, query.order_by(SceneTableRow.position).limit(limit))

        return await self._read(work)

    async def hydrate(self, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, SceneRow]:
        """Return the scenes that may be shown now, by row id; the others are left out."""
        wanted = [split_row_id(row) for row in row_ids]

        async def work(session: AsyncSession) -> Mapping[str, SceneRow]:
            if not wanted:
                return {}
            # By scene id alone, which is the key: a video's searchable revision has each scene once.
            query = shown(tenant_id).where(SceneTableRow.scene_id.in_({scene for scene, _ in wanted}))
            found = {row_id(s.scene_id, s.revision): s for s in await read_scenes(session, query)}
            return {row: found[row] for row in row_ids if row in found}

        return await self._read(work)

    async def scenes_of_people(
        self, tenant_id: str, person_ids: Sequence[str], *, limit: int = 1000
    ) -> Mapping[str, Mapping[str, float]]:
        """Return row_id -> {person_id: confidence} over searchable scenes, best first; at most ``limit`` scenes."""

        async def work(session: AsyncSession) -> Mapping[str, Mapping[str, float]]:
            query = (
                select(
                    ScenePersonRow.scene_id,
                    ScenePersonRow.revision,
                    ScenePersonRow.person_id,
                    ScenePersonRow.confidence,
                )
                .join(PersonRow, PersonRow.person_id == ScenePersonRow.person_id)
                .join(
                    VideoRow,
                    (VideoRow.video_id == ScenePersonRow.video_id)
                    & (VideoRow.searchable_revision == ScenePersonRow.revision),
                )
                .where(
                    ScenePersonRow.tenant_id == tenant_id,
                    PersonRow.tenant_id == tenant_id,
                    ScenePersonRow.person_id.in_(person_ids),
                    VideoRow.command.not_in(_HIDDEN),
                )
                .order_by(ScenePersonRow.confidence.desc(), ScenePersonRow.scene_id)
            )
            found: dict[str, dict[str, float]] = {}
            for scene_id, revision, person_id, confidence in await session.execute(query):
                row = row_id(scene_id, revision)
                if row in found or len(found) < limit:
                    found.setdefault(row, {})[person_id] = confidence
            return found

        return await self._read(work)


def shown(tenant_id: str) -> Select[SceneTableRow]:
    """Return the query for every scene of a tenant that may be shown now."""
    searchable = (VideoRow.video_id == SceneTableRow.video_id) & (
        VideoRow.searchable_revision == SceneTableRow.revision
    )
    # Of the video as an expression: by its index SQLite would read all videos and scenes of the tenant to find thirty.
    same_tenant = VideoRow.tenant_id.concat("") == tenant_id
    return (
        select(SceneTableRow)
        .join(VideoRow, searchable)
        .where(SceneTableRow.tenant_id == tenant_id, same_tenant, VideoRow.command.not_in(_HIDDEN))
    )


async def read_scenes(session: AsyncSession, query: Select[SceneTableRow]) -> list[SceneRow]:
    """Return the scenes of a query with their people, in its order."""
    rows = list(await session.scalars(query))
    people = await people_in(session, [(row.scene_id, row.revision) for row in rows])
    return [scene_of(row, people.get((row.scene_id, row.revision), ())) for row in rows]


async def people_in(
    session: AsyncSession, scenes: Iterable[tuple[str, int]]
) -> Mapping[tuple[str, int], Sequence[ScenePerson]]:
    """Return who is in each of the scenes, given as (scene_id, revision)."""
    wanted = list(scenes)
    if not wanted:
        return {}
    query = (
        select(ScenePersonRow, PersonRow.display_name)
        .join(PersonRow, PersonRow.person_id == ScenePersonRow.person_id)
        .where(tuple_(ScenePersonRow.scene_id, ScenePersonRow.revision).in_(wanted))
    )
    found: dict[tuple[str, int], list[ScenePerson]] = {}
    for row, name in await session.execute(query):
        found.setdefault((row.scene_id, row.revision), []).append(ScenePerson(row.person_id, name, row.confidence))
    return found
