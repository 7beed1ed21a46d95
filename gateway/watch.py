"""Watch: the catalogue's log of changes -> every watcher of this process, by one poller.

A change is the whole video, so a watcher that is slow gets the newest state of each video and never a queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from contracts.catalog import FINAL, Catalog, Video, WatchEntry
from contracts.errors import DependencyUnavailable, HeimdexError, NotFound, Unauthenticated
from contracts.ports import Clock

POLL_S = 0.2
HEARTBEAT_S = 15.0
_RETRY_S = 1.0
_FAILURES = 5
_BATCH = 500
_EXPIRED = "TOKEN_EXPIRED"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Change:
    """A video as it is at ``sequence`` of its log, or newer; None when it is gone for good."""

    video_id: str
    sequence: int
    video: Video | None


@dataclass(frozen=True, slots=True)
class Frame:
    """What a watcher gets: SNAPSHOT or CHANGE with a video, HEARTBEAT without."""

    kind: str
    sequence: int
    video: Video | None = None


SNAPSHOT, CHANGE, HEARTBEAT = "SNAPSHOT", "CHANGE", "HEARTBEAT"


class Subscription:
    """Newest changes that one watcher has not seen; one a video, so it cannot grow without bound."""

    def __init__(self, tenant_id: str, video_id: str) -> None:
        """Watch one video, or with an empty ``video_id`` all of the tenant's."""
        self.tenant_id = tenant_id
        self.video_id = video_id
        self._news: dict[str, Change] = {}
        self._error: HeimdexError | None = None
        self._woken = asyncio.Event()

    def wants(self, entry: WatchEntry) -> bool:
        """Return whether a log entry is of what is watched."""
        return entry.tenant_id == self.tenant_id and self.video_id in {"", entry.video_id}

    def put(self, change: Change) -> None:
        """Hand over a change in place of an older one of that video."""
        self._news.pop(change.video_id, None)
        self._news[change.video_id] = change
        self._woken.set()

    def end(self, error: HeimdexError) -> None:
        """Let the next ``take`` raise ``error``."""
        self._error = error
        self._woken.set()

    async def take(self, timeout_s: float) -> Sequence[Change]:
        """Return what is new, oldest first, as soon as there is something; nothing after ``timeout_s``."""
        if not self._woken.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._woken.wait()
            except TimeoutError:
                return ()
        self._woken.clear()
        if self._error is not None:
            raise self._error
        news, self._news = tuple(self._news.values()), {}
        return news


