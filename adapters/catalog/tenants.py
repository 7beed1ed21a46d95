"""Tenants: what is switched on for whom; and replays of mutating calls."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import made_before
from adapters.catalog.engine import Transactions
from adapters.catalog.models import QueryRow, TenantRow
from contracts.catalog import Idempotency, Tenant


class Tenants(Transactions):
    """Reads and writes of tenants."""

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return the tenant, with defaults when unknown."""

        async def work(session: AsyncSession) -> Tenant:
            row = await session.get(TenantRow, tenant_id)
            return Tenant(tenant_id) if row is None else _tenant_of(row)

        return await self._read(work)

    async def set_faces(self, tenant_id: str, enabled: bool) -> Tenant:  # noqa: FBT001  # a verb's one flag
        """Operator verb: switch faces on or off; what has been matched stays until it is erased."""

        async def work(session: AsyncSession) -> Tenant:
            row = await lock_tenant(session, tenant_id)
            row.faces_enabled = enabled
            return _tenant_of(row)

        return await self._write(work)

    async def keep_queries(self, tenant_id: str, kept: bool) -> Tenant:  # noqa: FBT001  # a verb's one flag
        """Operator verb: begin to keep the texts of queries, or end it and forget those that were kept."""

        async def work(session: AsyncSession) -> Tenant:
            row = await lock_tenant(session, tenant_id)
            row.queries_kept = kept
            if not kept:
                forget = delete(QueryRow).where(QueryRow.tenant_id == tenant_id)
                await session.execute(forget, execution_options={"synchronize_session": False})
            return _tenant_of(row)

        return await self._write(work)

    async def replay(self, call: Idempotency) -> str | None:
        """Return the resource id that this call made within 24 h; AlreadyExists(REQUEST_ID_REUSED) for another body."""

        async def work(session: AsyncSession) -> str | None:
            return await made_before(session, call, self._now_ms())

        return await self._read(work)


async def lock_tenant(session: AsyncSession, tenant_id: str) -> TenantRow:
    """Return the tenant's row, made when it is new, locked to the end of the transaction."""
    row = await session.get(TenantRow, tenant_id, with_for_update=True)
    if row is None:
        row = TenantRow(tenant_id=tenant_id, faces_enabled=False, gallery_version=0, queries_kept=False)
        session.add(row)
        await session.flush()
    return row


def _tenant_of(row: TenantRow) -> Tenant:
    return Tenant(row.tenant_id, row.faces_enabled, row.gallery_version, row.queries_kept)
