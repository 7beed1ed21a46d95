"""Scenes: reads of what may be shown: right tenant, searchable revision, video not being deleted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Integer, Select, String, bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import aliased

from adapters.batcher import Batcher
from adapters.catalog.engine import Transactions, unix_ms
from adapters.catalog.models import PersonRow, ScenePersonRow, SceneTableRow, VideoRow
from adapters.catalog.rows import SCENE_COLUMNS, scene_of
from adapters.catalog.state import Command
from contracts.catalog import Appearance, Footage, ScenePerson, SceneRow
from contracts.errors import NotFound
from contracts.ids import row_id, split_row_id
from contracts.ports import EVERYWHERE, Scope

_HIDDEN = (Command.DELETE, Command.FORGET)


_MAX_BATCH = 64  # searches that share a read
_MAX_WAITING = 1000


@dataclass(frozen=True, slots=True)
class _Wanted:
    tenant_id: str
    row_ids: tuple[str, ...]


class Scenes(Transactions):
    """Reads of scenes."""

    def __init__(self, url: str, *, clock: Callable[[], int] = unix_ms) -> None:
        """Configure as ``Transactions``."""
        super().__init__(url, clock=clock)
        self._hydrations: Batcher[_Wanted, Mapping[str, SceneRow]] = Batcher(
            self._hydrate, max_batch=_MAX_BATCH, max_waiting=_MAX_WAITING, kind=lambda wanted: wanted.tenant_id
        )

    async def close(self) -> None:
        """Let running transactions end, then close every connection."""
        await self._hydrations.close()
        await super().close()

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

    async def neighbours(self, tenant_id: str, scene_id: str, *, before: int, after: int) -> Sequence[SceneRow]:
        """Return up to so many scenes before and after one, of its own revision, in order, itself left out. NotFound.

        One statement, so that a commit in between cannot mix two revisions.
        """
        asked = {"tenant_id": tenant_id, "scene_id": scene_id, "before": before, "after": after}

        async def work(session: AsyncSession) -> Sequence[SceneRow]:
            return await read_scenes(session, _AROUND, asked)

        found = await self._read(work)
        if not found:
            raise NotFound("scene", scene_id)
        return [scene for scene in found if scene.scene_id != scene_id]

    async def footage(self, tenant_id: str, scene_ids: Sequence[str]) -> Mapping[str, Footage]:
        """Return what shows scenes, by scene id; those that may not be shown are left out."""

        async def work(session: AsyncSession) -> Mapping[str, Footage]:
            asked = {"tenant_id": tenant_id, "scene_ids": list(scene_ids)}
            return {row.scene_id: Footage(**row) for row in (await session.execute(_FOOTAGE, asked)).mappings()}

        return await self._read(work)

    async def hydrate(self, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, SceneRow]:
        """Return the scenes that may be shown now, by row id; the others are left out.

        Searches of a tenant that ask at once share one read. Raises LimitExceeded (transient) when 1,000 wait.
        """
        if not row_ids:
            return {}
        return await self._hydrations.ask(_Wanted(tenant_id, tuple(row_ids)))

    async def _hydrate(self, wanted: Sequence[_Wanted]) -> Sequence[Mapping[str, SceneRow]]:
        # By scene id alone, which is the key: a video's searchable revision has each scene once.
        ids = list({split_row_id(row)[0] for one in wanted for row in one.row_ids})

        async def work(session: AsyncSession) -> Sequence[SceneRow]:
            return await read_scenes(session, _OF_IDS, {"tenant_id": wanted[0].tenant_id, "scene_ids": ids})

        found = {row_id(scene.scene_id, scene.revision): scene for scene in await self._read(work)}
        return [{row: found[row] for row in one.row_ids if row in found} for one in wanted]

    async def scenes_of_people(
        self, tenant_id: str, person_ids: Sequence[str], *, limit: int = 1000, scope: Scope = EVERYWHERE
    ) -> Mapping[str, Appearance]:
        """Return who of these is in which searchable scene within ``scope``, by row_id, surest first; at most ``limit``
        scenes.
        """

        async def work(session: AsyncSession) -> Mapping[str, Appearance]:
            surest = (
                select(ScenePersonRow.scene_id, ScenePersonRow.revision)
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
                    *_inside(scope),
                )
                .group_by(ScenePersonRow.scene_id, ScenePersonRow.revision)
                .order_by(func.max(ScenePersonRow.confidence).desc(), ScenePersonRow.scene_id)
                .limit(limit)
                .subquery()
            )
            query = (
                select(
                    ScenePersonRow.scene_id,
                    ScenePersonRow.revision,
                    ScenePersonRow.video_id,
                    ScenePersonRow.person_id,
                    ScenePersonRow.confidence,
                )
                .join(
                    surest,
                    (surest.c.scene_id == ScenePersonRow.scene_id) & (surest.c.revision == ScenePersonRow.revision),
                )
                .join(PersonRow, PersonRow.person_id == ScenePersonRow.person_id)
                .where(PersonRow.tenant_id == tenant_id, ScenePersonRow.person_id.in_(person_ids))
                .order_by(ScenePersonRow.confidence.desc(), ScenePersonRow.scene_id)
            )
            found: dict[str, tuple[str, dict[str, float]]] = {}
            for scene_id, revision, video_id, person_id, confidence in await session.execute(query):
                found.setdefault(row_id(scene_id, revision), (video_id, {}))[1][person_id] = confidence
            return {row: Appearance(*there) for row, there in found.items()}

        return await self._read(work)

    async def rows_with_people(
        self, tenant_id: str, person_ids: Sequence[str], row_ids: Sequence[str]
    ) -> frozenset[str]:
        """Return which of these rows have any of these people."""
        scenes = sorted({split_row_id(row)[0] for row in row_ids})

        async def work(session: AsyncSession) -> frozenset[str]:
            query = (
                select(ScenePersonRow.scene_id, ScenePersonRow.revision)
                .join(PersonRow, PersonRow.person_id == ScenePersonRow.person_id)
                .where(
                    ScenePersonRow.tenant_id == tenant_id,
                    PersonRow.tenant_id == tenant_id,
                    ScenePersonRow.person_id.in_(person_ids),
                    ScenePersonRow.scene_id.in_(scenes),
                )
            )
            return frozenset(row_id(*found) for found in await session.execute(query))

        return (await self._read(work)).intersection(row_ids)


def _inside(scope: Scope) -> list[ColumnElement[bool]]:
    """Return what makes a person's scene one within the scope."""
    of_video = [ScenePersonRow.video_id.in_(scope.video_ids)] if scope.video_ids else []
    begins: list[ColumnElement[bool]] = []
    if scope.start_from_ms is not None:
        begins.append(SceneTableRow.start_ms >= scope.start_from_ms)
    if scope.start_to_ms is not None:
        begins.append(SceneTableRow.start_ms < scope.start_to_ms)
    if not begins:
        return [*of_video]
    same = (SceneTableRow.scene_id == ScenePersonRow.scene_id) & (SceneTableRow.revision == ScenePersonRow.revision)
    return [*of_video, exists().where(same, *begins)]


