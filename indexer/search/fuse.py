"""Fuse: what the channels said -> one ranked list. Pure.

By score, unless ranks are asked for: a clear winner of one channel keeps its margin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
import numpy.typing as npt

from contracts.ids import scene_of_row
from indexer.search.ranking import (
    Column,
    Ranking,
    base_weights,
    confidence,
    quality_of_hit,
    row_weights,
    similarity,
)
from indexer.search.types import Channel, Fusion, GroupBy, Listing, Ranked

_RANK_OFFSET = 60
"""k of reciprocal rank fusion. Source: Cormack et al. 2009."""

_WITHOUT_FLOOR = frozenset({Channel.LEXICAL, Channel.PEOPLE})
"""Channels in which the least that there is is evidence."""

BEST_FIRST = Listing()
"""Every scene, by score."""

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
        videos: row id -> video id; may be left out where the list is not grouped or limited by video.
        unlisted: rows of ``raw`` that the channel's own list did not reach and that were measured apart.
        cut: whether the list ended at its limit, so that the channel may know of more.
        having: of tags only: rows with every tag that must be there.
        narrows: of tags only: that is all, for the query has nothing to look for among tags; so they take no weight.
        views: of vectors only: row id -> which of the scene's vectors ``raw`` is of.
    """

    channel: Channel
    raw: Mapping[str, float] = field(default_factory=dict)
    exact: bool = True
    coverage: Mapping[str, float] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    videos: Mapping[str, str] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()
    cut: bool = False
    having: frozenset[str] = frozenset()
    narrows: bool = False
    views: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a row must have to be a hit, and what else the fusion needs to know of the query.

    Attributes:
        phrases: it must be in the answer of words, which holds only rows with every phrase.
        literal: the query is nothing but phrases, so a row that has them covers it.
        tags: it must be ``having`` in the answer of tags.
        groups: it must have one person of each.
        excluded: rows that have what must not be there.
        people_named: the query itself names people.
        people_alone: and nothing else.
        awaited: channels that count as if they knew of nothing while they have not answered.
        min_confidence: [0, 1].
    """

    phrases: bool = False
    literal: bool = False
    tags: bool = False
    groups: tuple[Group, ...] = ()
    excluded: frozenset[str] = frozenset()
    people_named: bool = False
    people_alone: bool = False
    awaited: frozenset[Channel] = frozenset()
    min_confidence: float = 0.0

    def needs(self) -> frozenset[Channel]:
        """Return the channels without which no row can be shown to be a hit."""
        needed = {Channel.LEXICAL: self.phrases, Channel.TAGS: self.tags, Channel.PEOPLE: bool(self.groups)}
        return frozenset(channel for channel, is_needed in needed.items() if is_needed)


def candidates(answers: Mapping[Channel, Answer], condition: Condition) -> frozenset[str]:
    """Return every row that some channel found and the condition allows."""
    rows = {row for answer in answers.values() for row in answer.raw}
    if condition.tags:
        rows = set(answers[Channel.TAGS].having)  # all of them: what no list holds has its cosines
    if condition.phrases:
        rows &= answers[Channel.LEXICAL].raw.keys()
    if condition.groups:
        present = answers[Channel.PEOPLE].people
        rows = {row for row in rows if all(_any(present.get(row, {}), group) for group in condition.groups)}
    return frozenset(rows) - condition.excluded


def fuse(
    ranking: Ranking,
    answers: Mapping[Channel, Answer],
    condition: Condition,
    limit: int,
    listing: Listing = BEST_FIRST,
    *,
    unsure: bool = False,
) -> tuple[int, tuple[Ranked, ...]]:
    """Return how many hits there are, and the first ``limit``, in the order of the listing; ties by video and row id.

    A row is a hit when some channel has evidence of it, whatever the channel weighs, and enough to be sure of anything.
    Of rows without a point the nearest in meaning comes first.

    Args:
        answers: of the channels that answered; must hold ``condition.needs()``.
        unsure: also rows without evidence or confidence.
    """
    videos = {row: video for answer in answers.values() for row, video in answer.videos.items()}
    rows = [row for _, row in sorted((videos.get(row, ""), row) for row in candidates(answers, condition))]
    if not rows:
        return 0, ()
    views = answers[Channel.VISION].views if Channel.VISION in answers else {}
    answers = counted(answers)
    raw, covered = evidence(answers, rows, condition)
    of_channels = _weights(ranking, answers)
    if listing.fusion is Fusion.RECIPROCAL_RANK:
        similar: Mapping[Channel, Column] = {
            channel: _by_rank(answer, rows, raw[channel]) for channel, answer in answers.items()
        }
        weights: Mapping[Channel, Column] = {
            channel: np.full(len(rows), weight) for channel, weight in of_channels.items()
        }
    else:
        similar = _similarities(ranking, answers, condition, raw)
        weights = row_weights(ranking, of_channels, similar)
    # Rounded, so that sums of the same points in another order still tie.
    scores = np.round(sum((similar[channel] * weights[channel] for channel in answers), np.zeros(len(rows))), 9)
    sure = _sure(ranking, raw, covered, condition)
    # Without evidence some list held a row for want of anything better.
    found_by = np.logical_or.reduce([column > 0 for column in similar.values()])
    hits = np.flatnonzero((found_by & (sure > 0) | unsure) & (sure >= condition.min_confidence))
    near = np.where(scores > 0, 0.0, raw.get(Channel.DENSE, 0.0))
    order = hits[np.lexsort((-near[hits], -scores[hits]))].tolist()
    listed = _listed(order, rows, videos, listing)
    best = np.array(listed[:limit], np.intp)
    channels = tuple(answers)
    own = (_by_row(columns, channels, best) for columns in (similar, weights, raw))
    found = [rows[row] for row in best.tolist()]
    qualities = [quality_of_hit(ranking, value) for value in sure[best].tolist()]
    columns = (
        found,
        scores[best].tolist(),
        sure[best].tolist(),
        qualities,
        repeat(channels),
        *own,
        map(views.get, found),
    )
    return len(listed), tuple(map(Ranked._make, zip(*columns, strict=False)))


def hides(
    ranking: Ranking,
    answers: Mapping[Channel, Answer],
    condition: Condition,
    fusion: Fusion = Fusion.CALIBRATED,
    *,
    measured_after: Collection[Channel] = (),
) -> bool:
    """Return whether there may be hits that no list has, since some list was cut.

    A row beyond every list has at most the lowest measure of each that was cut and nothing in the others, so it is no
    hit where all that together is no evidence, or less confidence than a hit must have. A row that some list has was
    counted there with no less than its own measures, but for words and tags beyond their lists, which count as nothing:
    so a cut list of words always hides, and one of tags where its lowest is evidence or makes anything sure. Weights
    are no part of this, for they make no row a hit.

    Args:
        measured_after: channels that looked at the rows of the other lists alone: a row beyond may have all of it.
    """
    cut = {channel for channel, answer in answers.items() if answer.cut}
    if not cut:
        return False
    if fusion is Fusion.RECIPROCAL_RANK or cut & (_WITHOUT_FLOOR | condition.needs()):
        return True
    most = {
        channel: np.array([1.0 if channel in measured_after else _most_beyond(answer)])
        for channel, answer in answers.items()
    }
    if Channel.TAGS in cut:
        scales = (ranking.tags_similarity, ranking.confidence.tags)
        if any(scale(most[Channel.TAGS]).any() for scale in scales):
            return True
    if condition.needs():
        return False  # every hit is in a list that is whole
    similar = _similarities(ranking, answers, condition, most)
    (sure,) = _sure(ranking, most, np.zeros(1), condition)
    is_evidence = any(column.any() for column in similar.values())
    return is_evidence and bool(sure > 0 and sure >= condition.min_confidence)


def counted(answers: Mapping[Channel, Answer]) -> Mapping[Channel, Answer]:
    """Return the answers that say how well rows answer the query."""
    return {channel: answer for channel, answer in answers.items() if not answer.narrows}


def _sure(ranking: Ranking, raw: Mapping[Channel, Column], covered: Column, condition: Condition) -> Column:
    """Return the confidence of rows."""
    silent = dict.fromkeys(condition.awaited, np.zeros_like(covered))
    named, alone = condition.people_named, condition.people_alone
    return confidence(ranking, {**silent, **raw}, covered, people_named=named, people_alone=alone)


def _most_beyond(answer: Answer) -> float:
    """Return the most that a row beyond a channel's own list can have; one without a vector has 0."""
    if not answer.cut:
        return 0.0
    listed = (measure for row, measure in answer.raw.items() if row not in answer.unlisted)
    return max(0.0, min(listed, default=np.inf))


