"""Search service: SearchScenes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from prometheus_client import Counter, Histogram

from contracts.ports import Clock, Objects
from gateway import identity, search_pages, searches, validation
from gateway.identity import Principal
from gateway.pages import PageTokens
from gateway.scenes import KeyframeUrls
from gateway.search_pages import Frozen
from gateway.searchers import Active, Searchers
from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceServicer
from indexer.search.types import SearchRequest, Summary, Update

DEADLINE_S: Final = 30.0
"""Longest search, and how long one may take whose client has set no deadline."""

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CHANNEL_SECONDS = Histogram(
    "heimdex_gateway_search_channel_seconds", "Seconds until a channel answered or was given up.", ("channel",),
    buckets=_BUCKETS,
)  # fmt: skip
_DEGRADED = Counter(
    "heimdex_gateway_search_degraded_total", "Channels missing from an answer.", ("channel", "cause")
)  # fmt: skip


class SearchService(SearchServiceServicer):
    """Hybrid scene search."""

    def __init__(self, searchers: Searchers, objects: Objects, pages: PageTokens, clock: Clock) -> None:
        self._searchers = searchers
        self._objects = objects
        self._pages = pages
        self._clock = clock

    async def SearchScenes(
        self, request: pb.SearchScenesRequest, context: Any
    ) -> AsyncGenerator[pb.SearchScenesResponse, None]:
        """Stream the current list each time it gets better, DONE last; a later page is DONE alone."""
        who = identity.principal()
        asked = searches.from_proto(request, who.tenant_id)
        left_s = context.time_remaining()
        end_s = self._clock.monotonic_s() + (DEADLINE_S if left_s is None else min(left_s, DEADLINE_S))
        urls = KeyframeUrls(self._objects) if request.include_urls else None
        active = await self._searchers.active(timeout_s=self._left_s(end_s))
        frames = (
            self._later(who, asked, request.page_token, active, end_s)
            if request.page_token
            else self._first(who, asked, active, end_s)
        )
        async with aclosing(frames):
            async for frame in frames:
                if urls is not None:
                    await urls.add(hit.scene for hit in frame.hits)
                yield frame

    async def _first(
        self, who: Principal, asked: SearchRequest, active: Active, end_s: float
    ) -> AsyncGenerator[pb.SearchScenesResponse, None]:
        async with aclosing(active.searcher.search(asked, deadline_s=self._left_s(end_s))) as updates:
            async for update in updates:
                frame = searches.frame(update)
                if update.summary is not None:
                    _observe(update.summary)
                    frame.next_page_token = self._seal(who, asked, _frozen(update, update.summary))
                yield frame

    async def _later(
        self, who: Principal, asked: SearchRequest, token: str, active: Active, end_s: float
    ) -> AsyncGenerator[pb.SearchScenesResponse, None]:
        start_s = self._clock.monotonic_s()
        frozen = self._open(who, asked, token, active)
        page = await active.searcher.page(
            who.tenant_id,
            frozen.rest,
            marking=frozen.marking,
            first_rank=frozen.first_rank,
            limit=asked.limit,
            deadline_s=self._left_s(end_s),
        )
        following = replace(frozen, first_rank=frozen.first_rank + len(page.hits), rest=page.rest)
        yield pb.SearchScenesResponse(
            kind=pb.FRAME_KIND_DONE,
            hits=searches.hits(page.hits),
            answered=[searches.channel(name) for name in frozen.answered],
            summary=searches.summary(
                total_hits=frozen.total_hits,
                match_quality=frozen.match_quality,
                degraded=frozen.degraded,
                elapsed_ms=round((self._clock.monotonic_s() - start_s) * 1000),
                ranking=frozen.ranking,
                generation=frozen.generation,
            ),
            next_page_token=self._seal(who, asked, following),
        )

    # ---- page tokens ----------------------------------------------------------------------------------

    def _seal(self, who: Principal, asked: SearchRequest, frozen: Frozen) -> str:
        """Return the token of what is left; empty when nothing is."""
        if not frozen.rest:
            return ""
        now_ms = self._clock.now_ms()
        packed = search_pages.pack(frozen)
        return self._pages.seal(who, searches.scope(asked), packed, now_ms=now_ms, life_s=search_pages.LIFE_S)

    def _open(self, who: Principal, asked: SearchRequest, token: str, active: Active) -> Frozen:
        """Return what a token holds. InvalidRequest(INVALID_PAGE_TOKEN) unless it goes on with this very search."""
        packed = self._pages.open(who, searches.scope(asked), token, now_ms=self._clock.now_ms())
        frozen = search_pages.unpack(packed)
        if frozen is None or frozen.generation != active.generation.generation:
            raise validation.invalid(
                "page_token", "is of an index that is read no more: begin again without a token",
                reason="INVALID_PAGE_TOKEN",
            )  # fmt: skip
        return frozen

    def _left_s(self, end_s: float) -> float:
        return end_s - self._clock.monotonic_s()


def _frozen(update: Update, summary: Summary) -> Frozen:
    return Frozen(
        generation=summary.generation,
        first_rank=len(update.hits) + 1,
        total_hits=summary.total_hits,
        match_quality=summary.match_quality,
        answered=update.answered,
        degraded=summary.degraded,
        ranking=summary.ranking,
        marking=summary.marking,
        rest=summary.rest,
    )


def _observe(summary: Summary) -> None:
    for name, elapsed_ms in summary.channel_ms.items():
        _CHANNEL_SECONDS.labels(name.value).observe(elapsed_ms / 1000)
    for missing in summary.degraded:
        _DEGRADED.labels(missing.channel.value, missing.cause.value).inc()
