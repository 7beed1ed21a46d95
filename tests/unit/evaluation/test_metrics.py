"""Ranked lists and grades -> figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.evaluation.metrics import MEASURES, interval, measures, ndcg, recall, reciprocal_rank


def test_ndcg_is_that_of_trec_eval() -> None:
    grades = {"a": 2, "b": 1}
    assert ndcg(["a", "b"], grades, 10) == 1.0
    swapped = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))
    assert ndcg(["b", "a"], grades, 10) == pytest.approx(swapped)
    assert ndcg(["x", "a"], {"a": 1}, 10) == pytest.approx(1 / math.log2(3))


def test_ndcg_looks_no_deeper_than_asked() -> None:
    ranked = [f"x{n}" for n in range(10)] + ["a"]
    assert ndcg(ranked, {"a": 1}, 10) == 0.0
    assert ndcg(ranked, {"a": 1}, 11) > 0.0
    many = {f"r{n}": 1 for n in range(30)}
    assert ndcg(sorted(many), many, 10) == pytest.approx(1.0), "ten right ones of thirty fill ten places"


def test_recall_is_a_share_of_all_that_is_relevant() -> None:
    assert recall(["a", "x", "b"], {"a": 1, "b": 2, "c": 1, "d": 1}, 10) == 0.5
    assert recall(["x", "a"], {"a": 1}, 1) == 0.0


def test_reciprocal_rank_is_of_the_first() -> None:
    assert reciprocal_rank(["x", "y", "b", "a"], {"a": 2, "b": 1}) == pytest.approx(1 / 3)
    assert reciprocal_rank([], {"a": 1}) == 0.0


@given(
    ranked=st.lists(st.sampled_from("abcdefghij"), unique=True),
    grades=st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 3), min_size=1),
)
def test_every_measure_is_a_share(ranked: list[str], grades: dict[str, int]) -> None:
    found = measures(ranked, grades)
    assert tuple(found) == MEASURES
    assert all(0.0 <= value <= 1.0 + 1e-9 for value in found.values())
    assert found["recall@10"] <= found["recall@100"]


def test_an_interval_holds_the_mean_and_narrows_with_more_queries() -> None:
    few, many = [0.0, 1.0] * 10, [0.0, 1.0] * 400
    low, high = interval(few)
    assert low < 0.5 < high
    narrow_low, narrow_high = interval(many)
    assert narrow_high - narrow_low < (high - low) / 3
    assert interval(few) == interval(few)
    assert interval([0.7]) == (0.7, 0.7)
