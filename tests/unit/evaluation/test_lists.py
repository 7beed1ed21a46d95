"""Answers of the channels -> the list of each, and of each way of joining them."""

from __future__ import annotations

from indexer.evaluation.lists import FUSED, NAMES, RRF, lists
from indexer.search.fuse import Answer, Condition
from indexer.search.ranking import load
from indexer.search.types import Channel, MatchQuality

SMALL = load("small-v1")
SAID = Answer(Channel.LEXICAL, {"a": 9.0, "b": 2.0}, coverage={"a": 1.0, "b": 0.2})
MEANT = Answer(Channel.DENSE, {"b": 0.4, "a": 0.35, "c": 0.3})


def answers(*given: Answer) -> dict[Channel, Answer]:
    return {answer.channel: answer for answer in given}


def test_every_list_is_there_best_first() -> None:
    found, quality = lists(SMALL, answers(SAID, MEANT), Condition())
    assert tuple(found) == NAMES
    assert found["lexical"] == ("a", "b")
    assert found["dense"] == ("b", "a", "c")
    assert found["vision"] == ()
    assert found[FUSED][0] == "a", "by score the clear winner of words stays first"
    assert found[RRF] == ("a", "b", "c"), "two first and two second places tie, and a comes before b"
    assert quality is MatchQuality.SUPPORTED


def test_nothing_is_a_quality_and_hides_no_list() -> None:
    found, quality = lists(SMALL, answers(Answer(Channel.DENSE, {"a": 0.11, "b": 0.1})), Condition())
    assert quality is MatchQuality.NONE
    assert found[FUSED] == ("a", "b")


def test_what_the_query_forbids_is_in_no_list() -> None:
    found, _ = lists(SMALL, answers(SAID, MEANT), Condition(phrases=True))
    assert found["dense"] == ("b", "a")
    assert set(found[FUSED]) == {"a", "b"}


def test_people_join_in_the_ways_of_joining() -> None:
    there = Answer(Channel.PEOPLE, {"c": 0.9}, people={"c": {"per_m": 0.9}})
    found, _ = lists(SMALL, answers(MEANT, there), Condition(people_named=True))
    assert found[RRF][0] == "c"
    assert found[FUSED][0] == "c"


def test_lists_end_at_a_hundred() -> None:
    many = Answer(Channel.DENSE, {f"r{n:03}": 0.5 - n / 1000 for n in range(150)})
    found, _ = lists(SMALL, answers(many), Condition())
    assert {len(found[name]) for name in ("dense", FUSED, RRF)} == {100}


def test_no_answer_is_empty_lists() -> None:
    found, quality = lists(SMALL, answers(Answer(Channel.DENSE)), Condition())
    assert set(found.values()) == {()}
    assert quality is MatchQuality.NONE
