"""Fuse: what the channels said -> one ranked list. Pure.

By score, not by rank: a clear winner of one channel keeps its margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from indexer.search.ranking import (
    Column,
    Ranking,
    base_weights,
    confidence,
    quality_of_hit,
    row_weights,
    similarity,
)
from indexer.search.types import Channel, Ranked

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
    rows = sorted(candidates(answers, condition))
    if not rows:
        return 0, ()
    raw = {channel: _column(answer, rows) for channel, answer in answers.items()}
    similar = _similarities(ranking, answers, condition, raw)
    weights = row_weights(ranking, _weights(ranking, answers), similar)
    # Rounded, so that sums of the same points in another order still tie.
    scores = np.round(sum((similar[channel] * weights[channel] for channel in answers), np.zeros(len(rows))), 9)
    sure = confidence(
        ranking,
        raw,
        _coverage(answers, rows, condition),
        people_named=condition.people_named,
        people_alone=condition.people_alone,
    )
    # Without points some list held a row for want of anything better.
    hits = np.flatnonzero((scores > 0) & (sure >= condition.min_confidence))
    best = hits[np.argsort(-scores[hits], kind="stable")][:limit]
    own = [_by_row(columns, tuple(answers), best) for columns in (similar, weights, raw)]
    ranked = zip(best.tolist(), scores[best].tolist(), sure[best].tolist(), *own, strict=True)
    return len(hits), tuple(
        Ranked(rows[row], score, certain, quality_of_hit(ranking, certain), tuple(answers), *measures)
        for row, score, certain, *measures in ranked
    )


def _column(answer: Answer, rows: Sequence[str]) -> Column:
    """Return a channel's measures of rows.

    A row that a list did not reach has at most the list's lowest: taking 0 would cost quality.
    """
    unreached = 0.0 if answer.exact else min(answer.raw.values(), default=0.0)
    return np.array([answer.raw.get(row, unreached) for row in rows], np.float64)


def _weights(ranking: Ranking, answers: Mapping[Channel, Answer]) -> Mapping[Channel, float]:
    weights = base_weights(ranking, answers.keys())
    return {channel: weights.get(channel, ranking.people) for channel in answers}


def _similarities(
    ranking: Ranking, answers: Mapping[Channel, Answer], condition: Condition, raw: Mapping[Channel, Column]
) -> Mapping[Channel, Column]:
    covered = 0.0
    if Channel.LEXICAL in answers:
        covered = 1.0 if condition.literal else max(answers[Channel.LEXICAL].coverage.values(), default=0.0)
    return {
        channel: similarity(ranking, channel, max(answer.raw.values(), default=0.0), covered)(raw[channel])
        for channel, answer in answers.items()
    }


def _by_row(
    columns: Mapping[Channel, Column], channels: Sequence[Channel], rows: npt.NDArray[np.intp]
) -> Sequence[tuple[float, ...]]:
    """Return the values of some rows, each in the order of ``channels``."""
    return list(zip(*(columns[channel][rows].tolist() for channel in channels), strict=True))


def presence(people: Mapping[str, float], groups: Sequence[Group]) -> float:
    """Return how much of the people asked for is in a scene: the mean over groups of the surest member, [0, 1]."""
    if not groups:
        return 0.0
    return sum(max((people.get(person, 0.0) for person in group), default=0.0) for group in groups) / len(groups)


def _any(people: Mapping[str, float], group: Group) -> bool:
    return any(person in people for person in group)


def _coverage(answers: Mapping[Channel, Answer], rows: Sequence[str], condition: Condition) -> Column:
    words = answers.get(Channel.LEXICAL, Answer(Channel.LEXICAL))
    if condition.literal:
        return np.array([row in words.raw for row in rows], np.float64)
    return np.array([words.coverage.get(row, 0.0) for row in rows], np.float64)
