"""Lists: what the channels answered to a query -> the list of each, and of each way of joining them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from indexer.search.fuse import Answer, Condition, candidates, fuse
from indexer.search.ranking import Ranking, quality_of_answer
from indexer.search.types import Channel, Fusion, Listing, MatchQuality

CHANNELS = (Channel.LEXICAL, Channel.DENSE, Channel.VISION, Channel.TAGS)
"""That are judged alone; people are a boost and no channel of their own."""

FUSED, RRF = "fused", "rrf"
NAMES = (*(channel.value for channel in CHANNELS), FUSED, RRF)

DEPTH = 100
"""Rows of a list, and rows that each channel is asked for."""


def lists(
    ranking: Ranking, answers: Mapping[Channel, Answer], condition: Condition
) -> tuple[Mapping[str, tuple[str, ...]], MatchQuality]:
    """Return row ids, best first, by each of ``NAMES``, and the quality of the whole answer.

    A list is what the product ranks before it decides what is no hit and that nothing matches: ranking and those
    decisions are judged apart.

    Args:
        answers: of the channels that were asked, with the cosines their lists did not reach.
    """
    allowed = candidates(answers, condition)
    by_channel = {channel: _best_first(answers[channel], allowed) for channel in CHANNELS if channel in answers}
    _, ranked = fuse(ranking, answers, condition, len(allowed), unsure=True)
    _, by_rank = fuse(_evenly(ranking), answers, condition, DEPTH, Listing(Fusion.RECIPROCAL_RANK), unsure=True)
    made = {channel.value: by_channel.get(channel, ())[:DEPTH] for channel in CHANNELS}
    made[FUSED] = tuple(row.row_id for row in ranked[:DEPTH])
    made[RRF] = tuple(row.row_id for row in by_rank)
    return made, quality_of_answer(ranking, max((row.confidence for row in ranked), default=0.0))


def _evenly(ranking: Ranking) -> Ranking:
    """Return the ranking with the same weight for every channel: reciprocal rank fusion as published has none."""
    return replace(ranking, text=0.5, lexical_share=0.5, vision=0.25, tags=0.25, people=0.25)


def _best_first(answer: Answer, allowed: frozenset[str]) -> tuple[str, ...]:
    found = [(-measure, row) for row, measure in answer.raw.items() if row in allowed]
    return tuple(row for _, row in sorted(found))
