"""Fuse: what the channels said -> one ranked list. Pure.

By score, not by rank: a clear winner of one channel keeps its margin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from indexer.search.ranking import (
    Ranking,
    base_weights,
    confidence,
    quality_of_hit,
    row_weights,
    similarity,
)
from indexer.search.types import Channel, Contribution, Ranked

Group = tuple[str, ...]
"""Person ids of which any will do: everybody who bears one name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one channel said.

    Attributes:
        raw: the channel's own measure by row id; of people their confidence by ``people``.
        exact: whether a row that is not in ``raw`` has nothing in this channel, rather than a place further down.
        coverage: of words only: share of the query's words, by idf, that the row holds, [0, 1].
        people: of people only: row id -> {person id: confidence}.
    """

    channel: Channel
    raw: Mapping[str, float] = field(default_factory=dict)
    exact: bool = True
    coverage: Mapping[str, float] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a row must have to be a hit, and what else the fusion needs to know of the query.

    Attributes:
        phrases: it must be in the answer of words, which holds only rows with every phrase.
        literal: the query is nothing but phrases, so a row that has them covers it.
        groups: it must have one person of each.
        people_named: the query itself names people.
        people_alone: and nothing else.
        min_confidence: [0, 1].
    """

    phrases: bool = False
    literal: bool = False
    groups: tuple[Group, ...] = ()
    people_named: bool = False
    people_alone: bool = False
    min_confidence: float = 0.0

    def needs(self) -> frozenset[Channel]:
        """Return the channels without which no row can be shown to be a hit."""
        words = {Channel.LEXICAL} if self.phrases else set()
        return frozenset(words | ({Channel.PEOPLE} if self.groups else set()))


def candidates(answers: Mapping[Channel, Answer], condition: Condition) -> frozenset[str]:
    """Return every row that some channel found and the condition allows."""
    rows = {row for answer in answers.values() for row in answer.raw}
    if condition.phrases:
        rows &= answers[Channel.LEXICAL].raw.keys()
    if condition.groups:
        present = answers[Channel.PEOPLE].people
        rows = {row for row in rows if all(_any(present.get(row, {}), group) for group in condition.groups)}
    return frozenset(rows)


def fuse(
    ranking: Ranking, answers: Mapping[Channel, Answer], condition: Condition, limit: int
) -> tuple[int, tuple[Ranked, ...]]:
    """Return how many hits there are, and the first ``limit``, best first; ties by row id.

    Args:
        answers: of the channels that answered; must hold ``condition.needs()``.
    """
    columns = _columns(ranking, answers, condition)
    scored = []
    for row in candidates(answers, condition):
        raw = {column.channel: column.raw.get(row, column.unreached) for column in columns}
        sure = confidence(
            ranking,
            raw,
            _coverage(answers, row, condition),
            people_named=condition.people_named,
            people_alone=condition.people_alone,
        )
        if sure >= condition.min_confidence:
            parts = _contributions(ranking, columns, raw)
            # Rounded, so that sums of the same points in another order still tie.
            score = round(sum([part.points for part in parts]), 9)
            if score > 0:  # else some list held it for want of anything better
                scored.append((-score, row, sure, parts))
    scored.sort(key=itemgetter(0, 1))
    return len(scored), tuple(
        Ranked(row, -negative, sure, quality_of_hit(ranking, sure), tuple(sorted(parts, key=lambda p: -p.points)))
        for negative, row, sure, parts in scored[:limit]
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """One channel's part of every score.

    A row that a list did not reach has at most the list's lowest, ``unreached``: taking 0 would cost quality.
    """

    channel: Channel
    weight: float
    raw: Mapping[str, float]
    unreached: float
    similarity: Callable[[float], float]


def _columns(ranking: Ranking, answers: Mapping[Channel, Answer], condition: Condition) -> list[_Column]:
    weights = base_weights(ranking, answers.keys())
    covered = 0.0
    if Channel.LEXICAL in answers:
        covered = 1.0 if condition.literal else max(answers[Channel.LEXICAL].coverage.values(), default=0.0)
    return [
        _Column(
            channel,
            weights.get(channel, ranking.people),
            answer.raw,
            0.0 if answer.exact else min(answer.raw.values(), default=0.0),
            similarity(ranking, channel, max(answer.raw.values(), default=0.0), covered),
        )
        for channel, answer in answers.items()
    ]


def _contributions(ranking: Ranking, columns: Sequence[_Column], raw: Mapping[Channel, float]) -> list[Contribution]:
    similar = {column.channel: column.similarity(raw[column.channel]) for column in columns}
    weights = row_weights(ranking, {column.channel: column.weight for column in columns}, similar)
    return [
        Contribution(channel, similar[channel], weight, similar[channel] * weight, raw[channel])
        for channel, weight in weights.items()
    ]


def presence(people: Mapping[str, float], groups: Sequence[Group]) -> float:
    """Return how much of the people asked for is in a scene: the mean over groups of the surest member, [0, 1]."""
    if not groups:
        return 0.0
    return sum(max((people.get(person, 0.0) for person in group), default=0.0) for group in groups) / len(groups)


def _any(people: Mapping[str, float], group: Group) -> bool:
    return any(person in people for person in group)


def _coverage(answers: Mapping[Channel, Answer], row: str, condition: Condition) -> float:
    words = answers.get(Channel.LEXICAL)
    if words is None:
        return 0.0
    return 1.0 if condition.literal and row in words.raw else words.coverage.get(row, 0.0)
