"""Metrics: a ranked list and grades -> figures of one query; figures of many -> means with intervals. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

MEASURES = ("ndcg@10", "recall@10", "recall@100", "mrr")

_RESAMPLES = 1000
_SEED = 7
_EDGES = (2.5, 97.5)  # percentiles: a 95 % interval


def measures(ranked: Sequence[str], grades: Mapping[str, int]) -> Mapping[str, float]:
    """Return every one of ``MEASURES`` of a query, each in [0, 1].

    Args:
        ranked: scene ids, best first, each once.
        grades: scene id -> grade, >= 1; not empty.
    """
    return {
        "ndcg@10": ndcg(ranked, grades, 10),
        "recall@10": recall(ranked, grades, 10),
        "recall@100": recall(ranked, grades, 100),
        "mrr": reciprocal_rank(ranked, grades),
    }


def ndcg(ranked: Sequence[str], grades: Mapping[str, int], depth: int) -> float:
    """Return the discounted gain of the first ``depth`` by the highest there can be; linear gain, as trec_eval's."""
    gain = sum(grades.get(scene, 0) / math.log2(place + 2) for place, scene in enumerate(ranked[:depth]))
    best = sorted(grades.values(), reverse=True)[:depth]
    return gain / sum(grade / math.log2(place + 2) for place, grade in enumerate(best))


def recall(ranked: Sequence[str], grades: Mapping[str, int], depth: int) -> float:
    """Return the share of relevant scenes among the first ``depth``."""
    return sum(scene in grades for scene in ranked[:depth]) / len(grades)


def reciprocal_rank(ranked: Sequence[str], grades: Mapping[str, int]) -> float:
    """Return one by the place of the first relevant scene; 0 when there is none."""
    return next((1.0 / place for place, scene in enumerate(ranked, start=1) if scene in grades), 0.0)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean, by resampling queries; the same values give the same interval.

    Args:
        values: one a query, not empty.
    """
    sample = np.asarray(values, np.float64)
    drawn = np.random.default_rng(_SEED).integers(0, len(sample), (_RESAMPLES, len(sample)))
    low, high = np.percentile(sample[drawn].mean(axis=1), _EDGES)
    return float(low), float(high)
