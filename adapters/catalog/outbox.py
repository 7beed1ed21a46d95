"""Outbox: records to send, for control ``relay``; and the named leases that keep it the only one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import emit
from adapters.catalog.engine import Transactions
from adapters.catalog.models import LeaseRow, OutboxTableRow
from adapters.catalog.rows import record_of
from contracts.catalog import OutboxRow
from contracts.ports import Record


class Outbox(Transactions):
    """Reads and writes of control ``relay``."""

    async def acquire_lease(self, name: str, holder: str, now_ms: int, ttl_ms: int) -> bool:
        """Take or renew a named lease row; False when another holds it. ``ttl_ms`` 0 gives it back."""

        async def work(session: AsyncSession) -> bool:
            row = await session.get(LeaseRow, name, with_for_update=True)
            if row is None:
                row = LeaseRow(name=name, holder=holder, expire_ms=0)
                session.add(row)
            elif row.holder != holder and row.expire_ms > now_ms:
                return False
            row.holder, row.expire_ms = holder, now_ms + ttl_ms
            return True

        return await self._write(work)

    async def pending(self, *, limit: int = 200) -> Sequence[OutboxRow]:
        """Return unsent outbox rows in order."""

        async def work(session: AsyncSession) -> Sequence[OutboxRow]:
            query = select(OutboxTableRow).where(OutboxTableRow.sent_ms == 0)
            return [record_of(row) for row in await session.scalars(query.order_by(OutboxTableRow.row).limit(limit))]

        return await self._read(work)

    async def mark_sent(self, rows: Sequence[int], now_ms: int) -> None:
        """Mark rows as sent and wipe their payload: what they said is on Kafka, and may have to be forgotten there."""

        async def work(session: AsyncSession) -> None:
            query = update(OutboxTableRow).where(OutboxTableRow.row.in_(rows), OutboxTableRow.sent_ms == 0)
            sent = query.values(sent_ms=now_ms, value=None, headers=[])
            await session.execute(sent, execution_options={"synchronize_session": False})

        await self._write(work)

    async def emit(self, records: Sequence[Record]) -> None:
        """Write records to the outbox by themselves (re-emission)."""

        async def work(session: AsyncSession) -> None:
            await emit(session, records, self._now_ms())

        await self._write(work)
