"""The project's own scene set keeps its rules."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from adapters.models.affect.tags import NAMES
from adapters.models.vision.labels import labels
from indexer.evaluation.folder import NOTHING, read

SCENES = read(Path(__file__).resolve().parents[2] / "eval" / "scenes")


def test_it_is_large_enough_in_every_category() -> None:
    assert len(SCENES.scenes) >= 300
    sizes = Counter(query.category for query in SCENES.queries)
    assert sum(sizes.values()) >= 200
    assert len(sizes) == 16
    assert min(sizes.values()) >= 15


def test_ids_texts_and_queries_are_there_once() -> None:
    for values in (
        [scene.id for scene in SCENES.scenes],
        [scene.text for scene in SCENES.scenes if scene.text],
        [query.id for query in SCENES.queries],
        [query.text for query in SCENES.queries],
    ):
        assert len(set(values)) == len(values)


def test_what_nothing_answers_has_no_judgement_and_all_else_has() -> None:
    for query in SCENES.queries:
        assert (query.category == NOTHING) == (query.id not in SCENES.judgements), query


def test_grades_are_one_and_two() -> None:
    assert {grade for grades in SCENES.judgements.values() for grade in grades.values()} == {1, 2}


def test_what_is_seen_is_what_the_models_know() -> None:
    known = {label.id for label in labels()}
    for scene in SCENES.scenes:
        assert set(scene.labels) <= known, scene.id
        assert 0.0 <= sum(scene.labels.values()) <= 1.0, scene.id
        assert set(scene.affect) <= set(NAMES), scene.id
        assert scene.text or scene.labels or scene.affect, scene.id