class ChangePoller:
    """The one reader of the watch log in this process; it rests while nobody watches."""

    def __init__(self, catalog: Catalog, clock: Clock, *, poll_s: float = POLL_S) -> None:
        self._catalog = catalog
        self._clock = clock
        self._poll_s = poll_s
        self._subscriptions: set[Subscription] = set()
        self._wanted = asyncio.Event()
        self._turn = asyncio.Lock()
        self._row: int | None = None  # last row handed out; None while nobody watches
        self._version: int | None = None
        self._draining = False

    @contextmanager
    def _registered(self, subscription: Subscription) -> Iterator[None]:
        self._subscriptions.add(subscription)
        self._wanted.set()
        try:
            yield
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions:
                self._wanted.clear()
                self._row = self._version = None

    async def run(self) -> None:
        """Poll until cancelled. What it cannot read for long ends the watches, which may be begun again."""
        failures = 0
        while True:
            await self._wanted.wait()
            try:
                await self._poll()
                failures = 0
                await self._clock.sleep(self._poll_s)
            except HeimdexError as error:
                failures += 1
                _log.warning("watch log unreadable", reason=error.reason, error=error.message, failures=failures)
                if failures >= _FAILURES:
                    self._end(DependencyUnavailable("catalog", "changes cannot be read now", retry_after_s=_RETRY_S))
                await self._clock.sleep(_RETRY_S)

    async def drain(self) -> None:
        """End every watch, and refuse new ones: another gateway goes on where these end."""
        self._draining = True
        self._end(_draining())

    async def watch_video(
        self, tenant_id: str, video_id: str, *, after_sequence: int, expire_ms: int, heartbeat_s: float = HEARTBEAT_S
    ) -> AsyncGenerator[Frame, None]:
        """Yield the video now, unless ``after_sequence`` is its newest state, then after each change; ends when final.

        Raises:
            NotFound: no such video, or no longer. Permanent.
            DependencyUnavailable: the process drains (DRAINING), or SQL is down. Transient.
            Unauthenticated: the token has expired at ``expire_ms``. Permanent for that token.
        """
        subscription = Subscription(tenant_id, video_id)
        with self._registered(subscription):
            await self._begin()
            sequence, video = await self._read(tenant_id, video_id)
            if after_sequence == 0 or after_sequence != sequence:
                yield Frame(SNAPSHOT, sequence, video)
            while video.state not in FINAL:
                news = await self._next(subscription, expire_ms, heartbeat_s)
                if not news:
                    yield Frame(HEARTBEAT, sequence)
                for change in news:
                    if change.video is None:
                        raise NotFound("video", video_id)
                    if change.sequence > sequence:
                        sequence, video = change.sequence, change.video
                        yield Frame(CHANGE, sequence, video)

    async def watch_tenant(
        self, tenant_id: str, *, expire_ms: int, heartbeat_s: float = HEARTBEAT_S
    ) -> AsyncGenerator[Frame, None]:
        """Yield a heartbeat at once, from when on nothing is missed, then each video of the tenant that changes.

        Raises: as ``watch_video``, but for NotFound.
        """
        subscription = Subscription(tenant_id, "")
        with self._registered(subscription):
            await self._begin()
            yield Frame(HEARTBEAT, 0)
            while True:
                news = await self._next(subscription, expire_ms, heartbeat_s)
                if not news:
                    yield Frame(HEARTBEAT, 0)
                for change in news:
                    if change.video is not None:
                        yield Frame(CHANGE, change.sequence, change.video)

    async def _next(self, subscription: Subscription, expire_ms: int, heartbeat_s: float) -> Sequence[Change]:
        left_s = (expire_ms - self._clock.now_ms()) / 1000
        if left_s <= 0:
            raise Unauthenticated("the token has expired: go on with a new one", reason=_EXPIRED)
        news = await subscription.take(min(heartbeat_s, left_s))
        if not news and self._clock.now_ms() >= expire_ms:
            raise Unauthenticated("the token has expired: go on with a new one", reason=_EXPIRED)
        return news

    async def _begin(self) -> None:
        """Fix where the log is read from before the first state is read, so that nothing falls between the two."""
        if self._draining:
            raise _draining()
        async with self._turn:
            if self._row is None:
                self._row = await self._catalog.last_change()

    async def _read(self, tenant_id: str, video_id: str) -> tuple[int, Video]:
        # A number that is the same before and after is that of the video between: by an older one the caller would
        # be taken to have seen a final state already, and never hear of it.
        sequence = await self._catalog.video_sequence(tenant_id, video_id)
        while True:
            video = await self._catalog.get_video(tenant_id, video_id)
            before, sequence = sequence, await self._catalog.video_sequence(tenant_id, video_id)
            if before == sequence:
                return sequence, video

    async def _poll(self) -> None:
        async with self._turn:
            if self._row is None:
                return
            version = await self._catalog.data_version()
            if version == self._version:
                return
            row = self._row
            while rows := await self._catalog.changes(row, limit=_BATCH):
                row = rows[-1][0]
                await self._hand_out(entry for _, entry in rows)
                if len(rows) < _BATCH:
                    break
            if self._subscriptions:  # else the last one has gone meanwhile: the next one begins anew
                self._row, self._version = row, version

    async def _hand_out(self, entries: Iterable[WatchEntry]) -> None:
        newest = {entry.video_id: entry for entry in entries}  # ascending, so the last one stays
        for entry in newest.values():
            wanting = [subscription for subscription in self._subscriptions if subscription.wants(entry)]
            if wanting:
                change = await self._change(entry)
                for subscription in wanting:
                    subscription.put(change)

    async def _change(self, entry: WatchEntry) -> Change:
        try:
            video = await self._catalog.get_video(entry.tenant_id, entry.video_id)
        except NotFound:
            return Change(entry.video_id, entry.sequence, None)
        return Change(entry.video_id, entry.sequence, video)

    def _end(self, error: HeimdexError) -> None:
        for subscription in self._subscriptions:
            subscription.end(error)


def _draining() -> DependencyUnavailable:
    return DependencyUnavailable(
        "gateway", "the server is shutting down: go on at another one", reason="DRAINING", retry_after_s=0.5
    )
