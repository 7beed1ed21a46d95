"""Suggest: what a scene says and its tags -> terms of its row; a beginning -> a search, and its answer -> words. Pure.

A term is what the word is found by, what it is, and the word, such as ``ㄱㅊㅉㄱ | word | 김치찌개``, in two fields: by
letters and by initial consonants. Terms that begin alike lie together in the index, which counts rows by term.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.text._marks import Stem, merged
from contracts.jamo import beginnings, folded, initials, is_initials, jamo
from contracts.ports import Suggested

LETTERS, INITIALS = "suggest_letters", "suggest_initials"

_END = "\x1f"  # Unicode's unit separator: in no word
_WORD, _TAG = "word", "tag"

_MIN_CHARS, _MAX_CHARS = 2, 50
"""A syllable alone is mostly a part of a word, and what is longer is no word."""

_SIGN, _QUOTED = re.compile(r"(\W)"), r"\\\1"  # any of them may mean something in a pattern

_FOUND_BY: Mapping[str, Callable[[str], str]] = {LETTERS: jamo, INITIALS: initials}


def nouns(word: str, parts: Sequence[Stem]) -> Iterable[str]:
    """Return the nouns of a word as it is written: each, and those that follow each other as one.

    금융통화위원회가 has 금융, 통화, 위원회, 위원 and 금융통화위원회.
    """
    places = sorted({(first, last) for _, first, last in parts})
    return dict.fromkeys(word[first:last] for first, last in (*places, *merged(places)))


def kept(words: Iterable[str], tag_names: Iterable[str]) -> list[tuple[str, bool]]:
    """Return (text, is_tag) of what a row keeps of its words and its tags' names, each once whatever its case."""
    each = {
        (text.casefold(), is_tag): text
        for texts, is_tag in ((words, False), (tag_names, True))
        for text in texts
        if _MIN_CHARS <= len(text) <= _MAX_CHARS
    }
    return [(text, is_tag) for (_, is_tag), text in each.items()]


def fields(words: Iterable[str], tag_names: Iterable[str]) -> dict[str, list[str]]:
    """Return the two fields of a row."""
    texts = kept(words, tag_names)
    return {
        field: [f"{found_by(folded(text))}{_END}{_TAG if is_tag else _WORD}{_END}{text}" for text, is_tag in texts]
        for field, found_by in _FOUND_BY.items()
    }


def suggest_search(scope: Sequence[Mapping[str, Any]], begun: str, limit: int) -> dict[str, Any]:
    """Return the search that counts rows by term."""
    typed = folded(begun)[: _MAX_CHARS + 1]  # of what is longer than a word, enough that none goes on so
    field = INITIALS if is_initials(typed) else LETTERS
    pattern = f"({'|'.join(_SIGN.sub(_QUOTED, opening) for opening in beginnings(typed))}).*"
    return {
        "size": 0,
        "query": {"bool": {"filter": [*scope, {"regexp": {field: pattern}}]}},
        "aggs": {"terms": {"terms": {"field": field, "include": pattern, "size": limit}}},
    }


def counts(answer: Mapping[str, Any]) -> Iterator[Suggested]:
    """Yield the words of the answer as they are counted, one of several cases several times."""
    for bucket in answer["aggregations"]["terms"]["buckets"]:
        _, kind, text = bucket["key"].split(_END)
        yield Suggested(text, kind == _TAG, bucket["doc_count"])


def best_first(counted: Iterable[Suggested]) -> list[Suggested]:
    """Return words, those of most scenes first; one in several cases as most scenes have it, with the scenes of all."""
    found: dict[tuple[str, bool], Suggested] = {}
    for word in sorted(counted, key=_order):
        known = found.setdefault((word.text.casefold(), word.is_tag), word._replace(scenes=0))
        found[word.text.casefold(), word.is_tag] = known._replace(scenes=known.scenes + word.scenes)
    return sorted(found.values(), key=_order)


def _order(word: Suggested) -> tuple[int, str, bool]:
    return (-word.scenes, word.text, word.is_tag)
