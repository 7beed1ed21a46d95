"""Vocabulary: a deployment's own words and synonyms, as somebody wrote them -> what a text index is made with. Pure.

They are added to the committed ones, never instead of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contracts.errors import FieldViolation, InvalidRequest
from contracts.text import may_fit

MAX_WORDS = 2_000
"""Lines of the dictionary. Source: each index keeps them several times in OpenSearch's cluster state."""

MAX_GROUPS = 1_000
MAX_GROUP_WORDS = 10
"""A query that holds a word is asked once more for each other word of its group."""

MAX_WORD_CHARS = 50
"""Source: longer words are not suggested either, ``adapters/text/_suggest.py``."""

MIN_GROUP_WORDS = 2

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_COMMENT = "#"  # the analyser leaves out what follows it
_SHOWN = 20  # violations named in one error


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a text index knows beside the committed words; all in NFC.

    Attributes:
        dictionary: a line a word that must not be cut otherwise: ``에어팟``, or a compound with its parts, which
            joined are the word: ``주문상세내역 주문 상세 내역``. Each word once.
        synonyms: groups of two words and more that mean the same; no word has a space in it.
    """

    dictionary: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()


COMMITTED = Vocabulary()
"""Nothing but the committed words."""


def vocabulary(dictionary: Sequence[str], synonyms: Sequence[Sequence[str]], *, field: str) -> Vocabulary:
    """Return the words in NFC, with single spaces between the parts of a line.

    Args:
        field: path of the message with ``dictionary`` and ``synonyms``.

    Raises: InvalidRequest (permanent) naming up to 20 lines: ``vocabulary.synonyms[3].words[1]``.
    """
    lines = [list(map(_nfc, line.split())) for line in dictionary]
    groups = [[_nfc(word.strip()) for word in group] for group in synonyms]
    wrong = [*_wrong_lines(lines, f"{field}.dictionary"), *_wrong_groups(groups, f"{field}.synonyms")]
    if wrong:
        raise InvalidRequest(*wrong[:_SHOWN])
    return Vocabulary(tuple(map(" ".join, lines)), tuple(map(tuple, groups)))


def _nfc(word: str) -> str:
    return unicodedata.normalize("NFC", word) if may_fit(word, MAX_WORD_CHARS) else word


def _wrong_lines(lines: Sequence[Sequence[str]], field: str) -> Iterator[FieldViolation]:
    if len(lines) > MAX_WORDS:
        yield FieldViolation(field, f"has {len(lines)} lines, more than {MAX_WORDS}")
        return
    seen: set[str] = set()
    for number, line in enumerate(lines):
        problem = _wrong_line(line)
        if not problem and line[0] in seen:
            problem = "is of a word that has a line before"
        if problem:
            yield FieldViolation(f"{field}[{number}]", problem)
        else:
            seen.add(line[0])


def _wrong_line(line: Sequence[str]) -> str:
    """Return what is wrong with a line; empty for nothing."""
    if not line:
        return "is empty"
    word, *parts = line
    if problem := next(filter(None, map(_wrong_word, line)), ""):
        return problem
    if parts and "".join(parts) != word:
        return "has parts which joined are not the word"
    if len(parts) == 1:
        return "has a single part: leave it out"
    return ""


def _wrong_groups(groups: Sequence[Sequence[str]], field: str) -> Iterator[FieldViolation]:
    if len(groups) > MAX_GROUPS:
        yield FieldViolation(field, f"has {len(groups)} groups, more than {MAX_GROUPS}")
        return
    for number, group in enumerate(groups):
        path = f"{field}[{number}].words"
        if not MIN_GROUP_WORDS <= len(group) <= MAX_GROUP_WORDS:
            yield FieldViolation(path, f"has {len(group)} words, outside of [{MIN_GROUP_WORDS}, {MAX_GROUP_WORDS}]")
        seen: set[str] = set()
        for place, word in enumerate(group):
            if problem := _wrong_word(word) or ("is there twice" if word.lower() in seen else ""):
                yield FieldViolation(f"{path}[{place}]", problem)
            seen.add(word.lower())


def _wrong_word(word: str) -> str:
    """Return what is wrong with a word; empty for nothing."""
    problems = {
        "is empty": not word,
        f"has a word longer than {MAX_WORD_CHARS} code points": len(word) > MAX_WORD_CHARS,
        "has a space within a word": any(char.isspace() for char in word),
        "has control characters": any(unicodedata.category(char) in _UNSEEN for char in word),
        f"has a {_COMMENT}": _COMMENT in word,
        "has a word without a letter or a digit": not any(map(str.isalnum, word)),
    }
    return next((problem for problem, found in problems.items() if found), "")
