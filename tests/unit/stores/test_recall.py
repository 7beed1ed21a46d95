"""Recall: what is kept of whom, how long, and how much."""

from __future__ import annotations

import numpy as np

from adapters.vectors._recall import Recall

VECTOR = np.ones(1000, np.float32)  # 4,000 bytes


def test_what_was_kept_is_not_asked_for_again() -> None:
    recall = Recall()
    recall.keep("c", "acme", {"a:1": VECTOR}, 10.0)
    found, missing = recall.look_up("c", "acme", ["a:1", "b:1", "b:1", "a:1"], 20.0)
    assert list(found) == ["a:1"]
    assert missing == ["b:1"]


def test_tenants_and_collections_are_apart() -> None:
    recall = Recall()
    recall.keep("c", "acme", {"a:1": VECTOR}, 10.0)
    assert recall.look_up("c", "other", ["a:1"], 10.0) == ({}, ["a:1"])
    assert recall.look_up("d", "acme", ["a:1"], 10.0) == ({}, ["a:1"])


def test_it_forgets_in_time_and_when_told() -> None:
    recall = Recall()
    recall.keep("c", "acme", {"a:1": VECTOR}, 10.0)
    assert recall.look_up("c", "acme", ["a:1"], 310.0)[1] == []
    assert recall.look_up("c", "acme", ["a:1"], 310.1)[1] == ["a:1"]
    recall.keep("c", "acme", {"a:1": VECTOR}, 400.0)
    recall.forget()
    assert recall.look_up("c", "acme", ["a:1"], 400.0)[1] == ["a:1"]


def test_the_least_lately_used_goes_first() -> None:
    recall = Recall()
    room = (64 << 20) // VECTOR.nbytes
    rows = [f"row{n}:1" for n in range(room)]
    recall.keep("c", "acme", dict.fromkeys(rows, VECTOR), 0.0)
    recall.keep("c", "acme", {rows[5]: VECTOR}, 0.0)  # again: it takes no more room
    assert recall.look_up("c", "acme", rows[:2], 0.0)[1] == []
    recall.keep("c", "acme", {"one more:1": VECTOR, "and another:1": VECTOR}, 0.0)
    assert recall.look_up("c", "acme", rows, 0.0)[1] == rows[2:4]
