"""A lease is handed over cleanly, whatever moment its holder ends in."""

from __future__ import annotations

import asyncio
from typing import Any

from adapters.bus.lease import Leases
from adapters.clock import SystemClock
from adapters.objects.memory import MemoryObjects
from contracts.ports import ObjectInfo
from heimdex.events.v1 import manifest_pb2

KEY = "lease/one"


class Slow(MemoryObjects):
    """Objects whose writes wait to be let through, and once begun go on whoever is gone, as a thread does."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def put(self, *arguments: Any, **conditions: Any) -> ObjectInfo:
        return await asyncio.shield(asyncio.ensure_future(self._put(*arguments, **conditions)))

    async def _put(self, *arguments: Any, **conditions: Any) -> ObjectInfo:
        self.begun.set()
        await self.open.wait()
        return await super().put(*arguments, **conditions)


async def nobody() -> bool:
    return False


async def test_who_ends_while_the_lease_is_renewed_gives_it_back() -> None:
    objects = Slow()
    leases = Leases(objects, SystemClock(), instance_id="asr-0", ttl_s=0.1)

    async def hold() -> None:
        async with leases.hold(KEY, alive=lambda: True, done=nobody):
            objects.open.clear()
            objects.begun.clear()
            await objects.begun.wait()

    holding = asyncio.ensure_future(hold())
    await objects.begun.wait()
    async with asyncio.timeout(10):
        while objects.open.is_set() or not objects.begun.is_set():  # noqa: ASYNC110  # a renewal tells nobody
            await asyncio.sleep(0.005)
    objects.open.set()
    await holding
    body, _ = await objects.get(KEY)
    lease = manifest_pb2.Lease.FromString(body)
    assert (lease.released, lease.attempts, lease.beat) == (True, 0, 1)
