"""Jamo: letters and initial consonants of Korean text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.jamo import beginnings, compose, initials, is_initials, jamo

SYLLABLES = st.text(st.characters(min_codepoint=ord("가"), max_codepoint=ord("힣")), min_size=1)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("김치찌", "ㄱㅣㅁㅊㅣㅉㅣ"),
        ("값", "ㄱㅏㅂㅅ"),
        ("닭의", "ㄷㅏㄹㄱㅇㅡㅣ"),
        ("와", "ㅇㅗㅏ"),
        ("ㄳ", "ㄱㅅ"),
        ("밖", "ㅂㅏㄲ"),
        ("얘", "ㅇㅒ"),
        ("3월 KBS", "3ㅇㅜㅓㄹ KBS"),
        ("", ""),
    ],
)
def test_letters_come_in_the_order_in_which_they_are_typed(text: str, letters: str) -> None:
    assert jamo(text) == letters


@pytest.mark.parametrize(
    "unfinished", ["ㄱ", "기", "김", "김ㅊ", "김치", "김칮", "김치ㅉ", "김치찌", "김치찍", "김치찌개"]
)
def test_every_step_of_typing_begins_the_word(unfinished: str) -> None:
    assert jamo("김치찌개").startswith(beginnings(unfinished))


@pytest.mark.parametrize("other", ["김칙", "김칮ㅣ", "갬", "ㄲ", "김치찌개가"])
def test_what_is_typed_otherwise_begins_another_word(other: str) -> None:
    assert not jamo("김치찌개").startswith(beginnings(other))


def test_initials_are_of_syllables_alone() -> None:
    assert initials("김치찌개") == "ㄱㅊㅉㄱ"
    assert initials("삼성 TV 값") == "ㅅㅅ TV ㄱ"
    assert initials("ㄳ") == "ㄱㅅ"


@pytest.mark.parametrize(
    ("text", "are"),
    [("ㄱㅊㅉㄱ", True), ("ㄳ", True), ("ㄱ", True), ("", False), ("ㄱㅏ", False), ("김ㅊ", False), ("ㄱ ㄱ", False)],
)
def test_initials_are_nothing_but_consonants(text: str, are: bool) -> None:  # noqa: FBT001  # of a table
    assert is_initials(text) is are


@given(SYLLABLES)
def test_letters_make_the_text_again(text: str) -> None:
    assert compose(jamo(text)) == text


@pytest.mark.parametrize("letters", ["", "ㄱ", "ㅏ", "ㄱㅏㄱㄱㄱ", "ㄱㅏa", "가"])
def test_letters_that_are_no_whole_syllables_make_nothing(letters: str) -> None:
    assert compose(letters) is None


@given(SYLLABLES, SYLLABLES)
def test_a_beginning_stays_one(begun: str, rest: str) -> None:
    assert jamo(begun + rest).startswith(jamo(begun))
    assert is_initials(initials(begun))


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    assert jamo(text).startswith(beginnings(text))
