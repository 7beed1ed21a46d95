"""Leases: a key in the lease bucket -> the right to do a piece of work, so that two workers seldom do the same.

A lease saves work and fences nothing: correctness comes from the manifest's conditional put. Staleness is judged by an
ETag that stays the same on *this* process's monotonic clock; no two machines' clocks are ever compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from google.protobuf.message import DecodeError

from contracts.errors import DependencyUnavailable, HeimdexError, NotFound, PreconditionFailed
from contracts.ports import Clock, Objects
from heimdex.events.v1 import manifest_pb2

TTL_S = 30.0
RENEW_S = 8.0
"""Both chosen: three renewals may fail before somebody else takes over."""

_POLL_S = 1.0

_log = structlog.get_logger()


@dataclass(slots=True)
class Held:
    """A lease that this process holds.

    Attributes:
        attempts: acquisitions, this one included, that did not end in a clean hand-over.
        turn: of whoever writes it: the etag of one write is the condition of the next.
    """

    key: str
    token: str
    etag: str
    body: manifest_pb2.Lease
    lost: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def attempts(self) -> int:
        """Tries that began, this one included."""
        return self.body.attempts


class Leases:
    """All leases of one process."""

    def __init__(self, objects: Objects, clock: Clock, *, instance_id: str, ttl_s: float = TTL_S) -> None:
        """Configure.

        Args:
            objects: the lease bucket, without versions.
            instance_id: stable slot of this process; its next boot takes over at once.
            ttl_s: how long a lease must not change before it counts as left behind.
        """
        self._objects = objects
        self._clock = clock
        self._instance_id = instance_id
        self._boot_id = secrets.token_hex(8)
        self._ttl_s = ttl_s
        self._renew_s = ttl_s * RENEW_S / TTL_S

    @asynccontextmanager
    async def hold(
        self, key: str, *, alive: Callable[[], bool], done: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[Held | None]:
        """Wait for the lease and hold it, renewed, until the block ends.

        Args:
            alive: whether the work showed life since the last call; a lease of dead work is not renewed.
            done: whether the work is already done, asked while another holds the lease.

        Yields: None when ``done`` said yes before the lease was free.

        Raises: DependencyUnavailable (transient).
        """
        held = await self._acquire(key, done)
        if held is None:
            yield None
            return
        renewal = asyncio.create_task(self._renew(held, alive))
        try:
            yield held
        finally:
            renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewal
            await asyncio.shield(self._release(held))

    async def _acquire(self, key: str, done: Callable[[], Awaitable[bool]]) -> Held | None:
        seen_etag, seen_at_s = "", 0.0
        while True:
            found = await self._read(key)
            if found is None:
                held = await self._take(key, None, 0)
            else:
                body, etag = found
                if etag != seen_etag:
                    seen_etag, seen_at_s = etag, self._clock.monotonic_s()
                ours_before = body.instance_id == self._instance_id and body.boot_id != self._boot_id
                stale = self._clock.monotonic_s() - seen_at_s >= self._ttl_s
                held = await self._take(key, etag, body.attempts) if body.released or ours_before or stale else None
            if held is not None:
                return held
            if await done():
                return None
            await self._clock.sleep(_POLL_S)

    async def _read(self, key: str) -> tuple[manifest_pb2.Lease, str] | None:
        try:
            raw, info = await self._objects.get(key)
        except NotFound:
            return None
        body = manifest_pb2.Lease()
        with contextlib.suppress(DecodeError):  # whatever it is, it goes stale like any other
            body.ParseFromString(raw)
        return body, info.etag

    async def _take(self, key: str, etag: str | None, attempts: int) -> Held | None:
        token = secrets.token_hex(8)
        body = manifest_pb2.Lease(
            instance_id=self._instance_id, boot_id=self._boot_id, token=token, attempts=attempts + 1
        )
        try:
            info = await self._objects.put(key, body.SerializeToString(), if_none_match=etag is None, if_match=etag)
        except (PreconditionFailed, NotFound):
            return None
        return Held(key, token, info.etag, body)

    async def _renew(self, held: Held, alive: Callable[[], bool]) -> None:
        while not held.lost:
            await self._clock.sleep(self._renew_s)
            if alive():
                held.body.beat += 1
                # Shielded: a write that has begun ends with an etag, which the release needs.
                await asyncio.shield(self._write(held))

    async def _release(self, held: Held) -> None:
        if held.lost:
            return
        held.body.released = True
        held.body.attempts -= 1  # a clean hand-over is no crash
        await self._write(held)

    async def _write(self, held: Held) -> None:
        async with held.turn:
            try:
                info = await self._objects.put(held.key, held.body.SerializeToString(), if_match=held.etag)
            except (PreconditionFailed, NotFound):
                held.lost = True  # somebody took over; the conditional manifest decides who wins
            except DependencyUnavailable as error:
                _log.warning("lease not written", key=held.key, error=error.message)
            except HeimdexError as error:
                held.lost = True
                _log.warning("lease given up", key=held.key, error=error.message)
            else:
                held.etag = info.etag
