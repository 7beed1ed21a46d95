"""Figures of queries -> a report; two reports -> what changed."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from indexer.evaluation.lists import FUSED, NAMES
from indexer.evaluation.metrics import MEASURES
from indexer.evaluation.report import ALL, Judged, compare, report


def figures(value: float) -> Mapping[str, Mapping[str, float]]:
    return {name: dict.fromkeys(MEASURES, value) for name in NAMES}


def judged(number: int, value: float, *, category: str = "exact", none: bool = False) -> Judged:
    return Judged(f"q{number}", category, figures(value), none)


NOTHING = [Judged("n1", "nothing", {}, none=True), Judged("n2", "nothing", {}, none=False)]


def test_means_are_over_queries_that_have_an_answer() -> None:
    made = report({"collection": "own"}, [judged(1, 1.0), judged(2, 0.5, category="name", none=True), *NOTHING])
    assert made["collection"] == "own"
    assert made["channels"][FUSED]["ndcg@10"] == 0.75
    assert set(made["channels"][FUSED]) == {*MEASURES, "ndcg@10_interval"}
    assert {name: of_it["queries"] for name, of_it in made["categories"].items()} == {"exact": 1, "name": 1}
    assert made["categories"]["name"]["channels"]["dense"]["mrr"] == 0.5
    assert made["categories"]["name"]["lost_rate"] == 1.0
    assert made["nothing_matches"] == {"unanswerable": 2, "none_rate": 0.5, "answerable": 2, "lost_rate": 0.5}
    assert made["queries"]["n1"] == {"category": "nothing", "none": True}
    assert json.loads(json.dumps(made)) == made


def test_a_folder_without_categories_or_without_empty_queries_has_none() -> None:
    made = report({}, [judged(1, 1.0, category="")])
    assert made["categories"] == {}
    assert made["nothing_matches"]["none_rate"] is None
    assert report({}, NOTHING)["channels"] == {}


def test_a_change_is_certain_when_its_interval_leaves_out_nothing() -> None:
    before = report({}, [judged(n, 0.2 + n / 100) for n in range(20)])
    better = report({}, [judged(n, 0.5 + n / 100) for n in range(20)])
    mixed = report({}, [judged(n, 0.2 + n / 100 + (0.2 if n % 2 else -0.2)) for n in range(20)])
    fused = {change.channel: change for change in compare(before, better) if change.category == ALL}[FUSED]
    assert fused.queries == 20
    assert fused.after - fused.before == pytest.approx(0.3)
    assert fused.certain
    assert fused.low == pytest.approx(0.3)
    assert not any(change.certain for change in compare(before, mixed))
    assert [(c.channel, c.category) for c in compare(before, better)][-1] == (FUSED, "exact")


def test_without_categories_nothing_is_compared_by_them() -> None:
    plain = report({}, [judged(1, 1.0, category="")])
    assert {change.category for change in compare(plain, plain)} == {ALL}


def test_only_queries_of_both_runs_are_compared() -> None:
    before = report({}, [judged(1, 1.0), judged(2, 0.0)])
    after = report({}, [judged(2, 0.0), judged(3, 1.0)])
    assert {change.queries for change in compare(before, after)} == {1}
    with pytest.raises(ValueError, match="in common"):
        compare(before, report({}, [judged(9, 1.0)]))
    with pytest.raises(ValueError, match="no report"):
        compare({}, after)
