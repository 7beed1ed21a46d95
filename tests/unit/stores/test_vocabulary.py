"""Vocabulary: which words of a deployment's own are taken, and what is said of the others."""

from __future__ import annotations

import unicodedata

import pytest

from contracts.errors import InvalidRequest
from contracts.vocabulary import MAX_GROUP_WORDS, MAX_GROUPS, MAX_WORD_CHARS, MAX_WORDS, Vocabulary, vocabulary


def made(dictionary: list[str] | None = None, synonyms: list[list[str]] | None = None) -> Vocabulary:
    return vocabulary(dictionary or [], synonyms or [], field="vocabulary")


def wrong(dictionary: list[str] | None = None, synonyms: list[list[str]] | None = None) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        made(dictionary, synonyms)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_words_come_out_in_nfc_with_single_spaces() -> None:
    decomposed = unicodedata.normalize("NFD", "한글")
    assert made([f" {decomposed}", "가나다  가나 다"], [[decomposed, " 국문 "]]) == Vocabulary(
        ("한글", "가나다 가나 다"), (("한글", "국문"),)
    )
    assert made() == Vocabulary()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "is empty"),
        ("가나다 가나 라", "has parts which joined are not the word"),
        ("가나다 가나", "has parts which joined are not the word"),
        ("가나 가나다", "has parts which joined are not the word"),
        ("세종 세종", "has a single part: leave it out"),
        ("가" * (MAX_WORD_CHARS + 1), f"has a word longer than {MAX_WORD_CHARS} code points"),
        ("세종#1", "has a #"),
        ("세\u200b종", "has control characters"),
        ("!?", "has a word without a letter or a digit"),
    ],
)
def test_a_wrong_line_is_named(line: str, problem: str) -> None:
    assert wrong(["에어팟", line]) == {"vocabulary.dictionary[1]": problem}


def test_a_word_has_one_line() -> None:
    assert wrong(["세종", "에어팟", "세종 세 종"]) == {
        "vocabulary.dictionary[2]": "is of a word that has a line before"
    }


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("", "is empty"),
        ("새 소년", "has a space within a word"),
        ("bts", "is there twice"),
        ("\x00가", "has control characters"),
    ],
)
def test_a_wrong_synonym_is_named(word: str, problem: str) -> None:
    assert wrong(synonyms=[["가", "나"], ["BTS", word]]) == {"vocabulary.synonyms[1].words[1]": problem}


@pytest.mark.parametrize("group", [[], ["홀로"], [f"말{n}" for n in range(MAX_GROUP_WORDS + 1)]])
def test_a_group_has_two_to_ten_words(group: list[str]) -> None:
    assert wrong(synonyms=[group]) == {"vocabulary.synonyms[0].words": f"has {len(group)} words, outside of [2, 10]"}


def test_there_is_a_limit_to_lines_and_groups() -> None:
    words = [f"말{n}" for n in range(MAX_WORDS)]
    groups = [[f"가{n}", f"나{n}"] for n in range(MAX_GROUPS)]
    assert len(made(words, groups).dictionary) == MAX_WORDS
    assert wrong([*words, "끝"]) == {"vocabulary.dictionary": "has 2001 lines, more than 2000"}
    assert wrong(synonyms=[*groups, ["가", "나"]]) == {"vocabulary.synonyms": "has 1001 groups, more than 1000"}


def test_only_so_many_lines_are_named() -> None:
    assert len(wrong(["#"] * 500)) == 20
