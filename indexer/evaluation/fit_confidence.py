"""Fit of confidence: what the channels said to queries with and without an answer -> the scales of confidence. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.search.fuse import Answer, Condition, candidates, evidence
from indexer.search.ranking import Column, Confidence, Ramp, Ranking, confidence
from indexer.search.types import Channel

LEAST_QUERIES = 20
"""Of each kind; with fewer the two shares below are not seen."""

MAY_LOSE = 0.05
"""Share of the queries that have an answer for which the answer may be NONE."""

MUST_REFUSE = 0.9
"""Share of the queries without an answer for which it must be."""

_AS_WIDE = 0.002
"""Spans that differ by less are as wide: they begin and end at single queries."""

# Where the scales are looked for.
_DENSE_FLOORS = (0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18)
_DENSE_TOPS = (0.45, 0.48, 0.5, 0.52)
_MEANING_ALONE = (0.65, 0.7, 0.75)
_VISION_FLOORS = (0.4, 0.42, 0.45)
_WORDS_SHARES = (0.5, 0.55, 0.6, 0.65, 0.7)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of every scene that may answer a query.

    Attributes:
        answerable: whether some scene does.
        raw: each channel's measures, (n,).
        coverage: share of the query's words that each scene says, [0, 1], (n,).
        people_named, people_alone: as ``Condition``.
    """

    answerable: bool
    raw: Mapping[Channel, Column]
    coverage: Column
    people_named: bool
    people_alone: bool


@dataclass(frozen=True, slots=True)
class FittedConfidence:
    """Scales, and what they make of the queries that they were fitted on.

    Attributes:
        low, high: between them every ``none_below`` keeps both limits; when ``low`` is above ``high``, none does.
        answerable, unanswerable: queries.
        lost: share of the answerable that find nothing, [0, 1].
        none: share of the others that do, [0, 1].
    """

    scale: Confidence
    low: float
    high: float
    answerable: int
    unanswerable: int
    lost: float
    none: float


def asked(answers: Mapping[Channel, Answer], condition: Condition, *, answerable: bool) -> Asked:
    """Return what the channels said to a query, with the cosines that their lists did not reach."""
    rows = sorted(candidates(answers, condition))
    raw, coverage = evidence(answers, rows, condition)
    return Asked(answerable, raw, coverage, condition.people_named, condition.people_alone)


def fit_confidence(ranking: Ranking, queries: Sequence[Asked]) -> FittedConfidence | None:
    """Return the scales with the widest span of ``none_below`` that keeps ``MAY_LOSE`` and ``MUST_REFUSE``; of those
    as wide the nearest to the ranking's own, so that a fit changes nothing without need. None with fewer than
    ``LEAST_QUERIES`` of either kind.

    ``vision.top``, ``tags``, ``people_share`` and ``supported_from`` stay the ranking's own.
    """
    answerable = np.array([one.answerable for one in queries], np.bool_)
    if min(answerable.sum(), (~answerable).sum()) < LEAST_QUERIES:
        return None
    spans = []
    for scale in _scales(ranking.confidence):
        best = _best(replace(ranking, confidence=scale), queries)
        spans.append((scale, *_span(best[answerable], best[~answerable])))
    widest = max(high - low for _, low, high in spans)
    as_wide = [found for found in spans if found[2] - found[1] > widest - _AS_WIDE]
    scale, low, high = min(as_wide, key=lambda found: _distance(found[0], ranking.confidence))
    scale = replace(scale, none_below=round((low + high) / 2, 3))
    none = _best(replace(ranking, confidence=scale), queries) < scale.none_below
    return FittedConfidence(
        scale,
        round(low, 4),
        round(high, 4),
        answerable=int(answerable.sum()),
        unanswerable=int((~answerable).sum()),
        lost=round(float(none[answerable].mean()), 3),
        none=round(float(none[~answerable].mean()), 3),
    )


def _scales(own: Confidence) -> list[Confidence]:
    settings = itertools.product(_DENSE_FLOORS, _DENSE_TOPS, _MEANING_ALONE, _VISION_FLOORS, _WORDS_SHARES)
    return [
        replace(
            own,
            dense=Ramp(dense_floor, dense_top),
            meaning_alone=meaning_alone,
            vision=Ramp(vision_floor, own.vision.top),
            words_share=words_share,
        )
        for dense_floor, dense_top, meaning_alone, vision_floor, words_share in settings
    ]


def _best(ranking: Ranking, queries: Sequence[Asked]) -> Column:
    """Return the highest confidence of each query; 0 where no scene may answer it."""
    highest = [
        confidence(ranking, one.raw, one.coverage, people_named=one.people_named, people_alone=one.people_alone).max(
            initial=0.0
        )
        for one in queries
    ]
    return np.array(highest, np.float64)


def _span(answered: Column, unanswered: Column) -> tuple[float, float]:
    """Return above what ``none_below`` refuses enough, and up to where it loses few enough."""
    most_lost = int(MAY_LOSE * len(answered))
    least_refused = math.ceil(MUST_REFUSE * len(unanswered))
    return float(np.sort(unanswered)[least_refused - 1]), float(np.sort(answered)[most_lost])


def _distance(one: Confidence, other: Confidence) -> float:
    return sum(abs(a - b) for a, b in zip(_numbers(one), _numbers(other), strict=True))


def _numbers(scale: Confidence) -> tuple[float, ...]:
    return (scale.dense.floor, scale.dense.top, scale.vision.floor, scale.meaning_alone, scale.words_share)