def evidence(
    answers: Mapping[Channel, Answer], rows: Sequence[str], condition: Condition
) -> tuple[Mapping[Channel, Column], Column]:
    """Return each channel's measures of rows, and the share of the query's words that each row says, [0, 1]."""
    raw = {channel: _column(answer, rows) for channel, answer in answers.items()}
    return raw, _coverage(answers, rows, condition)


def _column(answer: Answer, rows: Sequence[str]) -> Column:
    """Return a channel's measures of rows.

    A row that a list did not reach has at most the list's lowest: taking 0 would cost quality.
    """
    unreached = 0.0 if answer.exact else min(answer.raw.values(), default=0.0)
    return np.fromiter(map(answer.raw.get, rows, repeat(unreached)), np.float64, len(rows))


def _listed(order: Sequence[int], rows: Sequence[str], videos: Mapping[str, str], listing: Listing) -> Sequence[int]:
    """Return the places of rows as the list has them; ``order`` is best first.

    A scene counts once for its video, though the stores may hold it in two revisions: SQL drops one when it is shown.
    """
    if not listing.max_scenes_per_video and listing.group_by is GroupBy.SCENE:
        return order
    most = listing.max_scenes_per_video or len(rows)
    scenes: defaultdict[str, set[str]] = defaultdict(set)
    kept: list[int] = []
    for place in order:
        row = rows[place]
        taken, scene = scenes[videos[row]], scene_of_row(row)
        if len(taken) < most or scene in taken:
            taken.add(scene)
            kept.append(place)
    if listing.group_by is GroupBy.SCENE:
        return kept
    first = {video: place for place, video in enumerate(scenes)}  # in the order of their best scenes
    return sorted(kept, key=lambda place: first[videos[rows[place]]])


def _weights(ranking: Ranking, answers: Mapping[Channel, Answer]) -> Mapping[Channel, float]:
    weights = base_weights(ranking, answers.keys())
    return {channel: weights.get(channel, ranking.people) for channel in answers}


def _by_rank(answer: Answer, rows: Sequence[str], raw: Column) -> Column:
    """Return the reciprocal ranks of rows in a channel's own list, 1 for the first; equal measures share a rank.

    A list is what the condition allows of it: what may not be shown takes no rank. A row beyond it has 0.
    """
    own = np.array([row in answer.raw and row not in answer.unlisted for row in rows])
    descending = np.sort(-raw[own])
    ranks = 1 + np.searchsorted(descending, -raw)
    return np.where(own, (_RANK_OFFSET + 1) / (_RANK_OFFSET + ranks), 0.0)


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
