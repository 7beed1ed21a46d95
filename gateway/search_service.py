"""Search service: SearchScenes, FindSimilar, SuggestQueries, RecordFeedback."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from prometheus_client import Counter, Histogram

from contracts import ids
from contracts.ports import Clock, Float32, Objects
from gateway import identity, search_pages, search_requests, searches, similar, validation
from gateway.feedback import Feedback
from gateway.identity import Principal
from gateway.pages import PageTokens
from gateway.performed import PerformedSearches
from gateway.pictures import Pictures
from gateway.scenes import KeyframeUrls
from gateway.search_pages import Frozen
from gateway.searchers import Active, Searchers
from gateway.suggestions import Suggestions
from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceServicer
from indexer.search.searcher import DEFAULT_BUDGETS
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

    def __init__(
        self,
        searchers: Searchers,
        suggestions: Suggestions,
        objects: Objects,
        pages: PageTokens,
        clock: Clock,
        *,
        performed: PerformedSearches,
        feedback: Feedback,
        pictures: Pictures,
    ) -> None:
        self._searchers = searchers
        self._suggestions = suggestions
        self._performed = performed
        self._feedback = feedback
        self._pictures = pictures
        self._objects = objects
        self._pages = pages
        self._clock = clock

    async def SearchScenes(
        self, request: pb.SearchScenesRequest, context: Any
    ) -> AsyncGenerator[pb.SearchScenesResponse, None]:
        """Stream the current list each time it gets better, DONE last; a later page is DONE alone."""
        who = identity.principal()
        asked = search_requests.from_proto(request, who.tenant_id)
        end_s = self._end_s(context)
        urls = KeyframeUrls(self._objects) if request.include_urls else None
        active = await self._searchers.active(timeout_s=self._wait_s(end_s))
        if asked.image_id and not request.page_token:  # later pages come from the list that it made
            asked = replace(asked, image=await self._picture(asked, active, end_s))
        frames = (
            self._later(who, asked, request.page_token, active, end_s)
            if request.page_token
            else self._first(who, asked, active, end_s)
        )
        async with aclosing(frames):
            async for frame in frames:
                if urls is not None:
                    await urls.add(hit.scene for hit in (*frame.hits, *frame.weak_hits))
                yield frame

    async def FindSimilar(self, request: pb.FindSimilarRequest, context: Any) -> pb.FindSimilarResponse:
        """Return scenes like another, best first."""
        asked = similar.from_proto(request, identity.principal().tenant_id)
        end_s = self._end_s(context)
        active = await self._searchers.active(timeout_s=self._wait_s(end_s))
        found = await active.searcher.similar(asked, deadline_s=self._left_s(end_s))
        if found.summary is not None:
            _observe(found.summary)
        response = similar.to_proto(found, ids.new_id("qry"), asked)
        self._performed.add(asked, response.summary)
        if request.include_urls:
            await KeyframeUrls(self._objects).add(hit.scene for hit in response.hits)
        return response

    async def SuggestQueries(self, request: pb.SuggestQueriesRequest, context: Any) -> pb.SuggestQueriesResponse:
        """Return how what is being typed may go on."""
        end_s = self._end_s(context)
        active = await self._searchers.active(timeout_s=self._wait_s(end_s))
        tenant_id, index = identity.principal().tenant_id, active.generation.text_index
        return await self._suggestions.answer(tenant_id, index, request, timeout_s=self._wait_s(end_s))

    async def RecordFeedback(self, request: pb.RecordFeedbackRequest, context: Any) -> pb.RecordFeedbackResponse:
        """Tell analysts what became of an answer."""
        await self._feedback.record(identity.principal(), request)
        return pb.RecordFeedbackResponse()

    async def _first(
        self, who: Principal, asked: SearchRequest, active: Active, end_s: float
    ) -> AsyncGenerator[pb.SearchScenesResponse, None]:
        query_id = ids.new_id("qry")
        async with aclosing(active.searcher.search(asked, deadline_s=self._left_s(end_s))) as updates:
            async for update in updates:
                frame = searches.frame(update, query_id, asked.filter.person_ids)
                if update.summary is not None:
                    _observe(update.summary)
                    self._performed.add(asked, frame.summary)
                    frame.next_page_token = self._seal(who, asked, _frozen(query_id, update, update.summary))
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
        people = frozenset((*asked.filter.person_ids, *frozen.people))
        following = replace(frozen, first_rank=frozen.first_rank + len(page.hits), rest=page.rest)
        frame = pb.SearchScenesResponse(
            kind=pb.FRAME_KIND_DONE,
            answered=[searches.channel(name) for name in frozen.answered],
            summary=searches.summary(
                query_id=frozen.query_id,
                total_hits=frozen.total_hits,
                total_is_lower_bound=frozen.total_is_lower_bound,
                match_quality=frozen.match_quality,
                degraded=frozen.degraded,
                elapsed_ms=round((self._clock.monotonic_s() - start_s) * 1000),
                ranking=frozen.ranking,
                generation=frozen.generation,
            ),
            next_page_token=self._seal(who, asked, following),
        )
        searches.put_hits(page.hits, people, frame.hits.add)
        yield frame

    async def _picture(self, asked: SearchRequest, active: Active, end_s: float) -> Float32:
        return await self._pictures.vector(
            asked.tenant_id, asked.image_id, version=active.generation.vision_model, timeout_s=self._wait_s(end_s)
        )

    # ---- page tokens ----------------------------------------------------------------------------------

    def _seal(self, who: Principal, asked: SearchRequest, frozen: Frozen) -> str:
        """Return the token of what is left; empty when nothing is."""
        if not frozen.rest:
            return ""
        now_ms = self._clock.now_ms()
        packed = search_pages.pack(frozen)
        return self._pages.seal(who, search_requests.scope(asked), packed, now_ms=now_ms, life_s=search_pages.LIFE_S)

    def _open(self, who: Principal, asked: SearchRequest, token: str, active: Active) -> Frozen:
        """Return what a token holds. InvalidRequest(INVALID_PAGE_TOKEN) unless it goes on with this very search."""
        packed = self._pages.open(who, search_requests.scope(asked), token, now_ms=self._clock.now_ms())
        frozen = search_pages.unpack(packed)
        if frozen is None or frozen.generation != active.generation.generation:
            raise validation.invalid(
                "page_token", "is of an index that is read no more: begin again without a token",
                reason="INVALID_PAGE_TOKEN",
            )  # fmt: skip
        return frozen

    def _end_s(self, context: Any) -> float:
        """Return when an answer must be there, by the clock."""
        left_s = context.time_remaining()
        return self._clock.monotonic_s() + (DEADLINE_S if left_s is None else min(left_s, DEADLINE_S))

    def _left_s(self, end_s: float) -> float:
        return end_s - self._clock.monotonic_s()

    def _wait_s(self, end_s: float) -> float:
        """Return how long to wait for what a search needs before it begins: the error, too, must arrive in time."""
        left_s = self._left_s(end_s)
        return left_s - DEFAULT_BUDGETS.reserve(left_s)


def _frozen(query_id: str, update: Update, summary: Summary) -> Frozen:
    return Frozen(
        query_id=query_id,
        generation=summary.generation,
        first_rank=len(update.hits) + 1,
        total_hits=summary.total_hits,
        total_is_lower_bound=summary.total_is_lower_bound,
        match_quality=summary.match_quality,
        answered=update.answered,
        degraded=summary.degraded,
        ranking=summary.ranking,
        people=tuple(who.person_id for who in summary.people),
        marking=summary.marking,
        rest=summary.rest,
    )


def _observe(summary: Summary) -> None:
    for name, elapsed_ms in summary.channel_ms.items():
        _CHANNEL_SECONDS.labels(name.value).observe(elapsed_ms / 1000)
    for missing in summary.degraded:
        _DEGRADED.labels(missing.channel.value, missing.cause.value).inc()
