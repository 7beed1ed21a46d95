"""Recall: what is kept of whom, how long, and how much."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.vectors._recall import Recall

VECTOR = np.ones(1000, np.float32) / np.float32(1000**0.5)  # 4,000 bytes


def missing(recall: Recall, collection: str, tenant: str, rows: list[str], now_s: float) -> list[str]:
    return recall.cosines(collection, tenant, rows, VECTOR, now_s)[1]


def test_what_was_kept_is_not_asked_for_again() -> None:
    recall = Recall()
    recall.keep("c", "acme", {"a:1": {0: VECTOR}, "c:1": {0: -VECTOR}}, 10.0)
    found, others = recall.cosines("c", "acme", ["a:1", "b:1", "c:1", "b:1", "a:1"], VECTOR, 20.0)
    assert {row: near.cosine for row, near in found.items()} == pytest.approx({"a:1": 1.0, "c:1": -1.0}, abs=1e-5)
    assert others == ["b:1"]


def test_tenants_and_collections_are_apart() -> None:
    recall = Recall()
    recall.keep("c", "acme", {"a:1": {0: VECTOR}}, 10.0)
    assert recall.cosines("c", "other", ["a:1"], VECTOR, 10.0) == ({}, ["a:1"])
    assert recall.cosines("d", "acme", ["a:1"], VECTOR, 10.0) == ({}, ["a:1"])


def test_it_forgets_in_time_and_when_told() -> None:
    recall = Recall()
    recall.keep("c", "acme", {"a:1": {0: VECTOR}}, 10.0)
    assert missing(recall, "c", "acme", ["a:1"], 310.0) == []
    assert missing(recall, "c", "acme", ["a:1"], 310.1) == ["a:1"]
    recall.keep("c", "acme", {"a:1": {0: VECTOR}}, 400.0)
    recall.forget()
    assert missing(recall, "c", "acme", ["a:1"], 400.0) == ["a:1"]


def test_the_oldest_goes_first() -> None:
    recall = Recall()
    room = (64 << 20) // VECTOR.nbytes
    rows = [f"row{n}:1" for n in range(room)]
    recall.keep("c", "acme", {row: {0: VECTOR} for row in rows}, 0.0)
    recall.keep("c", "acme", {rows[5]: {0: VECTOR}}, 0.0)  # again: it takes no more room
    assert missing(recall, "c", "acme", rows, 0.0) == []
    recall.keep("c", "acme", {"one more:1": {0: VECTOR}, "and another:1": {0: VECTOR}}, 0.0)
    assert missing(recall, "c", "acme", rows, 0.0) == rows[:2]


def test_the_best_of_a_scene_s_views_is_its_nearness_whichever_that_is() -> None:
    recall, half = Recall(), np.append(np.float32(1), np.zeros(999, np.float32))
    recall.keep("c", "acme", {"a:1": {0: -VECTOR, 1: VECTOR, 2: half}, "b:1": {2: -VECTOR}, "c:1": {0: half}}, 0.0)
    found, others = recall.cosines("c", "acme", ["c:1", "a:1", "b:1"], VECTOR, 0.0)
    assert others == []
    assert {row: near.view for row, near in found.items()} == {"c:1": 0, "a:1": 1, "b:1": 2}
    assert [near.cosine for near in found.values()] == pytest.approx([1000**-0.5, 1.0, -1.0], abs=1e-5)


def test_a_scene_goes_with_all_of_its_views() -> None:
    recall = Recall()
    room = (64 << 20) // VECTOR.nbytes
    rows = [f"row{n}:1" for n in range(room - 3)]
    recall.keep("c", "acme", {"long:1": {0: -VECTOR, 1: -VECTOR, 2: VECTOR}}, 0.0)
    recall.keep("c", "acme", {row: {0: VECTOR} for row in rows}, 0.0)
    assert missing(recall, "c", "acme", ["long:1", *rows], 0.0) == []
    recall.keep("c", "acme", {"one more:1": {0: VECTOR}}, 0.0)
    assert missing(recall, "c", "acme", ["long:1", *rows], 0.0) == ["long:1"], "its two others would say another best"
    recall.keep("c", "acme", {"two:1": {0: VECTOR}, "three:1": {0: VECTOR}}, 0.0)
    assert missing(recall, "c", "acme", rows, 0.0) == [], "the places of the two others are free"
