"""Commit: the scene rows of a revision become what searches answer from."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import changed, emit
from adapters.catalog.engine import Transactions
from adapters.catalog.models import GenerationRow, MatchingRow, SceneIdRow, ScenePersonRow, SceneTableRow, VideoRow
from adapters.catalog.rows import scene_row
from adapters.catalog.scenes import read_scenes, shown
from adapters.catalog.state import Command
from contracts.catalog import WRITTEN, SceneRow
from contracts.errors import DependencyUnavailable
from contracts.facts import scene_fact
from contracts.ids import row_id
from contracts.ports import Record

_GOING = frozenset({Command.DELETE, Command.FORGET})


class Commit(Transactions):
    """Writes of the stage ``commit``."""

    async def commit_revision(
        self,
        tenant_id: str,
        video_id: str,
        revision: int,
        *,
        scenes: Sequence[SceneRow],
        language: str,
        now_ms: int,
        records: Sequence[Record],
        generations: Collection[int] = (),
    ) -> tuple[str, ...] | None:
        """Write the scene rows, flip ``searchable_revision``, outbox ``records``; return row ids that are stale now.

        Scenes whose people are known already get their complete facts after ``records``. None when the video is being
        deleted or is gone. A searchable revision changes nothing and returns (); one older than it neither, and
        returns its own row ids. DependencyUnavailable (transient) when a generation of the same models has come beside
        those ``generations`` that have the rows.
        """

        async def work(session: AsyncSession) -> tuple[str, ...] | None:
            video = await session.get(VideoRow, video_id, with_for_update=True)
            if video is None or video.tenant_id != tenant_id or video.command in _GOING:
                return None
            if revision == video.searchable_revision:
                return ()
            if revision < video.searchable_revision:
                return tuple(row_id(scene.scene_id, revision) for scene in scenes)
            await _refuse_others(session, generations)
            stale = await _replace(session, video_id, revision, scenes)
            video.searchable_revision, video.scene_count = revision, len(scenes)
            video.language, video.index_ms = language, now_ms
            await session.flush()
            await emit(session, records, now_ms)
            await _tell_people(session, video, now_ms)
            await changed(session, [video], now_ms)
            return stale

        return await self._write(work)

    async def video_scene_ids(self, tenant_id: str, video_id: str) -> Sequence[str]:
        """Return every scene id ever recorded for a video."""

        async def work(session: AsyncSession) -> Sequence[str]:
            query = select(SceneIdRow.scene_id).join(VideoRow, VideoRow.video_id == SceneIdRow.video_id)
            mine = query.where(SceneIdRow.video_id == video_id, VideoRow.tenant_id == tenant_id)
            return list(await session.scalars(mine.order_by(SceneIdRow.scene_id)))

        return await self._read(work)


async def _refuse_others(session: AsyncSession, generations: Collection[int]) -> None:
    """Raise DependencyUnavailable when a generation that commits write to is not among those that share its models.

    Every row is locked, whatever its state: else one might begin to be built beside this transaction.
    """
    columns = (GenerationRow.generation, GenerationRow.state, GenerationRow.text_model, GenerationRow.vision_model)
    there = (await session.execute(select(*columns).with_for_update(read=True))).all()
    models = {(row.text_model, row.vision_model) for row in there if row.generation in generations}
    for row in there:
        if row.state in WRITTEN and row.generation not in generations and (row.text_model, row.vision_model) in models:
            raise DependencyUnavailable("catalog", f"generation {row.generation} has come meanwhile")


async def _replace(session: AsyncSession, video_id: str, revision: int, scenes: Sequence[SceneRow]) -> tuple[str, ...]:
    older = (SceneTableRow.video_id == video_id) & (SceneTableRow.revision < revision)
    places = select(SceneTableRow.scene_id, SceneTableRow.revision).where(older)
    stale = tuple(row_id(scene_id, of) for scene_id, of in await session.execute(places))
    await session.execute(delete(SceneTableRow).where(older))
    for table in (ScenePersonRow, MatchingRow):
        await session.execute(delete(table).where(table.video_id == video_id, table.revision < revision))
    known = set(await session.scalars(select(SceneIdRow.scene_id).where(SceneIdRow.video_id == video_id)))
    new = [scene.scene_id for scene in scenes if scene.scene_id not in known]
    session.add_all([SceneIdRow(video_id=video_id, scene_id=scene_id) for scene_id in new])
    session.add_all([scene_row(scene) for scene in scenes])
    return stale


async def _tell_people(session: AsyncSession, video: VideoRow, now_ms: int) -> None:
    """Emit the facts of scenes with people: matching may have been quicker than the commit, which knows of none."""
    matching = await session.get(MatchingRow, (video.video_id, video.searchable_revision))
    if matching is None:
        return
    query = shown(video.tenant_id).where(SceneTableRow.video_id == video.video_id).order_by(SceneTableRow.position)
    scenes = await read_scenes(session, query)
    version = matching.gallery_version
    facts = [scene_fact(scene, now_ms=now_ms, gallery_version=version) for scene in scenes if scene.people]
    await emit(session, facts, now_ms)
