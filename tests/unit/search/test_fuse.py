"""Answers of the channels -> one ranked list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.search import fuse as fusion
from indexer.search.fuse import Answer, Condition, candidates
from indexer.search.ranking import Ranking, load
from indexer.search.types import Channel, Ranked

SMALL = load("small-v1")
ANY = Condition()


def fuse(ranking: Ranking, found: dict[Channel, Answer], condition: Condition) -> tuple[Ranked, ...]:
    return fusion.fuse(ranking, found, condition, 100)[1]


def answers(*given_: Answer) -> dict[Channel, Answer]:
    return {answer.channel: answer for answer in given_}


def test_fused_by_score_a_clear_winner_keeps_its_margin() -> None:
    # By rank "b" would win: second and first against first and third.
    said = Answer(Channel.LEXICAL, {"a": 20.0, "b": 4.0, "c": 3.9}, coverage={"a": 1.0, "b": 0.2, "c": 0.2})
    meant = Answer(Channel.DENSE, {"b": 0.31, "c": 0.3, "a": 0.29})
    assert [hit.row_id for hit in fuse(SMALL, answers(said, meant), ANY)] == ["a", "b", "c"]


def test_points_are_explained_most_first() -> None:
    (hit,) = fuse(
        SMALL,
        answers(
            Answer(Channel.LEXICAL, {"a": 3.0}, coverage={"a": 0.9}),
            Answer(Channel.DENSE, {"a": 0.29}),
            Answer(Channel.VISION, {"a": 0.5}),
            Answer(Channel.TAGS, {"a": 1.0}),
            Answer(Channel.PEOPLE, {"a": 0.9}, people={"a": {"per_m": 0.9}}),
        ),
        ANY,
    )
    assert hit.score == pytest.approx(0.25 + 0.25 * 0.5 + 0.35 * 0.5 + 0.15 + 0.3 * 0.9)
    assert hit.contributions[0].channel is Channel.PEOPLE
    assert [part.points for part in hit.contributions] == sorted((p.points for p in hit.contributions), reverse=True)


def test_what_is_said_in_another_language_is_found_by_meaning_alone() -> None:
    said = Answer(Channel.LEXICAL, {"stray": 6.0}, coverage={"stray": 0.35})
    meant = Answer(Channel.DENSE, {"stray": 0.2, "foreign": 0.4})
    first, second = fuse(SMALL, answers(said, meant), ANY)
    assert (first.row_id, second.row_id) == ("foreign", "stray")
    weights = {part.channel: part.weight for part in first.contributions}
    assert weights == pytest.approx({Channel.DENSE: 0.8, Channel.LEXICAL: 0.0})
    assert first.score == pytest.approx(sum(part.points for part in first.contributions))


def test_a_row_beyond_a_list_gets_its_lowest_and_a_row_without_gets_nothing() -> None:
    said = Answer(Channel.LEXICAL, {"far": 5.0}, coverage={"far": 1.0})
    cut = Answer(Channel.DENSE, {"near": 0.9, "last": 0.8}, exact=False)
    raw = {h.row_id: {p.channel: p.raw for p in h.contributions} for h in fuse(SMALL, answers(said, cut), ANY)}
    assert raw["far"][Channel.DENSE] == 0.8
    whole = Answer(Channel.DENSE, {"near": 0.9, "last": 0.8}, exact=True)
    raw = {h.row_id: {p.channel: p.raw for p in h.contributions} for h in fuse(SMALL, answers(said, whole), ANY)}
    assert raw["far"][Channel.DENSE] == 0.0


def test_a_phrase_must_be_said() -> None:
    found = answers(Answer(Channel.LEXICAL, {"said": 1.0}), Answer(Channel.VISION, {"seen": 0.9, "said": 0.1}))
    assert candidates(found, Condition(phrases=True)) == {"said"}
    (hit,) = fuse(SMALL, found, Condition(phrases=True, literal=True))
    assert hit.confidence == 1.0


def test_everybody_required_must_be_there_and_one_bearer_of_a_name_will_do() -> None:
    people = {"both": {"m1": 0.9, "j": 0.8}, "one": {"m2": 0.9}, "other": {"j": 0.9}}
    found = answers(Answer(Channel.PEOPLE, dict.fromkeys(people, 0.5), people=people), Answer(Channel.TAGS, {"x": 1.0}))
    assert candidates(found, Condition(groups=(("m1", "m2"),))) == {"both", "one"}
    assert candidates(found, Condition(groups=(("m1", "m2"), ("j",)))) == {"both"}
    assert candidates(found, ANY) == {"both", "one", "other", "x"}


def test_min_confidence_drops_hits() -> None:
    found = answers(Answer(Channel.VISION, {"sure": 0.7, "weak": 0.5}))
    assert [h.row_id for h in fuse(SMALL, found, Condition(min_confidence=0.9))] == ["sure"]


def test_ties_are_in_order_of_rows() -> None:
    found = answers(Answer(Channel.TAGS, {"c": 1.0, "a": 1.0, "b": 1.0}))
    assert [h.row_id for h in fuse(SMALL, found, ANY)] == ["a", "b", "c"]


def test_the_list_is_cut_and_the_rest_counted() -> None:
    found = answers(Answer(Channel.TAGS, {"c": 0.6, "a": 1.0, "b": 0.8}))
    total, first = fusion.fuse(SMALL, found, ANY, 2)
    assert (total, [h.row_id for h in first]) == (3, ["a", "b"])


_rows = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 1), max_size=8)
_scores = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 90), max_size=8)
_shares = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1), max_size=8)


@given(
    said=_scores,
    meant=_rows,
    seen=_rows,
    tagged=_scores,
    people=_shares,
    missing=st.sets(st.sampled_from(list(Channel))),
)
def test_bounds_and_sums_hold_for_any_answers(
    *,
    said: dict[str, float],
    meant: dict[str, float],
    seen: dict[str, float],
    tagged: dict[str, float],
    people: dict[str, float],
    missing: set[Channel],
) -> None:
    every = answers(
        Answer(Channel.LEXICAL, said),
        Answer(Channel.DENSE, meant, exact=False),
        Answer(Channel.VISION, seen, exact=False),
        Answer(Channel.TAGS, tagged),
        Answer(Channel.PEOPLE, people),
    )
    ranked = fuse(SMALL, {c: a for c, a in every.items() if c not in missing}, ANY)
    assert [h.score for h in ranked] == sorted((h.score for h in ranked), reverse=True)
    for hit in ranked:
        assert 0 <= hit.score <= 1.3 + 1e-9
        assert 0 <= hit.confidence <= 1
        assert hit.score == pytest.approx(sum(p.points for p in hit.contributions), abs=1e-6)
        for part in hit.contributions:
            assert part.points == pytest.approx(part.similarity * part.weight)
            assert 0 <= part.similarity <= 1


def test_a_row_without_any_points_is_no_hit() -> None:
    meant = Answer(Channel.DENSE, {"near": 0.5, "nothing": -0.1})
    assert [hit.row_id for hit in fuse(SMALL, answers(meant), ANY)] == ["near"]
