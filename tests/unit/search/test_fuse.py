"""Answers of the channels -> one ranked list."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import InvalidRequest
from contracts.ids import scene_of_row
from indexer.search import fuse as fusion
from indexer.search.fuse import BEST_FIRST, Answer, Condition, candidates
from indexer.search.ranking import Ramp, Ranking, load, weighted
from indexer.search.types import Channel, Fusion, GroupBy, Listing, Ranked, Weights

SMALL = load("small-v1")
ANY = Condition()


RRF = Listing(Fusion.RECIPROCAL_RANK)


def fuse(
    ranking: Ranking, found: dict[Channel, Answer], condition: Condition, listing: Listing = BEST_FIRST
) -> tuple[Ranked, ...]:
    return fusion.fuse(ranking, found, condition, 100, listing)[1]


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


def test_a_row_has_the_view_that_vision_found_it_by() -> None:
    said = Answer(Channel.DENSE, {"a": 0.4, "b": 0.3}, views={"a": 0, "b": 0})
    seen = Answer(Channel.VISION, {"b": 0.6, "c": 0.5}, views={"b": 2, "c": 0})
    assert {hit.row_id: hit.view for hit in fuse(SMALL, answers(said, seen), ANY)} == {"a": None, "b": 2, "c": 0}
    assert {hit.row_id: hit.view for hit in fuse(SMALL, answers(said), ANY)} == {"a": None, "b": None}


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
_weight = st.none() | st.floats(0.01, 1)
_weights = st.sampled_from([Weights(text=0.0), Weights(vision=0.0, tags=0.0)]) | st.builds(
    Weights, text=_weight, vision=_weight, tags=_weight, people=st.none() | st.floats(0, 1)
)


@given(
    said=_scores,
    meant=_rows,
    seen=_rows,
    tagged=_scores,
    people=_shares,
    missing=st.sets(st.sampled_from(list(Channel))),
    unlisted=st.frozensets(st.sampled_from("abcdefgh")),
    weights=_weights,
    listing=st.sampled_from([BEST_FIRST, RRF]),
)
def test_bounds_and_sums_hold_for_any_answers_weights_and_fusion(
    *,
    said: dict[str, float],
    meant: dict[str, float],
    seen: dict[str, float],
    tagged: dict[str, float],
    people: dict[str, float],
    missing: set[Channel],
    unlisted: frozenset[str],
    weights: Weights,
    listing: Listing,
) -> None:
    every = answers(
        Answer(Channel.LEXICAL, said),
        Answer(Channel.DENSE, meant, exact=False),
        Answer(Channel.VISION, seen, unlisted=unlisted),
        Answer(Channel.TAGS, tagged),
        Answer(Channel.PEOPLE, people),
    )
    answered = {c: a for c, a in every.items() if c not in missing}
    ranking = weighted(SMALL, weights)
    ranked = fuse(ranking, answered, ANY, listing)
    sure = {hit.row_id: hit.confidence for hit in fuse(SMALL, answered, ANY, listing)}
    assert {hit.row_id: hit.confidence for hit in ranked} == sure, "weights change neither hits nor confidence"
    assert [h.score for h in ranked] == sorted((h.score for h in ranked), reverse=True)
    for hit in ranked:
        assert 0 <= hit.score <= 1 + ranking.people + 1e-9
        assert 0 <= hit.confidence <= 1
        assert hit.score == pytest.approx(sum(p.points for p in hit.contributions), abs=1e-6)
        for part in hit.contributions:
            assert part.points == pytest.approx(part.similarity * part.weight)
            assert 0 <= part.similarity <= 1


def test_a_row_without_evidence_or_of_which_nothing_is_sure_is_no_hit() -> None:
    found = answers(Answer(Channel.DENSE, {"near": 0.5, "unsure": 0.15, "nothing": -0.1}))
    assert [hit.row_id for hit in fuse(SMALL, found, ANY)] == ["near"]
    _, weak = fusion.fuse(SMALL, found, ANY, 100, unsure=True)
    assert [hit.row_id for hit in weak] == ["near", "unsure", "nothing"]
    far = answers(Answer(Channel.DENSE, {"b": -0.2, "a": -0.3, "c": -0.1}))
    _, weak = fusion.fuse(SMALL, far, ANY, 100, unsure=True)
    assert [hit.row_id for hit in weak] == ["c", "b", "a"], "the nearest first, though none has evidence"
    seen = dict.fromkeys("abc", 0.5)
    unweighted = answers(Answer(Channel.DENSE, {"b": 0.3, "a": 0.2, "c": 0.4}), Answer(Channel.VISION, seen))
    tags_alone = weighted(SMALL, Weights(text=0.0, vision=0.0, tags=1.0))
    assert [(hit.row_id, hit.score) for hit in fuse(tags_alone, unweighted, ANY)] == [("c", 0), ("b", 0), ("a", 0)]
    stray = answers(Answer(Channel.LEXICAL, {"stray": 2.0}, coverage={"stray": 0.2}))
    assert fuse(SMALL, stray, ANY) == ()


# ---- weights of one search --------------------------------------------------------------------------------


def test_weights_of_a_search_are_divided_by_their_sum_and_the_others_stay() -> None:
    own = weighted(SMALL, Weights(text=1.0, vision=0.0))
    assert (own.text, own.vision, own.tags) == pytest.approx((1 / 1.15, 0.0, 0.15 / 1.15))
    assert (own.people, own.confidence, own.name) == (SMALL.people, SMALL.confidence, SMALL.name)
    assert weighted(SMALL, Weights(people=1.0)).people == 1.0
    assert weighted(SMALL, Weights()) is SMALL


def test_weights_without_any_base_are_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        weighted(SMALL, Weights(text=0.0, vision=0.0, tags=0.0, people=1.0))
    assert [violation.field for violation in refused.value.violations] == ["weights"]


@pytest.mark.parametrize("listing", [BEST_FIRST, RRF])
@pytest.mark.parametrize(
    ("found", "none"),
    [
        (Answer(Channel.VISION, {"a": 0.7}), Weights(vision=0.0)),
        (Answer(Channel.TAGS, {"a": 1.0}), Weights(tags=0.0)),
        (Answer(Channel.PEOPLE, {"a": 0.9}, people={"a": {"per_m": 0.9}}), Weights(people=0.0)),
    ],
)
def test_what_weighs_nothing_is_still_evidence(found: Answer, none: Weights, listing: Listing) -> None:
    said = Answer(Channel.LEXICAL, {"b": 3.0}, coverage={"b": 1.0})
    someone = Condition(people_named=True, people_alone=True)
    first, last = fuse(weighted(SMALL, none), answers(said, found), someone, listing)
    assert (first.row_id, last.row_id, last.score) == ("b", "a", 0.0)
    assert last.confidence >= 0.9
    (alone,) = fuse(weighted(SMALL, none), answers(found), someone, listing)
    assert (alone.row_id, alone.score) == ("a", 0.0)


def test_tags_that_only_narrow_take_no_weight() -> None:
    seen = Answer(Channel.VISION, {"a": 1.0})
    having = Answer(Channel.TAGS, having=frozenset({"a"}), narrows=True)
    (hit,) = fuse(SMALL, answers(seen, having), Condition(tags=True))
    assert (hit.score, hit.channels) == (1.0, (Channel.VISION,))


def test_weights_decide_what_is_first() -> None:
    found = answers(Answer(Channel.DENSE, {"said": 0.5, "seen": 0.1}), Answer(Channel.VISION, {"seen": 0.75}))
    assert [hit.row_id for hit in fuse(weighted(SMALL, Weights(vision=0.1)), found, ANY)] == ["said", "seen"]
    assert [hit.row_id for hit in fuse(weighted(SMALL, Weights(text=0.1)), found, ANY)] == ["seen", "said"]


# ---- by rank ----------------------------------------------------------------------------------------------


def test_by_rank_a_margin_counts_for_nothing() -> None:
    said = Answer(Channel.LEXICAL, {"a": 20.0, "b": 4.0, "c": 3.9}, coverage={"a": 1.0, "b": 0.2, "c": 0.2})
    meant = Answer(Channel.DENSE, {"b": 0.31, "c": 0.3, "a": 0.29})
    first, second, third = fuse(SMALL, answers(said, meant), ANY, RRF)
    assert [hit.row_id for hit in (first, second, third)] == ["b", "a", "c"]
    assert dict(zip(first.channels, first.similarities, strict=True)) == pytest.approx(
        {Channel.LEXICAL: 61 / 62, Channel.DENSE: 1.0}
    )
    assert first.score == pytest.approx(0.5 * 61 / 62 + 0.5)


def test_by_rank_what_a_list_did_not_hold_gets_nothing_from_it() -> None:
    cut = Answer(Channel.DENSE, {"near": 0.9, "filled": 0.2}, unlisted=frozenset({"filled"}))
    found = answers(Answer(Channel.LEXICAL, {"filled": 5.0}, coverage={"filled": 1.0}), cut)
    by_row = {
        hit.row_id: dict(zip(hit.channels, hit.similarities, strict=True)) for hit in fuse(SMALL, found, ANY, RRF)
    }
    assert by_row["filled"] == {Channel.LEXICAL: 1.0, Channel.DENSE: 0.0}
    assert by_row["near"] == {Channel.LEXICAL: 0.0, Channel.DENSE: 1.0}


def test_by_rank_equal_measures_share_a_rank_and_what_the_condition_forbids_takes_none() -> None:
    tagged = Answer(Channel.TAGS, {"x": 1.0, "a": 0.8, "b": 0.8, "c": 0.4})
    said = Answer(Channel.LEXICAL, {"a": 2.0, "b": 2.0, "c": 1.0})
    by_row = {
        hit.row_id: hit.similarities[1] for hit in fuse(SMALL, answers(said, tagged), Condition(phrases=True), RRF)
    }
    assert by_row == pytest.approx({"a": 1.0, "b": 1.0, "c": 61 / 63})


# ---- channels that have not answered ----------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, Answer(Channel.LEXICAL)])
def test_meaning_alone_is_as_sure_without_words_as_where_words_say_nothing(said: Answer | None) -> None:
    meant = Answer(Channel.DENSE, {"a": 0.45})
    found = answers(meant, *([said] if said else []))
    (hit,) = fuse(SMALL, found, Condition(awaited=frozenset({Channel.LEXICAL})))
    assert hit.confidence == pytest.approx(SMALL.confidence.meaning_alone)
    (similar,) = fuse(SMALL, answers(meant), ANY)
    assert similar.confidence == pytest.approx(1.0), "where no words are asked for, meaning is all there is"


@given(
    said=_shares,
    meant=_rows,
    seen=_rows,
    tagged=_shares,
    people=_shares,
    missing=st.sets(st.sampled_from(list(Channel))),
)
def test_no_channel_that_answers_takes_back_what_is_sure(
    *,
    said: dict[str, float],
    meant: dict[str, float],
    seen: dict[str, float],
    tagged: dict[str, float],
    people: dict[str, float],
    missing: set[Channel],
) -> None:
    every = answers(
        Answer(Channel.LEXICAL, said, coverage=said), Answer(Channel.DENSE, meant), Answer(Channel.VISION, seen),
        Answer(Channel.TAGS, tagged), Answer(Channel.PEOPLE, people),
    )  # fmt: skip
    early = {channel: answer for channel, answer in every.items() if channel not in missing}
    condition = Condition(people_named=True, awaited=frozenset(Channel))
    done = {hit.row_id: hit.confidence for hit in fuse(SMALL, every, condition)}
    for hit in fuse(SMALL, early, condition):
        assert done[hit.row_id] >= hit.confidence - 1e-9


# ---- what lists hide --------------------------------------------------------------------------------------


def cut_at(lowest: float, channel: Channel = Channel.DENSE) -> Answer:
    return Answer(channel, {"first": 1.0, "last": lowest}, exact=False, cut=True)


def hides(*given_: Answer, condition: Condition = ANY, fusion_: Fusion = Fusion.CALIBRATED) -> bool:
    return fusion.hides(SMALL, answers(*given_), condition, fusion_)


@pytest.mark.parametrize("channel", [Channel.DENSE, Channel.VISION, Channel.TAGS])
def test_a_cut_list_whose_lowest_makes_nothing_sure_hides_no_hit(channel: Channel) -> None:
    sure = SMALL.confidence
    floors = {Channel.DENSE: sure.dense.floor, Channel.VISION: sure.vision.floor, Channel.TAGS: sure.tags.floor}
    said = Answer(Channel.LEXICAL, {"first": 3.0}, coverage={"first": 1.0})
    assert not hides(said, cut_at(floors[channel], channel))
    assert hides(said, cut_at(floors[channel] + 0.01, channel))
    assert hides(said, cut_at(floors[channel], channel), fusion_=Fusion.RECIPROCAL_RANK)


@pytest.mark.parametrize("channel", [Channel.LEXICAL, Channel.PEOPLE])
def test_a_cut_list_of_words_or_people_always_hides(channel: Channel) -> None:
    assert hides(Answer(channel, {"first": 3.0, "last": 0.0001}, cut=True))


def test_a_row_that_was_measured_apart_is_not_the_lists_lowest() -> None:
    assert hides(replace(cut_at(0.5), raw={"last": 0.5, "apart": 0.01}, unlisted=frozenset({"apart"})))


def test_a_hit_that_must_be_in_a_whole_list_is_not_hidden_by_others() -> None:
    said = Answer(Channel.LEXICAL, {"first": 3.0})
    assert not hides(said, cut_at(0.5), condition=Condition(phrases=True))
    assert hides(said, cut_at(0.5, Channel.TAGS), condition=Condition(phrases=True)), "tags beyond count as none"
    assert hides(replace(said, cut=True), cut_at(0.5), condition=Condition(phrases=True))
    having = Answer(Channel.TAGS, {"first": 0.1}, having=frozenset({"first"}), cut=True)
    assert hides(having, condition=Condition(tags=True)), "there are more that have them, whatever their names hold"


def test_where_a_row_without_a_vector_is_sure_a_cut_list_hides() -> None:
    ramp = Ramp(-0.5, 0.5)
    odd = replace(SMALL, dense_similarity=ramp, confidence=replace(SMALL.confidence, dense=ramp))
    assert fusion.hides(odd, answers(cut_at(-0.6)), ANY)
    assert fusion.hides(odd, answers(cut_at(0.1, Channel.VISION), Answer(Channel.DENSE)), ANY)


def test_what_is_not_sure_enough_is_not_hidden() -> None:
    assert hides(cut_at(0.2), condition=Condition(min_confidence=0.1))
    assert not hides(cut_at(0.2), condition=Condition(min_confidence=0.2))


def test_a_tag_that_earns_nothing_may_still_make_a_hit_sure_enough() -> None:
    tagged = cut_at(0.35, Channel.TAGS)
    assert SMALL.confidence.tags.floor < 0.35 < SMALL.tags_similarity.floor
    assert hides(tagged)


def test_what_was_only_measured_of_other_lists_may_be_had_by_any_row() -> None:
    tagged = Answer(Channel.TAGS, {"first": 0.1})
    found = answers(cut_at(-0.1), tagged)
    assert not fusion.hides(SMALL, found, ANY)
    assert fusion.hides(SMALL, found, ANY, measured_after={Channel.TAGS})
    assert fusion.hides(weighted(SMALL, Weights(tags=0.0)), found, ANY, measured_after={Channel.TAGS})
    like = replace(SMALL, confidence=replace(SMALL.confidence, tags=Ramp(1.0, 2.0)))
    assert not fusion.hides(like, found, ANY, measured_after={Channel.TAGS})


_ramps = st.builds(lambda floor, span: Ramp(floor, floor + span), st.floats(-0.3, 0.6), st.floats(0.05, 1))
_rankings = st.just(SMALL) | st.builds(
    lambda dense, vision, tags, sure: replace(
        SMALL,
        dense_similarity=dense,
        vision_similarity=vision,
        tags_similarity=tags,
        confidence=replace(SMALL.confidence, **dict(zip(("dense", "vision", "tags"), sure, strict=True))),
    ),
    _ramps, _ramps, _ramps, st.tuples(_ramps, _ramps, _ramps),
)  # fmt: skip
_cosines = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([-0.2, 0.0, 0.05, 0.1, 0.3, 0.6]), max_size=8)
_held = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([0.2, 0.35, 0.5, 1.0]), max_size=8)
_few, _all = st.integers(1, 4), st.sampled_from([2, 9, 9, 9])
_limits = st.fixed_dictionaries(
    {channel: _all if channel in {Channel.LEXICAL, Channel.PEOPLE} else _few for channel in Channel}
)
_conditions = st.builds(
    Condition,
    phrases=st.sampled_from([False, False, True]),
    groups=st.sampled_from([(), (), (("per_m",),)]),
    people_named=st.booleans(),
    people_alone=st.booleans(),
    min_confidence=st.sampled_from([0.0, 0.05, 0.3]),
)


def lists(
    whole: dict[Channel, dict[str, float]], limits: dict[Channel, int], condition: Condition, *, filled: bool
) -> dict[Channel, Answer]:
    """Return what stores answer that know ``whole``, each its best ``limits``; ``filled`` with the cosines beyond."""
    found = {}
    for channel, rows in whole.items():
        best = sorted(rows, key=lambda row: (-rows[row], row))[: limits[channel]]
        cut = len(best) == limits[channel]
        exact = not cut or channel not in {Channel.DENSE, Channel.VISION}
        raw = {row: rows[row] for row in best}
        said = {row: min(1.0, measure / 3) for row, measure in raw.items()} if channel is Channel.LEXICAL else {}
        people = {row: {"per_m": measure} for row, measure in raw.items()} if channel is Channel.PEOPLE else {}
        found[channel] = Answer(channel, raw, exact=exact, coverage=said, people=people, cut=cut)
    rows_found = candidates(found, condition)
    for channel, answer in found.items():
        if filled and not answer.exact:
            more = {row: whole[channel][row] for row in rows_found & whole[channel].keys() - answer.raw.keys()}
            found[channel] = replace(answer, raw={**answer.raw, **more}, exact=True, unlisted=frozenset(more))
    return found


@settings(max_examples=500)
@given(
    ranking=_rankings,
    weights=_weights,
    said=_held,
    meant=_cosines,
    seen=_cosines,
    tagged=_held,
    people=_held,
    missing=st.sets(st.sampled_from(list(Channel))),
    limits=_limits,
    condition=_conditions,
    filled=st.booleans(),
    fusion_=st.sampled_from([Fusion.CALIBRATED] * 4 + [Fusion.RECIPROCAL_RANK]),
)
def test_lists_that_hide_nothing_have_every_hit_of_the_library(
    *,
    ranking: Ranking,
    weights: Weights,
    said: dict[str, float],
    meant: dict[str, float],
    seen: dict[str, float],
    tagged: dict[str, float],
    people: dict[str, float],
    missing: set[Channel],
    limits: dict[Channel, int],
    condition: Condition,
    filled: bool,
    fusion_: Fusion,
) -> None:
    known = dict(zip(Channel, (said, meant, seen, tagged, people), strict=True))
    whole = {channel: rows for channel, rows in known.items() if channel not in missing - condition.needs()}
    own, listing = weighted(ranking, weights), Listing(fusion_)
    library = lists(whole, dict.fromkeys(Channel, 100), condition, filled=False)
    found = lists(whole, limits, condition, filled=filled)
    if fusion.hides(own, found, condition, fusion_):
        assert any(answer.cut for answer in found.values())
        return
    everything = {hit.row_id for hit in fuse(own, library, condition, listing)}
    hits = {hit.row_id for hit in fuse(own, found, condition, listing)}
    assert hits >= everything
    assert hits == everything or not filled


# ---- by video ---------------------------------------------------------------------------------------------


def of_videos(**rows: float) -> dict[Channel, Answer]:
    """Return an answer of tags; ``v1_a`` is a scene of video ``v1``."""
    return answers(Answer(Channel.TAGS, rows, videos={row: row.split("_")[0] for row in rows}))


def listed(found: dict[Channel, Answer], most: int, group_by: GroupBy = GroupBy.SCENE) -> list[str]:
    listing = Listing(max_scenes_per_video=most, group_by=group_by)
    total, ranked = fusion.fuse(SMALL, found, ANY, 100, listing)
    assert total == len(ranked)
    return [hit.row_id for hit in ranked]


def test_a_video_has_no_more_than_its_best_scenes() -> None:
    found = of_videos(v1_a=1.0, v1_b=0.9, v1_c=0.8, v2_a=0.7)
    assert listed(found, 2) == ["v1_a", "v1_b", "v2_a"]
    assert listed(found, 0) == ["v1_a", "v1_b", "v1_c", "v2_a"]


def test_videos_come_by_their_best_scene_each_with_its_own_together() -> None:
    found = of_videos(v1_a=0.7, v1_b=0.6, v2_a=1.0, v2_b=0.5, v3_a=0.9)
    assert listed(found, 0, GroupBy.VIDEO) == ["v2_a", "v2_b", "v3_a", "v1_a", "v1_b"]
    assert listed(found, 1, GroupBy.VIDEO) == ["v2_a", "v3_a", "v1_a"]


def test_ties_are_in_order_of_videos() -> None:
    assert listed(of_videos(v2_a=1.0, v1_z=1.0, v1_b=1.0), 0) == ["v1_b", "v1_z", "v2_a"]


def test_a_scene_in_two_revisions_takes_one_place_of_its_video() -> None:
    rows = {"a:1": 1.0, "a:2": 1.0, "b:1": 0.8, "b:2": 0.8, "c:1": 0.7}
    found = answers(Answer(Channel.TAGS, rows, videos=dict.fromkeys(rows, "v1")))
    assert listed(found, 2) == ["a:1", "a:2", "b:1", "b:2"]


@given(
    scores=st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 9)), st.floats(0.5, 1), max_size=30),
    most=st.integers(0, 4),
    group_by=st.sampled_from(GroupBy),
    limit=st.integers(1, 30),
)
def test_any_list_keeps_to_its_videos(
    scores: dict[tuple[int, int], float], most: int, group_by: GroupBy, limit: int
) -> None:
    rows = {f"scn{video}{scene}:1": score for (video, scene), score in scores.items()}
    videos = {row: f"vid{row[3]}" for row in rows}
    found = answers(Answer(Channel.TAGS, rows, videos=videos))
    everything = fuse(SMALL, found, ANY)
    total, ranked = fusion.fuse(SMALL, found, ANY, limit, Listing(max_scenes_per_video=most, group_by=group_by))
    shown = [hit.row_id for hit in ranked]
    assert len(shown) == len(set(shown)) == min(limit, total)
    of_video: dict[str, list[Ranked]] = {}
    for hit in ranked:
        of_video.setdefault(videos[hit.row_id], []).append(hit)
    for video, own in of_video.items():
        best = [hit for hit in everything if videos[hit.row_id] == video]
        assert own == best[: len(own)], "the best of each, best first"
        assert not most or len({scene_of_row(hit.row_id) for hit in own}) <= most
    if group_by is GroupBy.VIDEO:
        assert [hit for own in of_video.values() for hit in own] == list(ranked), "a video's follow each other"
        assert [own[0].score for own in of_video.values()] == sorted(
            (own[0].score for own in of_video.values()), reverse=True
        )
    else:
        assert [hit.score for hit in ranked] == sorted((hit.score for hit in ranked), reverse=True)
