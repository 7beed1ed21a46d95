"""Searches: ``SearchScenesRequest`` -> what the searcher takes; its updates -> frames. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gateway import scenes, validation
from gateway.videos import duration
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.parse import clean
from indexer.search.types import Cause, Channel, Degraded, Hit, MatchQuality, SearchRequest, Update

DEFAULT_PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 200
MAX_VIDEOS: Final = 100
MAX_PEOPLE: Final = 10
_DELIVERIES: Final = frozenset(pb.Delivery.values())
_CHANNEL_VALUES: Final = MappingProxyType({name: pb.Channel.Value(f"CHANNEL_{name.name}") for name in Channel})
_QUALITY_VALUES: Final = MappingProxyType(
    {name: pb.MatchQuality.Value(f"MATCH_QUALITY_{name.name}") for name in MatchQuality}
)
_CAUSES: Final[Mapping[Cause, pb.DegradedCause.ValueType]] = MappingProxyType(
    {Cause.LATE: pb.DEGRADED_CAUSE_LATE, Cause.FAILED: pb.DEGRADED_CAUSE_UNAVAILABLE}
)


def from_proto(request: pb.SearchScenesRequest, tenant_id: str) -> SearchRequest:
    """Return what is asked for. Raises InvalidRequest (permanent) with proto paths."""
    narrow = request.filter
    video_ids = validation.resource_ids(narrow.video_ids, "filter.video_ids", "vid", most=MAX_VIDEOS)
    person_ids = validation.resource_ids(narrow.person_ids, "filter.person_ids", "per", most=MAX_PEOPLE)
    if not 0.0 <= narrow.min_confidence <= 1.0:  # also for what is no number
        raise validation.invalid("filter.min_confidence", "is not in [0, 1]")
    if request.delivery not in _DELIVERIES:
        raise validation.invalid("delivery", "is neither PROGRESSIVE nor FINAL_ONLY")
    return SearchRequest(
        tenant_id=tenant_id,
        query=clean(request.query) if request.query.strip() or not person_ids else "",
        limit=validation.page_size(request.page_size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE),
        video_ids=video_ids,
        person_ids=person_ids,
        min_confidence=narrow.min_confidence,
        progressive=request.delivery != pb.DELIVERY_FINAL_ONLY,
    )


def scope(asked: SearchRequest) -> str:
    """Return what must stay the same from page to page: everything that decides which hits there are."""
    same = (asked.query, sorted(asked.video_ids), sorted(asked.person_ids), asked.min_confidence)
    return f"SearchScenes:{hashlib.sha256(json.dumps(same).encode()).hexdigest()}"


def frame(update: Update) -> pb.SearchScenesResponse:
    """Return a frame of the first page, without a token."""
    message = pb.SearchScenesResponse(
        kind=pb.FrameKind.Value(f"FRAME_KIND_{update.kind.name}"),
        hits=hits(update.hits),
        answered=[channel(name) for name in update.answered],
    )
    if update.summary is not None:
        said = update.summary
        message.summary.CopyFrom(
            summary(
                total_hits=said.total_hits,
                match_quality=said.match_quality,
                degraded=said.degraded,
                elapsed_ms=said.elapsed_ms,
                ranking=said.ranking,
                generation=said.generation,
            )
        )
        message.summary.people.extend(scenes.person(who) for who in said.people)
    return message


def summary(
    *,
    total_hits: int,
    match_quality: MatchQuality,
    degraded: Iterable[Degraded],
    elapsed_ms: int,
    ranking: str,
    generation: int,
) -> pb.SearchSummary:
    """Return a summary, without people."""
    return pb.SearchSummary(
        total_hits=total_hits,
        match_quality=quality(match_quality),
        degraded=[pb.DegradedChannel(channel=channel(d.channel), cause=_CAUSES[d.cause]) for d in degraded],
        elapsed=duration(elapsed_ms),
        ranking=ranking,
        generation=generation,
    )


def hits(found: Iterable[Hit]) -> list[pb.SceneHit]:
    """Return hits, each with its scene but for the spoken lines, which its runs hold."""
    return [_hit(hit) for hit in found]


def _hit(hit: Hit) -> pb.SceneHit:
    """Return a hit, filled in place: messages that are made apart are copied in."""
    ranked = hit.ranked
    message = pb.SceneHit(
        rank=hit.rank,
        score=ranked.score,
        confidence=ranked.confidence,
        match_quality=quality(ranked.match_quality),
    )
    scenes.put(hit.scene, message.scene)
    message.scene.ClearField("transcript")
    for part in ranked.contributions:
        message.contributions.add(
            channel=channel(part.channel),
            similarity=part.similarity,
            weight=part.weight,
            points=part.points,
            raw=part.raw,
        )
    for run in hit.transcript:
        message.transcript.add(
            text=run.text,
            highlighted=run.highlighted,
            start_offset=duration(run.start_ms),
            end_offset=duration(run.end_ms),
        )
    return message


def channel(name: Channel) -> pb.Channel.ValueType:
    """Return a channel's enum value: they have the same names."""
    return _CHANNEL_VALUES[name]


def quality(value: MatchQuality) -> pb.MatchQuality.ValueType:
    """Return a quality's enum value: they have the same names."""
    return _QUALITY_VALUES[value]
