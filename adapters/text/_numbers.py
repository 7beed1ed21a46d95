"""Numbers: a text -> what it counts, however that is written: 3천5백만 원, 35,000,000원 and 삼천오백만원 are one. Pure.

nori's own filter (``nori_number``) reads 221 in 22일, joins nothing across spaces (1억 5천만) and knows no native
numerals (세 시, 스무 살). So numbers are read here, of rows and of queries alike, and the index compares them.

Letters of numerals are in many other words (이 사람, 만일, 천사, 사회): they are a number before a word that counts
(``_COUNTERS``), or if they are three and more; and then nothing but a particle may follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

_DIGITS = dict(zip("영공일이삼사오육칠팔구", (0, *range(10)), strict=True))
_UNITS = {"십": 10, "백": 100, "천": 1_000, "만": 10_000, "억": 10**8, "조": 10**12}
_MYRIAD = _UNITS["만"]
_FULL_TENS = ("열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_TENS = {**dict(zip(_FULL_TENS, range(10, 100, 10), strict=True)), "스무": 20}
_ONES = {"한": 1, "두": 2, "세": 3, "네": 4, "다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8, "아홉": 9}
_OF_MONTHS = {"유": 6, "시": 10}
_NATIVE = {**_TENS, **_ONES, **_OF_MONTHS}
_LETTERS = {**_DIGITS, **_NATIVE}

_COUNTERS = (
    *("퍼센트포인트", "킬로그램", "킬로미터", "센티미터", "밀리미터", "퍼센트", "페이지", "포인트"),
    *("개월", "시간", "분기", "번째", "학년", "호선", "세기", "세대", "인분", "등급", "주년", "차례", "개국", "프로"),
    *("킬로", "센티", "밀리", "미터", "그램", "리터", "달러", "유로", "위안", "사람", "마리", "가지", "군데", "그루"),
    *("송이", "켤레", "포기", "바퀴", "봉지", "조각", "가구"),
    *"%년월일시분초도번회명인개대층호위등점배평살세주달차권장건엔원석잔병박톤곳채벌끼판줄통쌍팀강",
)
"""What counts; what another begins with comes after it."""

_SAME = {"%": "퍼센트", "프로": "퍼센트", "세": "살", "달": "개월", "사람": "명"}

_WRITTEN_TOGETHER = {"digit": "월층", "unit": "원명년번개%", "native": "시살명번개달"}
"""Counters of one letter that follow a numeral of one letter without a space: others make a word (사원, 만일, 세대)."""

_ALONE = 3
"""Letters of a numeral that needs no counter: 이만 is also "now", 천사 an angel."""

_GOES_ON = 3
"""Digits that go on with the number before a space: 2만 3000 is one number, 10만 3명 are two."""

_MOST = {"시": 24, "월": 12}
"""Of numerals in letters: 이천시 is a city."""

_MAX_DIGITS = 20


def _any(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, words))})"


_ARABIC = r"(?:\d{1,3}(?:,\d{3})+(?![,\d])|\d+)(?:\.\d+)?"
_DIGIT, _UNIT = _any(_DIGITS), _any(_UNITS)
_COUNTER = rf"(?!세\s?[살명번개달]){_any(_COUNTERS)}"  # of 만 세 살 it is the numeral
_PARTICLE = (
    "(?:이[나라고랑야며]?|가|은|는|을|를|과|와|도|만|의|에(?:서|는|도)?|으?로|까지|부터|마다|밖에|보다|씩|쯤|째|짜리|정도|동안|이상|이하|간"
    "|입니다|이에요|예요|인데|이래요?|이라고)"
)
_END = rf"(?={_PARTICLE}?(?![가-힣]))"

_WITH_DIGITS = re.compile(
    rf"(?P<numeral>{_ARABIC}(?:\s?{_UNIT}+(?:(?:{_ARABIC}|{_DIGIT})?{_UNIT}+)*\d*(?:(?=\s?{_COUNTER})|{_END}))?)"
    rf"(?P<space>\s?)(?P<counter>{_COUNTER})?"
)
_IN_LETTERS = re.compile(
    rf"(?<![가-힣\d])"
    rf"(?P<numeral>(?:{_DIGIT}?{_UNIT}+)+{_DIGIT}?|{_DIGIT}|{_any(_TENS)}{_any(_ONES)}?|{_any(_ONES)}|{_any(_OF_MONTHS)}(?=월))"
    rf"(?:(?P<space>\s?)(?P<counter>{_COUNTER}))?{_END}"
)
_PART = re.compile(f"{_ARABIC}|{_any(_NATIVE)}|{_DIGIT}|{_UNIT}")


class Number(NamedTuple):
    """A number of a text.

    Attributes:
        value: in digits, without what adds nothing: ``35000000``, ``3.5``.
        counter: what it counts in, by its first name; empty if nothing follows.
        start, end: half-open range of code points, with the counter.
    """

    value: str
    counter: str
    start: int
    end: int

    @property
    def term(self) -> str:
        """What a query asks for: ``35000000원``."""
        return self.value + self.counter

    @property
    def terms(self) -> frozenset[str]:
        """What a row that has it is found by: with its counter, and without."""
        return frozenset({self.term, self.value})


class _Read(NamedTuple):
    numeral: str
    space: str
    counter: str
    start: int
    end: int


def terms(text: str) -> list[str]:
    """Return what a row is found by for all numbers of its text."""
    return sorted(frozenset[str]().union(*(number.terms for number in numbers(text))))


def numbers(text: str) -> list[Number]:
    """Return the numbers of a text, in their order; those of more than 20 digits are left out."""
    read = sorted((*_reads(_WITH_DIGITS, text), *_reads(_IN_LETTERS, text)), key=lambda one: one.start)
    return [
        Number(value, _SAME.get(one.counter, one.counter), one.start, one.end)
        for one in _joined(read)
        if _is_number(one) and len(value := _value(one.numeral)) <= _MAX_DIGITS
    ]


def _reads(pattern: re.Pattern[str], text: str) -> Iterator[_Read]:
    for match in pattern.finditer(text):
        counter = match["counter"] or ""
        end = match.end("counter" if counter else "numeral")
        yield _Read(match["numeral"], match["space"] or "", counter, match.start(), end)


def _joined(read: Iterable[_Read]) -> list[_Read]:
    """Join 1억 with the 5천만 behind it, and 2만 with 3000; the letters of a number with digits are no other."""
    joined: list[_Read] = []
    for one in read:
        before = joined[-1] if joined else None
        if before and one.start == before.end + 1 and not before.counter and _goes_on(before.numeral, one.numeral):
            joined[-1] = one._replace(numeral=before.numeral + one.numeral, start=before.start)
        elif not before or one.start >= before.end:
            joined.append(one)
    return joined


def _goes_on(before: str, numeral: str) -> bool:
    first_unit = next((_UNITS[letter] for letter in numeral if letter in _UNITS), 1)
    is_short = numeral.isdecimal() and len(numeral) < _GOES_ON
    return not numeral.startswith(tuple(_NATIVE)) and first_unit < _UNITS.get(before[-1], 1) and not is_short


def _is_number(one: _Read) -> bool:
    if not one.numeral[0].isdecimal() and len(one.numeral) < _ALONE:
        if not one.counter or (len(one.numeral) == 1 and not _counts_one(one)):
            return False
        return one.counter not in _MOST or int(_value(one.numeral)) <= _MOST[one.counter]
    return True


def _counts_one(one: _Read) -> bool:
    if one.space:
        return one.numeral != "이"  # 이 사람 is "this person"
    kinds = {"digit": _DIGITS, "unit": _UNITS, "native": _NATIVE}
    together = (_WRITTEN_TOGETHER[kind] for kind, letters in kinds.items() if one.numeral in letters)
    return len(one.counter) > 1 or one.numeral in _OF_MONTHS or any(one.counter in letters for letters in together)


def _value(numeral: str) -> str:
    whole = section = Decimal(0)
    number: Decimal | None = None
    for part in _PART.findall(numeral):
        if part not in _UNITS:
            number = (number or 0) + Decimal(part.replace(",", "") if part[0].isdecimal() else _LETTERS[part])
        elif _UNITS[part] < _MYRIAD:
            section += (1 if number is None else number) * _UNITS[part]
            number = None
        else:
            whole += (1 if number is None and not section else section + (number or 0)) * _UNITS[part]
            section, number = Decimal(0), None
    return format((whole + section + (number or 0)).normalize(), "f")
