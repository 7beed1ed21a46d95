"""Lists: what the channels answered to a query -> the list of each, and of each way of joining them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from indexer.search.fuse import Answer, Condition, candidates, fuse
from indexer.search.ranking import Ranking, quality_of_answer
from indexer.search.types import Channel, MatchQuality

CHANNELS = (Channel.LEXICAL, Channel.DENSE, Channel.VISION, Channel.TAGS)
"""That are judged alone; people are a boost and no channel of their own."""

FUSED, RRF = "fused", "rrf"
NAMES = (*(channel.value for channel in CHANNELS), FUSED, RRF)

DEPTH = 100
"""Rows of a list, and rows that each channel is asked for."""

_RRF_K = 60  # Source: Cormack et al. 2009


def lists(
    ranking: Ranking, answers: Mapping[Channel, Answer], condition: Condition
) -> tuple[Mapping[str, tuple[str, ...]], MatchQuality]:
    """Return row ids, best first, by each of ``NAMES``, and the quality of the whole answer.

    A list is what the product ranks before it decides that nothing matches: ranking and that decision are judged apart.

    Args:
        answers: of the channels that were asked, with the cosines their lists did not reach.
    """
    allowed = candidates(answers, condition)
    by_channel = {channel: _best_first(answers[channel], allowed) for channel in CHANNELS if channel in answers}
    people = [_best_first(answers[Channel.PEOPLE], allowed)] if Channel.PEOPLE in answers else []
    _, ranked = fuse(ranking, answers, condition, len(allowed))
    made = {channel.value: by_channel.get(channel, ())[:DEPTH] for channel in CHANNELS}
    made[FUSED] = tuple(row.row_id for row in ranked[:DEPTH])
    made[RRF] = _by_places([*by_channel.values(), *people])
    return made, quality_of_answer(ranking, max((row.confidence for row in ranked), default=0.0))


def _best_first(answer: Answer, allowed: frozenset[str]) -> tuple[str, ...]:
    found = [(-measure, row) for row, measure in answer.raw.items() if row in allowed]
    return tuple(row for _, row in sorted(found))


def _by_places(ranked: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return rows by reciprocal rank fusion."""
    scores: dict[str, float] = {}
    for rows in ranked:
        for place, row in enumerate(rows[:DEPTH], start=1):
            scores[row] = scores.get(row, 0.0) + 1.0 / (_RRF_K + place)
    return tuple(sorted(scores, key=lambda row: (-scores[row], row))[:DEPTH])
