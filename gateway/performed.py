"""Performed: answers that were given -> events for analysts, and the texts of their queries, written once a second.

A search waits for none of it. Events wait in memory: a process that is killed loses those of its last second, and while
the catalogue is away the oldest give way.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from asyncio import Event, Lock
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import structlog
from prometheus_client import Counter

from contracts import facts
from contracts.catalog import Catalog, Query
from contracts.errors import DependencyUnavailable
from contracts.ports import Clock, Record
from heimdex.events.v1 import events_pb2
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.types import Filter, SearchRequest, SimilarRequest

EVERY_S: Final = 1.0
"""Least time between two writes: one commit a second, however many search."""

MOST_WAITING: Final = 20_000
"""Searches that wait at most, 2 KB each: more than a minute of a busy gateway whose catalogue is away."""

_MOST_AT_ONCE: Final = 500  # rows of one transaction: 20 ms
_LABEL: Final = b"heimdex query hash 1:"
_NO_FILTER: Final = Filter()
_FILTERS: Final = tuple((field.name, f"filter.{field.name.removesuffix('_ms')}") for field in fields(Filter))

_DROPPED = Counter("heimdex_gateway_search_events_dropped_total", "Performed searches that analysts are not told of.")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Told:
    record: Record
    query: Query | None


class PerformedSearches:
    """Tells analysts of searches, behind their backs."""

    def __init__(self, catalog: Catalog, clock: Clock, secret: bytes, *, most_waiting: int = MOST_WAITING) -> None:
        """Wire; ``secret`` keys the hashes of queries: every gateway of a deployment has the same."""
        self._catalog = catalog
        self._clock = clock
        self._secret = secret
        self._most_waiting = most_waiting
        self._waiting: deque[_Told] = deque()
        self._some = Event()
        self._turn = Lock()

    def add(self, asked: SearchRequest | SimilarRequest, summary: pb.SearchSummary) -> None:
        """Take note of an answer; ``summary`` is of its first page. Waits for nothing."""
        now_ms = self._clock.now_ms()
        typed = asked.query if isinstance(asked, SearchRequest) else ""
        hashed = query_hash(self._secret, asked.tenant_id, typed) if typed else ""
        record = facts.search_performed(_event(asked, summary, hashed, now_ms))
        query = Query(summary.query_id, asked.tenant_id, typed, now_ms) if typed else None
        self._waiting.append(_Told(record, query))
        self._shed()
        self._some.set()

    async def run(self) -> None:
        """Write what waits, at most once a second, until cancelled; no error ends it."""
        while True:
            await self._some.wait()
            await self._write()
            await self._clock.sleep(EVERY_S)

    async def drain(self) -> None:
        """Write what waits, at the end; what cannot be written is lost, and counted."""
        await self._write()
        if self._waiting:
            _DROPPED.inc(len(self._waiting))
            _log.warning("searches not told", searches=len(self._waiting))
            self._waiting.clear()

    async def _write(self) -> None:
        async with self._turn:
            while self._waiting:
                told = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
                try:
                    await self._record(told)
                except DependencyUnavailable as error:
                    self._waiting.extendleft(reversed(told))
                    self._shed()
                    _log.warning("searches not told yet", searches=len(self._waiting), error=error.message)
                    return
                except Exception:  # noqa: BLE001 - neither a refused row nor a defect may end the only writer
                    _DROPPED.inc(len(told))
                    _log.exception("searches not told", searches=len(told))
            self._some.clear()

    async def _record(self, told: Sequence[_Told]) -> None:
        await self._catalog.record_searches([one.record for one in told], [one.query for one in told if one.query])

    def _shed(self) -> None:
        while len(self._waiting) > self._most_waiting:
            self._waiting.popleft()
            _DROPPED.inc()


def query_hash(secret: bytes, tenant_id: str, query: str) -> str:
    """Return what stands for a query: 64 hex digits, the same for the same words within a tenant and a deployment.

    HMAC-SHA-256 over the query in NFC, case-folded, white space squeezed. Its key is the tenant's own, HMAC-SHA-256 of
    the tenant's id by ``secret``, so that neither another tenant's events nor a list of likely queries tells the text.

    Args:
        query: as ``parse.clean`` has it.
    """
    key = hmac.digest(secret, _LABEL + tenant_id.encode(), hashlib.sha256)
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", query).casefold())
    return hmac.digest(key, " ".join(folded.split()).encode(), hashlib.sha256).hex()


def inputs(asked: SearchRequest | SimilarRequest, summary: pb.SearchSummary) -> list[str]:
    """Return what a search was made of, by the names of ``heimdex.events.v1.SearchPerformed.inputs``."""
    understood = summary.parsed
    made_of = (
        ("text", understood.words),
        ("phrase", understood.phrases),
        ("exclusion", understood.excluded),
        ("person", summary.people),
        ("image", isinstance(asked, SearchRequest) and asked.image_id),
        ("scene", isinstance(asked, SimilarRequest)),
    )
    found = [name for name, there in made_of if there]
    if asked.filter != _NO_FILTER:
        found += [path for name, path in _FILTERS if getattr(asked.filter, name) != getattr(_NO_FILTER, name)]
    return found


def _event(
    asked: SearchRequest | SimilarRequest, summary: pb.SearchSummary, hashed: str, now_ms: int
) -> events_pb2.SearchPerformed:
    return events_pb2.SearchPerformed(
        tenant_id=asked.tenant_id,
        query_id=summary.query_id,
        query_hash=hashed,
        inputs=inputs(asked, summary),
        total_hits=summary.total_hits,
        total_is_lower_bound=summary.total_is_lower_bound,
        match_quality=summary.match_quality,
        timings=summary.timings,
        degraded=summary.degraded,
        ranking=summary.ranking,
        generation=summary.generation,
        page_size=asked.limit,
        elapsed=summary.elapsed,
        event_time=facts.timestamp(now_ms),
    )
