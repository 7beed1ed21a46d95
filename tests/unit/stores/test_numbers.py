"""Numbers: one term for all ways to write one, and none for letters that only look like one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.text._numbers import numbers, terms


@pytest.mark.parametrize(
    ("term", "texts"),
    [
        (
            "35000000원",
            ["3500만원", "3500 만 원", "3천5백만 원", "3천 5백만원", "35,000,000원", "삼천오백만원", "삼천오백만 원에"],
        ),
        ("150000000원", ["1억 5천만 원", "일억 오천만 원이", "1억5000만원", "150,000,000원"]),
        ("23000원", ["2만 3000원", "2만3천원", "이만 삼천 원"]),
        ("155000원", ["15만오천 원", "십오만 오천 원"]),
        ("20000명", ["이만 명", "2만명", "2만 명이"]),
        ("1200원", ["천이백 원", "천 이백 원"]),
        ("2026년", ["2026년", "이천이십육년"]),
        ("100퍼센트", ["100%", "백 퍼센트", "백퍼센트로", "100 프로"]),
        ("3.5퍼센트", ["3.5퍼센트", "3.5 %", "3.50%"]),
        ("3시", ["3시", "세 시에", "세시"]),
        ("12시", ["12시 반", "열두 시 반"]),
        ("20살", ["20살", "스무 살", "20세"]),
        ("25살", ["스물다섯 살이", "25 세"]),
        ("3살", ["3살", "만 세 살이", "3세"]),
        ("5살", ["만 5세", "만 다섯 살"]),
        ("2명", ["2명", "두 사람", "두 명이"]),
        ("2번째", ["2번째", "두 번째"]),
        ("2개월", ["2개월", "두 달"]),
        ("6월", ["6월", "유월에"]),
        ("10월", ["10월", "시월"]),
        ("5월", ["5월", "오월의"]),
        ("22일", ["22일", "이십이일"]),
        ("21일", ["21일", "이십일일"]),
        ("1000000000000원", ["1조 원", "일조 원"]),
        ("44", ["44", "사십사"]),
        ("0퍼센트", ["0%", "0 조%", "영 퍼센트"]),
    ],
)
def test_however_it_is_written(term: str, texts: list[str]) -> None:
    for text in texts:
        assert [number.term for number in numbers(text)] == [term], text


@pytest.mark.parametrize(
    "text",
    [
        "이 사람", "이 시간에", "만일", "천사", "사회", "회사 사원", "만년필", "세대", "사이", "일이 많다",
        "이만 가 볼게요", "천만에요", "백두산", "만두", "한대", "이천시", "서너 명", "한두 명", "구조",
        "공원", "시 월급", "", "고양이",
    ],
)  # fmt: skip
def test_letters_that_are_no_number(text: str) -> None:
    assert numbers(text) == []


def test_two_numbers_stay_two() -> None:
    read = [number.term for number in numbers("10만 3명이 3월 15일 1박 2일")]
    assert read == ["100000", "3명", "3월", "15일", "1박", "2일"]


def test_places_are_those_of_what_is_written() -> None:
    text = "😀 약 1억 5천만 원을 세 사람이"
    assert [text[number.start : number.end] for number in numbers(text)] == ["1억 5천만 원", "세 사람"]


def test_a_row_is_found_with_and_without_what_is_counted() -> None:
    assert terms("세 시 3명 100") == ["100", "3", "3명", "3시"]


def test_a_number_of_more_digits_than_anybody_says_is_none() -> None:
    assert numbers("1" * 21) == []
    assert numbers("1" * 20)


@pytest.mark.parametrize("piece", ["1", "만 ", "삼천", "1억 ", "1,", "1,234", "1만", "3.5", "이 ", "한 ", "이이", "가"])
def test_a_long_text_is_read_in_one_pass(piece: str) -> None:
    """A pattern that looks back for each place would take hours."""
    assert numbers((piece * 200_000)[:200_000] + " 그리고 세 시")[-1].term == "3시"


@given(st.text("0123456789,. %영일이삼구십백천만억조열스물무한두세네다섯유시월원명번개퍼센트가에😀", max_size=60))
def test_whatever_is_written_its_numbers_follow_each_other(text: str) -> None:
    end = 0
    for number in numbers(text):
        assert end <= number.start < number.end <= len(text)
        assert re.fullmatch(r"(?:0|[1-9]\d*)(?:\.\d*[1-9])?", number.value)
        end = number.end
