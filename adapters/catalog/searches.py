"""Searches: what the gateway tells analysts of searches, and the texts of queries where a tenant keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import emit, made_before, remember
from adapters.catalog.engine import Transactions
from adapters.catalog.models import QueryRow, SceneTableRow, TenantRow
from adapters.catalog.scenes import shown
from contracts.catalog import Idempotency, Query
from contracts.errors import NotFound
from contracts.ports import Record


class Searches(Transactions):
    """Writes of what was searched for."""

    async def record_searches(self, records: Sequence[Record], queries: Sequence[Query]) -> None:
        """Outbox ``records``, and keep those ``queries`` whose tenants keep them; one that is kept changes nothing."""

        async def work(session: AsyncSession) -> None:
            kept = await _kept(session, {query.tenant_id for query in queries})
            texts = {query.query_id: query for query in queries if query.tenant_id in kept}
            known = set(await session.scalars(select(QueryRow.query_id).where(QueryRow.query_id.in_(texts))))
            new = [asdict(query) for query_id, query in texts.items() if query_id not in known]
            if new:
                await session.execute(insert(QueryRow), new)
            await emit(session, records, self._now_ms())

        await self._write(work)

    async def record_feedback(
        self, tenant_id: str, scene_id: str, call: Idempotency, records: Sequence[Record]
    ) -> None:
        """Outbox ``records``; a replay changes nothing. NotFound when the scene may not be shown; none is looked for
        when ``scene_id`` is empty.
        """

        async def work(session: AsyncSession) -> None:
            now_ms = self._now_ms()
            if await made_before(session, call, now_ms) is not None:
                return
            if scene_id:
                query = shown(tenant_id).with_only_columns(SceneTableRow.scene_id)
                if await session.scalar(query.where(SceneTableRow.scene_id == scene_id)) is None:
                    raise NotFound("scene", scene_id)
            await remember(session, call, scene_id, now_ms)
            await emit(session, records, now_ms)

        await self._write(work)


async def _kept(session: AsyncSession, tenant_ids: set[str]) -> set[str]:
    """Return who keeps queries, locked to the end of the transaction: who ends it waits, then forgets these too."""
    query = select(TenantRow.tenant_id).where(TenantRow.tenant_id.in_(tenant_ids), TenantRow.queries_kept)
    return set(await session.scalars(query.order_by(TenantRow.tenant_id).with_for_update(read=True)))