def shown(tenant_id: str | BindParameter[str]) -> Select[Any]:
    """Return the query for every scene of a tenant that may be shown now."""
    searchable = (VideoRow.video_id == SceneTableRow.video_id) & (
        VideoRow.searchable_revision == SceneTableRow.revision
    )
    # Of the video as an expression: by its index SQLite would read all videos and scenes of the tenant to find thirty.
    same_tenant = VideoRow.tenant_id.concat("") == tenant_id
    return (
        select(*SCENE_COLUMNS)  # no entities, which cost more than the reading
        .join(VideoRow, searchable)
        .where(SceneTableRow.tenant_id == tenant_id, same_tenant, VideoRow.command.not_in(_HIDDEN))
    )


# Made once: search reads them, and putting a statement together costs more than running it.
_OF_IDS = shown(bindparam("tenant_id", type_=String)).where(
    SceneTableRow.scene_id.in_(bindparam("scene_ids", expanding=True))
)
_MIDDLE = aliased(SceneTableRow)
_AROUND = (
    shown(bindparam("tenant_id", type_=String))
    .join(_MIDDLE, (_MIDDLE.video_id == SceneTableRow.video_id) & (_MIDDLE.revision == SceneTableRow.revision))
    .where(
        _MIDDLE.scene_id == bindparam("scene_id", type_=String),
        SceneTableRow.position >= _MIDDLE.position - bindparam("before", type_=Integer),
        SceneTableRow.position <= _MIDDLE.position + bindparam("after", type_=Integer),
    )
    .order_by(SceneTableRow.position)
)
_FOOTAGE = (
    shown(bindparam("tenant_id", type_=String))
    .with_only_columns(
        SceneTableRow.scene_id,
        SceneTableRow.start_ms,
        SceneTableRow.end_ms,
        SceneTableRow.body,
        VideoRow.source_key,
        VideoRow.content_type,
        VideoRow.browser_playable,
        VideoRow.duration_ms.label("video_ms"),
    )
    .where(SceneTableRow.scene_id.in_(bindparam("scene_ids", expanding=True)))
)
_PEOPLE_IN = (
    select(
        ScenePersonRow.scene_id,
        ScenePersonRow.revision,
        ScenePersonRow.person_id,
        PersonRow.display_name,
        ScenePersonRow.confidence,
    )
    .join(PersonRow, PersonRow.person_id == ScenePersonRow.person_id)
    .where(ScenePersonRow.scene_id.in_(bindparam("scene_ids", expanding=True)))
)


async def read_scenes(
    session: AsyncSession, query: Select[Any], parameters: Mapping[str, Any] = MappingProxyType({})
) -> list[SceneRow]:
    """Return the scenes of a query with their people, in its order."""
    await session.flush()  # a statement without entities does not do it by itself
    connection = await session.connection()
    rows = (await connection.execute(query, parameters)).all()
    people = await people_in(connection, [row.scene_id for row in rows])
    return [scene_of(row, people) for row in rows]


async def people_in(
    connection: AsyncConnection, scene_ids: Collection[str]
) -> Mapping[tuple[str, int], Sequence[ScenePerson]]:
    """Return who is in scenes, by (scene_id, revision)."""
    found: dict[tuple[str, int], list[ScenePerson]] = {}
    if scene_ids:
        rows = await connection.execute(_PEOPLE_IN, {"scene_ids": list(scene_ids)})
        for row in rows:
            person = ScenePerson(row.person_id, row.display_name, row.confidence)
            found.setdefault((row.scene_id, row.revision), []).append(person)
    return found
