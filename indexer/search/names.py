"""Names: a tenant -> the names of its enrolled people, looked up once a second however many search."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from contracts.catalog import Catalog
from contracts.ports import Clock

FRESH_S = 1.0
"""How long an enrolment may go unnoticed by queries that name the person."""

_TENANTS = 1000

Look = asyncio.Task[Sequence[tuple[str, str]]]


class Names:
    """People's names by tenant; those who ask at once share one look. Errors: the catalogue's, of that look alone."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._looks: OrderedDict[str, tuple[float, Look]] = OrderedDict()

    async def of(self, tenant_id: str) -> Sequence[tuple[str, str]]:
        """Return (person_id, name) for every display name and alias."""
        now_s = self._clock.monotonic_s()
        since_s, look = self._looks.get(tenant_id, (0.0, None))
        if look is None or now_s - since_s >= FRESH_S or (look.done() and (look.cancelled() or look.exception())):
            look = asyncio.ensure_future(self._read(tenant_id))
            self._looks[tenant_id] = (now_s, look)
            self._looks.move_to_end(tenant_id)
            if len(self._looks) > _TENANTS:
                self._looks.popitem(last=False)
        return await asyncio.shield(look)

    async def _read(self, tenant_id: str) -> Sequence[tuple[str, str]]:
        return await self._catalog.people_names(tenant_id)
