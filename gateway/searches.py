"""Searches: what the searcher found -> frames and hits as messages. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gateway import scenes
from gateway.videos import duration, put_duration
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.parse import Parsed
from indexer.search.types import (
    Cause,
    Channel,
    Degraded,
    Facet,
    FrameKind,
    Hit,
    MatchQuality,
    Ranked,
    Run,
    Summary,
    Update,
)

_CHANNEL_VALUES: Final = MappingProxyType({name: pb.Channel.Value(f"CHANNEL_{name.name}") for name in Channel})
_FRAME_KINDS: Final = MappingProxyType({kind: pb.FrameKind.Value(f"FRAME_KIND_{kind.name}") for kind in FrameKind})
_FACET_VALUES: Final = MappingProxyType({name: pb.Facet.Value(f"FACET_{name.name}") for name in Facet})
_QUALITY_VALUES: Final = MappingProxyType(
    {name: pb.MatchQuality.Value(f"MATCH_QUALITY_{name.name}") for name in MatchQuality}
)
_CAUSES: Final[Mapping[Cause, pb.DegradedCause.ValueType]] = MappingProxyType(
    {Cause.LATE: pb.DEGRADED_CAUSE_LATE, Cause.FAILED: pb.DEGRADED_CAUSE_UNAVAILABLE}
)


def frame(update: Update, query_id: str, person_ids: Iterable[str] = ()) -> pb.SearchScenesResponse:
    """Return a frame of the first page, without a token. What matched of a hit is told with DONE.

    Args:
        query_id: of the answer.
        person_ids: whom the filter names.
    """
    message = pb.SearchScenesResponse(
        kind=_FRAME_KINDS[update.kind], answered=[channel(name) for name in update.answered]
    )
    said = update.summary
    if said is None:
        put_hits(update.hits, frozenset(), message.hits.add)
        return message
    people = frozenset((*person_ids, *(who.person_id for who in said.people)))
    put_hits(update.hits, people, message.hits.add)
    put_hits(said.weak, people, message.weak_hits.add)
    message.summary.CopyFrom(
        summary(
            query_id=query_id,
            total_hits=said.total_hits,
            total_is_lower_bound=said.total_is_lower_bound,
            match_quality=said.match_quality,
            degraded=said.degraded,
            elapsed_ms=said.elapsed_ms,
            ranking=said.ranking,
            generation=said.generation,
        )
    )
    _put_first_page(said, message.summary)
    return message


def _put_first_page(said: Summary, message: pb.SearchSummary) -> None:
    """Write what only the first page says."""
    message.people.extend(scenes.person(who) for who in said.people)
    if said.parsed is not None:
        message.parsed.CopyFrom(_parsed(said.parsed))
        message.parsed.people.extend(message.people)
    for name, elapsed_ms in said.channel_ms.items():
        message.timings.add(channel=channel(name), elapsed=duration(elapsed_ms))
    for facet, counts in said.facets.items():
        counted = message.facets.add(facet=_FACET_VALUES[facet])
        for value, label, having in counts:
            counted.counts.add(value=value, label=label, count=having)


def _parsed(parsed: Parsed) -> pb.ParsedQuery:
    """Return how a query was understood, without people."""
    return pb.ParsedQuery(
        words=parsed.words,
        meaning=parsed.meaning,
        phrases=parsed.phrases,
        excluded=parsed.excluded,
        read_as=parsed.read_as,
    )


def summary(
    *,
    query_id: str,
    total_hits: int,
    total_is_lower_bound: bool,
    match_quality: MatchQuality,
    degraded: Iterable[Degraded],
    elapsed_ms: int,
    ranking: str,
    generation: int,
) -> pb.SearchSummary:
    """Return what the summary of every page says."""
    return pb.SearchSummary(
        query_id=query_id,
        total_hits=total_hits,
        total_is_lower_bound=total_is_lower_bound,
        match_quality=quality(match_quality),
        degraded=[pb.DegradedChannel(channel=channel(d.channel), cause=_CAUSES[d.cause]) for d in degraded],
        elapsed=duration(elapsed_ms),
        ranking=ranking,
        generation=generation,
    )


def put_hits(found: Iterable[Hit], people: Collection[str], add: Callable[..., pb.SceneHit]) -> None:
    """Add hits, each with its scene but for the spoken lines, which its runs hold, and what of it was asked for.

    Args:
        people: ids of those whom the query or the filter names.
        add: makes a hit in the message that they belong to: one that is made apart is copied in.
    """
    for hit in found:
        ranked = hit.ranked
        message = add(
            rank=hit.rank,
            score=ranked.score,
            confidence=ranked.confidence,
            match_quality=quality(ranked.match_quality),
        )
        scenes.put(hit.scene, message.scene)
        message.scene.ClearField("transcript")
        _put_contributions(ranked, message)
        _put_runs(hit.transcript, message)
        message.matched_tags.extend(message.scene.tags[tag] for tag in hit.tags)
        if people:
            there = (who for who in message.scene.people if who.person_id in people)
            message.matched_people.extend(sorted(there, key=lambda who: -who.confidence))


def _put_contributions(ranked: Ranked, message: pb.SceneHit) -> None:
    seen = False
    for name, similarity, weight, points, raw in ranked.contributions:
        part = message.contributions.add()
        part.channel = _CHANNEL_VALUES[name]
        part.similarity = similarity
        part.weight = weight
        part.points = points
        part.raw = raw
        seen = seen or (name is Channel.VISION and points > 0)
    if seen and ranked.view is not None:
        # None of a scene that was indexed before views had times.
        for offset in message.scene.view_offsets[ranked.view : ranked.view + 1]:
            message.best_frame_offset.CopyFrom(offset)


def _put_runs(transcript: Iterable[Run], message: pb.SceneHit) -> None:
    for text, highlighted, start_ms, end_ms in transcript:
        run = message.transcript.add(text=text, highlighted=highlighted)
        put_duration(start_ms, run.start_offset)
        put_duration(end_ms, run.end_offset)


def channel(name: Channel) -> pb.Channel.ValueType:
    """Return a channel's enum value: they have the same names."""
    return _CHANNEL_VALUES[name]


def quality(value: MatchQuality) -> pb.MatchQuality.ValueType:
    """Return a quality's enum value: they have the same names."""
    return _QUALITY_VALUES[value]
