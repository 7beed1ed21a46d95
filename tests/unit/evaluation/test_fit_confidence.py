"""What the channels said -> the scales of confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from indexer.evaluation.fit_confidence import LEAST_QUERIES, MAY_LOSE, MUST_REFUSE, Asked, asked, fit_confidence
from indexer.search.fuse import Answer, Condition
from indexer.search.ranking import Ramp, load
from indexer.search.types import Channel

SMALL = load("small-v1")


def query(*, answerable: bool, coverage: float = 0.0, **raw: float) -> Asked:
    columns = {Channel(channel): np.array([value]) for channel, value in raw.items()}
    return Asked(answerable, columns, np.array([coverage]), people_named=False, people_alone=False)


def many(number: int = LEAST_QUERIES, *, answerable: bool, coverage: float = 0.0, **raw: float) -> list[Asked]:
    return [query(answerable=answerable, coverage=coverage, lexical=1.0, **raw) for _ in range(number)]


def test_the_scales_that_set_answers_furthest_apart_are_found() -> None:
    said = many(answerable=True, coverage=0.6, dense=0.3)
    meant = many(answerable=False, coverage=0.0, dense=0.3)
    found = fit_confidence(SMALL, [*said, *meant])
    assert found is not None
    assert found.scale.words_share == 0.7, "words alone set them apart"
    assert found.low < found.scale.none_below < found.high
    assert (found.answerable, found.unanswerable, found.lost, found.none) == (LEAST_QUERIES, LEAST_QUERIES, 0.0, 1.0)
    assert (found.scale.tags, found.scale.supported_from) == (SMALL.confidence.tags, SMALL.confidence.supported_from)


def test_without_need_nothing_changes() -> None:
    by_tags = [*many(answerable=True, tags=0.9), *many(answerable=False, tags=0.4)]
    found = fit_confidence(SMALL, by_tags)
    assert found is not None
    assert replace(found.scale, none_below=SMALL.confidence.none_below) == SMALL.confidence
    other = replace(SMALL, confidence=replace(SMALL.confidence, dense=Ramp(0.12, 0.45), words_share=0.5))
    moved = fit_confidence(other, by_tags)
    assert moved is not None
    assert replace(moved.scale, none_below=other.confidence.none_below) == other.confidence


def test_few_may_be_lost_and_few_may_find_something() -> None:
    lost = int(MAY_LOSE * 40)
    found_nothing = int(MUST_REFUSE * 40)
    answerable = [*many(lost, answerable=True, dense=0.1), *many(40 - lost, answerable=True, coverage=1.0, dense=0.4)]
    unanswerable = [
        *many(found_nothing, answerable=False, dense=0.1),
        *many(40 - found_nothing, answerable=False, coverage=1.0, dense=0.5),
    ]
    found = fit_confidence(SMALL, [*answerable, *unanswerable])
    assert found is not None
    assert found.low < found.high
    assert (found.lost, found.none) == (MAY_LOSE, MUST_REFUSE)


def test_where_no_scales_keep_both_limits_the_span_says_so() -> None:
    found = fit_confidence(SMALL, [*many(answerable=True, dense=0.2), *many(answerable=False, dense=0.4)])
    assert found is not None
    assert found.low > found.high


def test_too_few_queries_of_either_kind_are_not_fitted() -> None:
    some, few = many(answerable=True, dense=0.4), many(LEAST_QUERIES - 1, answerable=False, dense=0.1)
    assert fit_confidence(SMALL, [*some, *few]) is None
    assert fit_confidence(SMALL, many(answerable=False, dense=0.1)) is None
    assert fit_confidence(SMALL, []) is None


@pytest.mark.parametrize(
    ("answers", "condition", "coverage"),
    [
        ({}, Condition(), []),
        ({"b": 3.0, "a": 2.0}, Condition(), [0.5, 1.0]),
        ({"b": 3.0, "a": 2.0}, Condition(excluded=frozenset("a")), [1.0]),
        ({"b": 3.0, "a": 2.0}, Condition(phrases=True, literal=True), [1.0, 1.0]),
    ],
    ids=["refused", "all", "excluded", "literal"],
)
def test_every_scene_that_may_answer_is_looked_at(
    answers: Mapping[str, float], condition: Condition, coverage: list[float]
) -> None:
    said = Answer(Channel.LEXICAL, answers, coverage={"a": 0.5, "b": 1.0})
    found = asked({Channel.LEXICAL: said} if answers else {}, condition, answerable=True)
    assert found.coverage.tolist() == coverage
    assert all(len(column) == len(coverage) for column in found.raw.values())


def test_a_refused_query_finds_nothing() -> None:
    refused = [asked({}, Condition(), answerable=False) for _ in range(LEAST_QUERIES)]
    found = fit_confidence(SMALL, [*many(answerable=True, coverage=0.6, dense=0.3), *refused])
    assert found is not None
    assert (found.low, found.none) == (0.0, 1.0)
