"""Searches: what the searcher found -> frames and hits as messages. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from gateway import scenes
from gateway.videos import duration
from heimdex.scene.v1 import scene_pb2
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.parse import Parsed, stems
from indexer.search.types import Cause, Channel, Degraded, Facet, Hit, MatchQuality, Summary, Update

_CHANNEL_VALUES: Final = MappingProxyType({name: pb.Channel.Value(f"CHANNEL_{name.name}") for name in Channel})
_FACET_VALUES: Final = MappingProxyType({name: pb.Facet.Value(f"FACET_{name.name}") for name in Facet})
_QUALITY_VALUES: Final = MappingProxyType(
    {name: pb.MatchQuality.Value(f"MATCH_QUALITY_{name.name}") for name in MatchQuality}
)
_CAUSES: Final[Mapping[Cause, pb.DegradedCause.ValueType]] = MappingProxyType(
    {Cause.LATE: pb.DEGRADED_CAUSE_LATE, Cause.FAILED: pb.DEGRADED_CAUSE_UNAVAILABLE}
)
_TAG_NAMES: Final = 4096  # a profile knows some thousand


@dataclass(frozen=True, slots=True)
class Sought:
    """What tags and people of a hit must be to have been asked for.

    Attributes:
        words: of the query, each also without what may be its particle; case-folded, NFC.
        people: ids of those whom the query or the filter names.
    """

    words: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()


NOTHING: Final = Sought()


def sought(marking: str, people: Iterable[str]) -> Sought:
    """Return what was asked for: by ``Summary.marking``, and by ids of people."""
    return Sought(frozenset(stem for word in _words(marking) for stem in stems(word)), frozenset(people))


def frame(update: Update, query_id: str, person_ids: Iterable[str] = ()) -> pb.SearchScenesResponse:
    """Return a frame of the first page, without a token. What matched of a hit is told with DONE.

    Args:
        query_id: of the answer.
        person_ids: whom the filter names.
    """
    kind = pb.FrameKind.Value(f"FRAME_KIND_{update.kind.name}")
    answered = [channel(name) for name in update.answered]
    said = update.summary
    if said is None:
        return pb.SearchScenesResponse(kind=kind, hits=hits(update.hits), answered=answered)
    asked_for = sought(said.marking, (*person_ids, *(who.person_id for who in said.people)))
    message = pb.SearchScenesResponse(
        kind=kind,
        hits=hits(update.hits, asked_for),
        answered=answered,
        summary=summary(
            query_id=query_id,
            total_hits=said.total_hits,
            total_is_lower_bound=said.total_is_lower_bound,
            match_quality=said.match_quality,
            degraded=said.degraded,
            elapsed_ms=said.elapsed_ms,
            ranking=said.ranking,
            generation=said.generation,
        ),
        weak_hits=hits(said.weak, asked_for),
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


def hits(found: Iterable[Hit], asked_for: Sought = NOTHING) -> list[pb.SceneHit]:
    """Return hits, each with its scene but for the spoken lines, which its runs hold, and what of it was asked for."""
    return [_hit(hit, asked_for) for hit in found]


def _hit(hit: Hit, asked_for: Sought) -> pb.SceneHit:
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
    parts = ranked.contributions
    for part in parts:
        message.contributions.add(
            channel=channel(part.channel),
            similarity=part.similarity,
            weight=part.weight,
            points=part.points,
            raw=part.raw,
        )
    if ranked.view is not None and any(part.channel is Channel.VISION and part.points > 0 for part in parts):
        # None of a scene that was indexed before views had times.
        for offset in message.scene.view_offsets[ranked.view : ranked.view + 1]:
            message.best_frame_offset.CopyFrom(offset)
    for run in hit.transcript:
        message.transcript.add(
            text=run.text,
            highlighted=run.highlighted,
            start_offset=duration(run.start_ms),
            end_offset=duration(run.end_ms),
        )
    if asked_for.words:
        message.matched_tags.extend(tag for tag in message.scene.tags if _names(tag, asked_for.words))
    if asked_for.people:
        there = (who for who in message.scene.people if who.person_id in asked_for.people)
        message.matched_people.extend(sorted(there, key=lambda who: -who.confidence))
    return message


def _names(tag: scene_pb2.Tag, words: frozenset[str]) -> bool:
    """Return whether a tag has one of the words in a name; one without names in its id, as the text index has it."""
    return any(not words.isdisjoint(_words_of_name(name)) for name in tag.names or (tag.tag.replace("_", " "),))


@lru_cache(maxsize=_TAG_NAMES)
def _words_of_name(name: str) -> frozenset[str]:
    return _words(name)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", unicodedata.normalize("NFC", text).casefold()))


def channel(name: Channel) -> pb.Channel.ValueType:
    """Return a channel's enum value: they have the same names."""
    return _CHANNEL_VALUES[name]


def quality(value: MatchQuality) -> pb.MatchQuality.ValueType:
    """Return a quality's enum value: they have the same names."""
    return _QUALITY_VALUES[value]
