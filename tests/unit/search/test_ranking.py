"""Raw measures -> similarities, weights and confidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from indexer.search import ranking
from indexer.search.ranking import (
    Ramp,
    base_weights,
    from_mapping,
    load,
    quality_of_answer,
    quality_of_hit,
    row_weights,
)
from indexer.search.types import Channel, MatchQuality

SMALL = load("small-v1")
ALL = (Channel.LEXICAL, Channel.DENSE, Channel.VISION, Channel.TAGS)


def similarity(channel: Channel, best: float, covered: float, raw: float) -> float:
    return float(ranking.similarity(SMALL, channel, best, covered)(np.array([raw]))[0])


def weights_of(weights: Mapping[Channel, float], said: Mapping[Channel, float]) -> Mapping[Channel, float]:
    columns = {channel: np.array([similar]) for channel, similar in said.items()}
    return {channel: column[0] for channel, column in row_weights(SMALL, weights, columns).items()}


def confidence(raw: Mapping[Channel, float], covered: float, **named: bool) -> float:
    columns = {channel: np.array([value]) for channel, value in raw.items()}
    return float(ranking.confidence(SMALL, columns, np.array([covered]), **named)[0])


def test_weights_are_the_products_formula() -> None:
    assert base_weights(SMALL, ALL) == pytest.approx(
        {Channel.LEXICAL: 0.25, Channel.DENSE: 0.25, Channel.VISION: 0.35, Channel.TAGS: 0.15}
    )
    assert SMALL.people == 0.3


def test_words_or_meaning_alone_carry_all_of_text() -> None:
    without_dense = base_weights(SMALL, (Channel.LEXICAL, Channel.TAGS, Channel.VISION))
    assert without_dense[Channel.LEXICAL] == pytest.approx(0.5)
    without_words = base_weights(SMALL, (Channel.DENSE, Channel.VISION))
    assert without_words == pytest.approx({Channel.DENSE: 0.5 / 0.85, Channel.VISION: 0.35 / 0.85})
    assert base_weights(SMALL, ()) == {}


@pytest.mark.parametrize("missing", ALL)
def test_weights_of_those_that_answered_sum_to_one(missing: Channel) -> None:
    assert sum(base_weights(SMALL, set(ALL) - {missing}).values()) == pytest.approx(1.0)


def test_similarities_are_on_the_scale_of_the_channel() -> None:
    assert similarity(Channel.LEXICAL, 12.0, 1.0, 6.0) == 0.5
    assert similarity(Channel.LEXICAL, 0.0, 0.0, 0.0) == 0.0
    assert similarity(Channel.DENSE, 0.9, 1.0, 0.29) == pytest.approx(0.5)
    assert similarity(Channel.VISION, 0.9, 1.0, 0.19) == 0.0
    assert similarity(Channel.VISION, 0.9, 1.0, 0.9) == 1.0
    assert similarity(Channel.TAGS, 0.5, 1.0, 0.7) == pytest.approx(0.5)
    assert similarity(Channel.PEOPLE, 0.5, 1.0, 0.7) == 0.7


def test_the_best_of_stray_words_is_worth_little() -> None:
    assert similarity(Channel.LEXICAL, 4.0, 0.35, 4.0) == pytest.approx(0.1)
    assert similarity(Channel.LEXICAL, 4.0, 0.35, 2.0) == pytest.approx(0.05)
    assert similarity(Channel.LEXICAL, 4.0, 0.2, 4.0) == 0.0
    assert similarity(Channel.LEXICAL, 4.0, 0.8, 4.0) == 1.0


def test_meaning_carries_the_text_of_a_row_whose_words_are_others() -> None:
    weights = base_weights(SMALL, ALL)
    said = {Channel.LEXICAL: 1.0, Channel.DENSE: 0.9, Channel.VISION: 0.0, Channel.TAGS: 0.0}
    assert weights_of(weights, said) == weights
    foreign = weights_of(weights, said | {Channel.LEXICAL: 0.0})
    assert foreign == pytest.approx({**weights, Channel.LEXICAL: 0.0, Channel.DENSE: 0.8 * 0.5})
    assert sum(foreign.values()) <= sum(weights.values())
    alone = base_weights(SMALL, (Channel.DENSE, Channel.VISION))
    assert weights_of(alone, said) == alone


def test_confidence_is_words_and_meaning_together_or_sight_or_a_tag() -> None:
    raw = {Channel.LEXICAL: 9.0, Channel.DENSE: 0.305, Channel.VISION: 0.1, Channel.TAGS: 0.0}
    assert confidence(raw, 1.0) == pytest.approx(0.55 + 0.45 * 0.5)
    assert confidence(raw | {Channel.VISION: 0.7}, 0.0) == 1.0
    assert confidence({Channel.DENSE: 0.305}, 0.0) == pytest.approx(0.5)
    assert confidence({Channel.LEXICAL: 9.0}, 0.6) == pytest.approx(0.6)


def test_confidence_in_another_language_is_that_of_meaning_alone() -> None:
    raw = {Channel.LEXICAL: 0.0, Channel.DENSE: 0.3775, Channel.VISION: 0.1, Channel.TAGS: 0.0}
    assert confidence(raw, 0.0) == pytest.approx(0.7 * 0.75)
    assert quality_of_hit(SMALL, confidence(raw, 0.0)) is MatchQuality.SUPPORTED
    assert confidence(raw, 1.0) == pytest.approx(0.55 + 0.45 * 0.75)


def test_confidence_does_not_depend_on_the_best_of_the_query() -> None:
    weak = {Channel.LEXICAL: 0.1, Channel.DENSE: 0.2}
    strong = {Channel.LEXICAL: 50.0, Channel.DENSE: 0.2}
    assert confidence(weak, 0.2) == confidence(strong, 0.2)


def test_people_are_a_part_of_the_confidence_when_named_beside_something() -> None:
    crying, there = {Channel.TAGS: 1.0}, {Channel.PEOPLE: 0.9}
    alone = confidence({Channel.TAGS: 0.0} | there, 0.0, people_named=True)
    assert quality_of_hit(SMALL, alone) is MatchQuality.BEST_GUESS
    both = confidence(crying | there, 0.0, people_named=True)
    assert both == pytest.approx(0.7 + 0.3 * 0.9)
    assert confidence(there, 0.0, people_named=True) == 0.9
    assert confidence({Channel.TAGS: 0.65} | there, 0.0) == pytest.approx(0.5)


def test_of_people_alone_being_there_or_being_spoken_of_is_all() -> None:
    there = {Channel.PEOPLE: 0.9, Channel.LEXICAL: 0.0, Channel.TAGS: 0.0}
    assert confidence(there, 0.0, people_named=True, people_alone=True) == 0.9
    spoken_of = {Channel.PEOPLE: 0.0, Channel.LEXICAL: 5.0, Channel.TAGS: 0.0}
    assert confidence(spoken_of, 1.0, people_named=True, people_alone=True) == 1.0


def test_half_a_tag_supports_nothing() -> None:
    assert quality_of_hit(SMALL, confidence({Channel.TAGS: 0.5}, 0.0)) is MatchQuality.BEST_GUESS


def test_quality_of_hit_and_answer() -> None:
    assert quality_of_hit(SMALL, 0.5) is MatchQuality.SUPPORTED
    assert quality_of_hit(SMALL, 0.05) is MatchQuality.BEST_GUESS
    assert quality_of_answer(SMALL, 0.05) is MatchQuality.NONE
    assert quality_of_answer(SMALL, 0.3) is MatchQuality.BEST_GUESS
    assert quality_of_answer(SMALL, 0.9) is MatchQuality.SUPPORTED


def test_a_ramp_is_cut_off() -> None:
    assert Ramp(0.2, 0.7)(np.array([-1.0, 0.2, 0.7, 2.0])).tolist() == [0.0, 0.0, 1.0, 1.0]


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files("indexer.search") / "rankings" / "small-v1.json").read_text())
    return content


def test_a_file_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="no ranking"):
        load("none-v9")
    with pytest.raises(ValueError, match="sum to 1"):
        from_mapping(_content() | {"weights": {"text": 0.6, "vision": 0.35, "tags": 0.15, "people": 0.3}})
    with pytest.raises(ValueError, match="malformed"):
        from_mapping({k: v for k, v in _content().items() if k != "provenance"})
    with pytest.raises(ValueError, match="malformed"):
        from_mapping(_content() | {"likeness": {"dense": {"floor": 0.2, "top": 0.6}}})
    with pytest.raises(ValueError, match="out of order"):
        from_mapping(_content() | {"confidence": _content()["confidence"] | {"none_below": 0.9}})
    with pytest.raises(ValueError, match="meaning alone"):
        from_mapping(_content() | {"meaning_alone": 0.0})
