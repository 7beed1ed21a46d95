"""A query -> phrases, people, words and meaning."""

from __future__ import annotations

import unicodedata

import pytest

from contracts.errors import InvalidRequest
from indexer.search.parse import Parsed, parse

NAMES = (
    ("per_m", "민지"),
    ("per_k", "김민지"),
    ("per_j", "민준"),
    ("per_o", "버락 오바마"),
    ("per_o", "오바마"),
    ("per_a", "Ann"),
)


def people(parsed: Parsed) -> list[tuple[str, ...]]:
    return [mention.person_ids for mention in parsed.mentions]


@pytest.mark.parametrize(
    ("query", "words", "person"),
    [
        ("민지가 우는 장면", "우는", "per_m"),
        ("민지는 웃는다", "웃는다", "per_m"),
        ("민지랑 커피 마시는 사람", "커피 마시는 사람", "per_m"),
        ("민지의 웃음", "웃음", "per_m"),
        ("민지 씨가 말하는", "말하는", "per_m"),
        ("민지님, 안녕", ", 안녕", "per_m"),
        ("민준이가 뛰는", "뛰는", "per_j"),
        ("민준이 뛰는", "뛰는", "per_j"),
        ("김민지에게 준 선물", "준 선물", "per_k"),
        ("버락 오바마의 연설", "연설", "per_o"),
        ("ANN's speech", "speech", "per_a"),
    ],
)
def test_names_lose_their_particles(query: str, words: str, person: str) -> None:
    parsed = parse(query, NAMES)
    assert people(parsed) == [(person,)]
    assert parsed.words == words
    assert not any(mention.required for mention in parsed.mentions)


@pytest.mark.parametrize("query", ["민지하다", "강민지역", "Annual report", "banner", "contact@ann.com 아님"])
def test_a_name_within_a_word_is_none(query: str) -> None:
    parsed = parse(query, (("per_m", "민지"), ("per_a", "An"), ("per_b", "ban")))
    assert parsed.mentions == ()
    assert parsed.words == query


def test_at_requires_the_person() -> None:
    parsed = parse("@민지가 우는 @오바마", NAMES)
    assert [(m.person_ids, m.required) for m in parsed.mentions] == [(("per_m",), True), (("per_o",), True)]
    assert (parsed.words, parsed.meaning) == ("우는", "우는")


def test_at_somebody_unknown_is_refused_without_the_name() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse("@철수 웃는", NAMES)
    assert "철수" not in str(refused.value)


def test_one_name_of_several_people_names_all() -> None:
    assert people(parse("민지 춤", (("per_1", "민지"), ("per_2", "민지")))) == [("per_1", "per_2")]


def test_one_syllable_needs_the_at() -> None:
    names = (("per_i", "이"),)
    assert parse("이 사람", names).mentions == ()
    assert people(parse("@이 사람", names)) == [("per_i",)]


def test_a_name_alone_is_also_looked_for_in_speech() -> None:
    parsed = parse("민지가 나오는 장면 보여줘", NAMES)
    assert people(parsed) == [("per_m",)]
    assert (parsed.words, parsed.meaning) == ("민지", "")
    only = parse("@민지", NAMES)
    assert (only.words, only.meaning, only.phrases) == ("", "", ())


def test_phrases_are_taken_out_and_kept_in_the_meaning() -> None:
    parsed = parse('"우주선이  착륙했다" 달 “작은 발걸음” ""', NAMES)
    assert parsed.phrases == ("우주선이 착륙했다", "작은 발걸음")
    assert parsed.words == "달"
    assert parsed.meaning == "우주선이 착륙했다 작은 발걸음 달"
    assert parsed.marking == "우주선이 착륙했다 작은 발걸음 달"


def test_a_name_in_a_phrase_is_said_not_meant() -> None:
    parsed = parse('"민지야 밥 먹자"', NAMES)
    assert parsed.mentions == ()
    assert parsed.phrases == ("민지야 밥 먹자",)


def test_a_single_quote_mark_is_no_phrase() -> None:
    parsed = parse('17" 모니터', NAMES)
    assert (parsed.phrases, parsed.words) == ((), "17 모니터")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("고양이가 자는 장면", "고양이가 자는"),
        ("커피 나오는 영상을 찾아줘", "커피"),
        ("로켓 발사 보여줘", "로켓 발사"),
        ("이 장면에서 무슨 말을 했지", "이 장면에서 무슨 말을 했지"),
        ("장면", "장면"),
        ("영상 편집 방법", "영상 편집 방법"),
    ],
)
def test_ways_of_asking_are_no_words_at_the_end(query: str, words: str) -> None:
    assert parse(query).words == words


def test_text_is_composed_and_white_space_squeezed() -> None:
    decomposed = unicodedata.normalize("NFD", "고양이\r\n가\t\t자는\x85")
    assert parse(decomposed).words == "고양이 가 자는"
    assert parse("👩\u200d👩\u200d👧 가족").words == "👩\u200d👩\u200d👧 가족", "emoji are joined by format characters"


@pytest.mark.parametrize("query", ["bell\a", "\x00", "고양이\x1b[31m", "\x7f", "가\ud800나"])
def test_control_characters_are_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(query)
    assert refused.value.violations[0].field == "query"


@pytest.mark.parametrize("query", ["", "   ", "\t\r\n", '""', '"'])
def test_nothing_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(query)
    assert refused.value.violations[0].field == "query"


def test_length_is_counted_in_composed_code_points() -> None:
    assert parse("가" * 1000).words
    assert parse(unicodedata.normalize("NFD", "가" * 1000)).words
    with pytest.raises(InvalidRequest):
        parse("가" * 1001)
    with pytest.raises(InvalidRequest):
        parse("가나다", max_chars=2)


def test_too_many_phrases_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse(" ".join(f'"말 {n}"' for n in range(11)))
