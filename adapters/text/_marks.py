"""Marks: words of texts -> where in a transcript the words of a query are, in code points. Pure but for what it keeps.

Texts are taken word by word, as spaces part them, and what was learnt of a word is kept: analysing 20 transcripts for
each search costs OpenSearch more than the search.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate

from adapters.text._numbers import numbers

Stem = tuple[str, int, int]
"""What a part of a word means to the index, and the half-open range of code points of that part."""

Stems = Mapping[str, tuple[Stem, ...]]

END = " "
"""Behind what is analysed, for the index to put a comma there: one put behind the last letter would move its end."""

_WORD = re.compile(r"\S{1,200}")
RUN = 4
"""Letters of Hangul that are looked for without regard to spaces: fewer are of two words that meet (누가 방에)."""

_HANGUL = re.compile(r"[가-힣]+")
_KEPT = 50_000
"""Words kept, some 20 MB; then the oldest goes for each new one."""

_MAX_CALL_CHARS = 8_000
"""Of one analysis. Source: OpenSearch refuses more than 10,000 tokens."""


class WordBook:
    """What is known of the words of one index."""

    def __init__(self) -> None:
        self._stems: dict[str, tuple[Stem, ...]] = {}

    def look_up(self, texts: Iterable[str]) -> tuple[dict[str, tuple[Stem, ...]], list[str]]:
        """Return what is known of the words of ``texts``, and the words that are not, each once."""
        all_words = dict.fromkeys(word for text in texts for word in in_words(text))
        known = {word: self._stems[word] for word in all_words if word in self._stems}
        return known, [word for word in all_words if word not in known]

    def learn(self, stems: Stems) -> None:
        """Keep what was learnt."""
        self._stems.update(stems)
        for word in list(self._stems)[: max(0, len(self._stems) - _KEPT)]:
            del self._stems[word]


def in_words(text: str) -> list[str]:
    """Return the words of a text, as spaces part them."""
    return _WORD.findall(text)


def in_calls(words: Sequence[str]) -> Iterator[list[str]]:
    """Split words into lists that one analysis takes."""
    batch: list[str] = []
    size = 0
    for word in words:
        if batch and size + len(word) > _MAX_CALL_CHARS:
            yield batch
            batch, size = [], 0
        batch.append(word)
        size += len(word)
    if batch:
        yield batch


def stems(words: Sequence[str], tokens: Iterable[Mapping[str, object]]) -> Stems:
    """Read the answer to an analysis of ``words``.

    Args:
        tokens: ``token``, ``start_offset`` and ``end_offset``: UTF-16 units from the beginning of the first word, with
            ``END`` and one unit between two words.
    """
    units = [code_points(word) for word in words]
    starts = [0, *accumulate(len(places) + len(END) for places in units)][:-1]
    found: dict[str, list[Stem]] = {word: [] for word in words}
    for token in tokens:
        start, end = int(str(token["start_offset"])), int(str(token["end_offset"]))
        number = bisect_right(starts, start) - 1
        places = units[number]
        first, last = places[start - starts[number]], places[end - starts[number]]
        found[words[number]].append((str(token["token"]), first, last))
    return {word: tuple(parts) for word, parts in found.items()}


def marks(text: str, transcripts: Sequence[str], known: Stems) -> list[list[tuple[int, int]]]:
    """Return half-open ranges of code points of each transcript that mean what a word or a number of ``text`` means,
    merged; and where there are none, of what is written as there, whatever spaces there are (된장 찌개, 된장찌개).
    """
    wanted = {stem for word in in_words(text) for stem, _, _ in known[word]}
    parts: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for word, own in known.items():
        for stem, first, last in own:
            if stem in wanted:
                parts[word].append((first, last))
    counted = frozenset(number.term for number in numbers(text))
    runs = _runs(text)
    return [_marked(transcript, parts, counted) or _alike(transcript, runs) for transcript in transcripts]


def _marked(
    transcript: str, parts: Mapping[str, Iterable[tuple[int, int]]], counted: AbstractSet[str]
) -> list[tuple[int, int]]:
    """Return the ranges of some words and numbers of a transcript, merged; ``parts`` has what is meant of each word."""
    words = ((word.start(), parts[word[0]]) for word in _WORD.finditer(transcript) if word[0] in parts)
    ranges = [(at + first, at + last) for at, places in words for first, last in places]
    if counted:
        said = numbers(transcript)
        ranges += [(number.start, number.end) for number in said if counted & number.terms]
    return merged(sorted(ranges))


def _runs(text: str) -> frozenset[str]:
    """Return each run of four letters of Hangul of a text, without regard to its spaces."""
    dense = "".join(text.split())
    runs = (dense[at : at + RUN] for at in range(len(dense) - RUN + 1))
    return frozenset(run for run in runs if _HANGUL.fullmatch(run))


def _alike(transcript: str, runs: AbstractSet[str]) -> list[tuple[int, int]]:
    """Return the ranges of these runs in a transcript, merged."""
    dense = "".join(transcript.split())
    said = [run for run in runs if run in dense]
    if not said:
        return []
    found = sorted(match.start() for run in said for match in re.finditer(run, dense))
    places = [place for place, char in enumerate(transcript) if not char.isspace()]
    return merged([(places[at], places[at + RUN - 1] + 1) for at in found])


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return half-open ranges, given in their order, with those that touch as one."""
    whole: list[tuple[int, int]] = []
    for first, last in ranges:
        if whole and first <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(last, whole[-1][1]))
        else:
            whole.append((first, last))
    return whole


def code_points(word: str) -> list[int]:
    """Return the code point at each UTF-16 unit of a word, and its length at the end."""
    return [place for place, char in enumerate(word) for _ in range(2 if ord(char) > 0xFFFF else 1)] + [len(word)]  # noqa: PLR2004  # the last of one unit
