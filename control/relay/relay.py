"""Relay: rows of the catalogue's outbox -> records on the bus, at least once, in the order of each key.

One process relays at a time, by a lease row. Rows of one key leave one after another and stop at the first failure,
so a consumer never sees a scene's tombstone before the fact that it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from contracts.catalog import Catalog, OutboxRow
from contracts.errors import HeimdexError
from contracts.ports import Clock, Producer

LEASE = "relay"
LEASE_TTL_MS = 10_000

_RENEW_S = 3.0
_IDLE_S = 0.1
_LOOK_S = 5.0  # looks at the outbox this often even where the catalogue says that nothing changed
_PAUSE_S = 1.0
_DEAD_AFTER_S = 120.0  # one send may wait 30 s for its acknowledgement, and as long to end and to begin a connection

_log = structlog.get_logger()


class Relay:
    """The only sender of what the catalogue's transactions say."""

    def __init__(self, catalog: Catalog, producer: Producer, clock: Clock, *, holder: str) -> None:
        """Wire it; ``holder`` names this process in the lease row."""
        self._catalog = catalog
        self._producer = producer
        self._clock = clock
        self._holder = holder
        self._leads_until_s = 0.0
        self._unmarked: set[int] = set()
        self._seen: int | None = None
        self._looked_s = 0.0
        self._tick_s: float | None = None
        self._stopping = False

    async def run(self) -> None:
        """Relay until ``stop``; no error of catalogue or bus ends it."""
        renewal = asyncio.create_task(self._keep_lease())
        try:
            while not self._stopping:
                self._tick()
                await self._clock.sleep(await self._turn())
            await self._send_rest()
        finally:
            renewal.cancel()
            await asyncio.wait({renewal})
            await self._give_back()

    async def stop(self) -> None:
        """Ask it to end, once what is pending was sent."""
        self._stopping = True

    def healthy(self) -> bool:
        """Return False when the loop stands still."""
        return self._tick_s is None or self._clock.monotonic_s() - self._tick_s < _DEAD_AFTER_S

    async def _turn(self) -> float:
        """Relay what there is; return how many seconds to wait."""
        try:
            if not self._leads() or not await self._changed():
                return _IDLE_S
            if await self._relay():
                return 0.0
        except HeimdexError as error:
            _log.warning("not relayed", reason=error.reason, error=error.message)
        except Exception:  # noqa: BLE001 - a defect must not end the only sender; it is seen in the log and the lag
            _log.exception("not relayed")
        else:
            return _IDLE_S
        self._seen = None
        return _PAUSE_S

    async def _send_rest(self) -> None:
        """Send what those who stopped before have written last; what fails leaves with the next start."""
        try:
            while self._leads() and await self._relay():
                pass
        except HeimdexError as error:
            _log.warning("not relayed", reason=error.reason, error=error.message)

    async def _changed(self) -> bool:
        """Return whether the outbox is worth a look."""
        now_s = self._clock.monotonic_s()
        version = await self._catalog.data_version()
        if version == self._seen and now_s - self._looked_s < _LOOK_S:
            return False
        self._seen, self._looked_s = version, now_s
        return True

    async def _relay(self) -> bool:
        """Send pending rows; return whether there may be more. Raises the first failure, after the other keys."""
        await self._mark()
        rows = await self._catalog.pending()
        lanes: dict[str, list[OutboxRow]] = {}
        for row in rows:
            lanes.setdefault(row.record.key, []).append(row)
        try:
            results = await asyncio.gather(*(self._send(lane) for lane in lanes.values()), return_exceptions=True)
        finally:
            await self._mark()
        for failed in results:
            if failed is not None:
                raise failed
        return bool(rows) and self._leads()

    async def _send(self, lane: Sequence[OutboxRow]) -> None:
        for row in lane:
            if not self._leads():
                return
            await self._producer.send(row.record)
            self._unmarked.add(row.row)
            self._tick()

    async def _mark(self) -> None:
        """Mark what was sent, also in an earlier turn that could not; until then nothing more leaves."""
        if self._unmarked:
            sent = sorted(self._unmarked)
            await self._catalog.mark_sent(sent, self._clock.now_ms())
            self._unmarked.difference_update(sent)

    # ------------------------------------------------------------------------------------------------ lease

    def _leads(self) -> bool:
        return self._clock.monotonic_s() < self._leads_until_s

    async def _keep_lease(self) -> None:
        while True:
            asked_s = self._clock.monotonic_s()
            try:
                if await self._catalog.acquire_lease(LEASE, self._holder, self._clock.now_ms(), LEASE_TTL_MS):
                    self._leads_until_s = asked_s + LEASE_TTL_MS / 1000
                else:
                    self._leads_until_s = 0.0
                    self._seen = None
            except HeimdexError as error:
                _log.warning("lease not renewed", reason=error.reason, error=error.message)
            except Exception:  # noqa: BLE001 - without renewal the lease ends by itself
                _log.exception("lease not renewed")
            await self._clock.sleep(_RENEW_S)

    async def _give_back(self) -> None:
        try:
            await self._mark()
            if self._leads():
                await self._catalog.acquire_lease(LEASE, self._holder, self._clock.now_ms(), 0)
        except HeimdexError as error:
            _log.warning("lease not given back", reason=error.reason, error=error.message)

    def _tick(self) -> None:
        self._tick_s = self._clock.monotonic_s()
