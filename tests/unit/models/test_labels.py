"""The label tables: whole, in the net's order, with names that people search by."""

from __future__ import annotations

import unicodedata

import pytest

from adapters.models.vision.labels import kinds, labels


def test_a_thousand_labels_with_names_in_both_languages() -> None:
    assert len(labels()) == 1000
    assert len({label.id for label in labels()}) == 1000
    for label in labels():
        assert label.id.isascii()
        assert label.korean
        assert label.english
        assert label.kinds
        assert all(name.strip() == name != "" and unicodedata.is_normalized("NFC", name) for name in label.names)
        assert any("가" <= letter <= "힣" for letter in "".join(label.korean))


@pytest.mark.parametrize(
    ("index", "identifier"),
    [
        (0, "tench"),
        (1, "goldfish"),
        (134, "crane_bird"),
        (151, "chihuahua"),
        (281, "tabby_cat"),
        (285, "egyptian_cat"),
        (340, "zebra"),
        (409, "analog_clock"),
        (517, "crane_machine"),
        (620, "laptop"),
        (638, "maillot_tights"),
        (639, "maillot_swimsuit"),
        (751, "racer"),
        (817, "sports_car"),
        (872, "tripod"),
        (963, "pizza"),
        (967, "espresso"),
        (980, "volcano"),
        (999, "toilet_tissue"),
    ],
)
def test_order_is_that_of_imagenet(index: int, identifier: str) -> None:
    assert labels()[index].id == identifier


def test_kinds_lead_up_without_circles() -> None:
    for kind in kinds().values():
        assert kind.id not in kind.parents
        assert set(kind.parents) <= set(kinds())
    assert kinds()["cat"].parents == ("animal",)
    assert kinds()["big_cat"].parents == ("wild_animal", "animal")
    assert labels()[292].kinds == ("big_cat", "wild_animal", "animal")


def test_every_kind_has_labels_beneath() -> None:
    used = {kind for label in labels() for kind in label.kinds}
    assert set(kinds()) == used


@pytest.mark.parametrize(
    ("word", "least"), [("고양이", 5), ("강아지", 100), ("커피", 3), ("자동차", 10), ("기타", 2), ("바다", 5)]
)
def test_everyday_words_reach_labels(word: str, least: int) -> None:
    named = {kind.id for kind in kinds().values() if word in kind.korean}
    assert sum(bool(named & set(label.kinds)) or word in label.korean for label in labels()) >= least
