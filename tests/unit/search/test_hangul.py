"""Hangul typed on a Latin keyboard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.jamo import jamo
from indexer.search.hangul import KEYS, from_latin, typed

SYLLABLES = st.text(st.characters(min_codepoint=ord("가"), max_codepoint=ord("힣")), min_size=1)
KEY_OF = {letter: key for key, letter in KEYS.items()}


def keys_of(text: str) -> str:
    return "".join(KEY_OF[letter] for letter in jamo(text))


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ("dkssud", "안녕"),
        ("rlacl", "김치"),
        ("rlaclWlro", "김치찌개"),
        ("DKSSUD", "안녕"),
        ("rkqt", "값"),
        ("rkqtdmf", "값을"),
        ("dhksfy 2024", "완료 2024"),
        ("whgdk, rmfo?", "좋아, 그래?"),
        ("go", "해"),
    ],
)
def test_keys_of_a_latin_keyboard_are_read(keys: str, meant: str) -> None:
    assert from_latin(keys) == meant


@pytest.mark.parametrize("text", ["hello", "GDP", "k", "ak k", "dkssudd", "rkrtrt", "안녕", "2024", "", "!?"])
def test_what_makes_no_whole_syllables_is_not_read(text: str) -> None:
    assert from_latin(text) is None


@pytest.mark.parametrize(
    ("keys", "letters"),
    [("dkssu", "ㅇㅏㄴㄴㅕ"), ("rcWr", "ㄱㅊㅉㄱ"), ("A4 dydwl", "ㅁ4 ㅇㅛㅇㅈㅣ"), ("값", "값"), ("", "")],
)
def test_keys_type_letters_whole_or_not(keys: str, letters: str) -> None:
    assert typed(keys) == letters


@given(SYLLABLES)
def test_whatever_is_typed_comes_back(text: str) -> None:
    assert from_latin(keys_of(text)) == text


@given(st.text())
def test_what_is_read_has_no_latin_letter_left(text: str) -> None:
    read = from_latin(text)
    assert read is None or not any("a" <= char.lower() <= "z" for char in read)
