"""Synonyms: which other ways there are to say a part of a query."""

from __future__ import annotations

from adapters.text._synonyms import Another, Synonyms, groups

CUT = {
    "gdp": ("gdp",),
    "국내총생산": ("국내", "총생산"),
    "추석": ("추석",),
    "한가위": ("한", "가위"),
    "비만": ("비",),
    "과체중": ("과", "체중"),
}
STEMS = {word: tuple((part, 0, 1) for part in parts) for word, parts in CUT.items()}
SYNONYMS = Synonyms([("gdp", "국내총생산"), ("추석", "한가위"), ("비만", "과체중")], STEMS)


def test_a_group_is_found_from_each_of_its_words() -> None:
    assert SYNONYMS.of("올해 GDP 통계", ["올해", "gdp", "통계"]) == [Another("국내총생산", ("gdp",))]
    assert SYNONYMS.of("국내총생산은", ["국내", "총생산"]) == [Another("gdp", ("국내", "총생산"))]


def test_the_same_parts_of_other_words_are_another_thing() -> None:
    assert SYNONYMS.of("가위 한 개", ["가위", "한", "개"]) == []
    assert SYNONYMS.of("국내 최초", ["국내", "최초"]) == []


def test_a_word_that_is_cut_wrongly_is_left_out() -> None:
    assert SYNONYMS.of("비만 오면", ["비", "오"]) == []
    assert SYNONYMS.of("과체중", ["과", "체중"]) == []


def test_the_committed_groups_are_groups_and_no_word_is_in_two() -> None:
    words = [word for group in groups() for word in group]
    assert len(groups()) > 150
    assert min(map(len, groups())) >= 2
    assert len(words) == len(set(words))
    assert not [word for word in words if not word or " " in word]
