"""Memory text: ``contracts.ports.TextIndex`` in dicts, for tests; words match when they begin alike."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from adapters.text import _suggest
from contracts.errors import DependencyUnavailable
from contracts.ids import tag_name
from contracts.jamo import continuations
from contracts.ports import Suggested, TextHit, TextQuery, TextRow
from contracts.vocabulary import COMMITTED, Vocabulary

_WORD = re.compile(r"\w+")
_MIN_ALIKE_CHARS = 2
_MIN_ALIKE_SHARE = 0.6  # of the longer word: 고양이가 and 고양이를 are alike, 사과 and 사과나무 are not
_K1, _B = 1.2, 0.75  # BM25's usual constants


class MemoryText:
    """The indices of one process. Neither inflected words, parts of compounds nor numbers in letters are known."""

    def __init__(self) -> None:
        self._indices: dict[str, dict[str, TextRow]] = {}
        self._synonyms: dict[str, Sequence[frozenset[str]]] = {}

    async def ensure(self, index: str, vocabulary: Vocabulary = COMMITTED) -> None:
        """Create the index if it is absent; of the vocabulary it knows the synonyms, for it cuts no words."""
        self._indices.setdefault(index, {})
        own = [frozenset(word.casefold() for word in group) for group in vocabulary.synonyms]
        self._synonyms.setdefault(index, own)

    async def upsert(self, index: str, rows: Sequence[TextRow]) -> None:
        """Write rows. Raises DependencyUnavailable (transient) when nobody has made the index."""
        if index not in self._indices:
            raise DependencyUnavailable("memory", f"index {index} is not there")
        there = self._indices[index]
        for row in rows:
            if row.row_id not in there or there[row.row_id].revision <= row.revision:
                there[row.row_id] = row

    async def refresh(self, index: str) -> None:
        """Do nothing: what is written is searchable."""

    async def search(self, index: str, queries: Sequence[TextQuery]) -> Sequence[Sequence[TextHit]]:
        """Return up to ``limit`` rows by what is said and as many by tags."""
        synonyms = self._synonyms.get(index, ())
        return [self._search(self._indices.get(index, {}), query, synonyms) for query in queries]

    async def holding(self, index: str, tenant_id: str, row_ids: Sequence[str], texts: Sequence[str]) -> frozenset[str]:
        """Return the rows that say or are tagged any of the texts."""
        wanted, phrases = frozenset(row_ids), [_words(text) for text in texts]

        def holds(row: TextRow) -> bool:
            told = [_words(text) for text in (row.transcript, *_tag_names(row))]
            return any(_has_phrase(words, phrase) for words in told for phrase in phrases)

        return frozenset(row.row_id for row in self._of(index, tenant_id) if row.row_id in wanted and holds(row))

    async def highlight(self, index: str, text: str, transcripts: Sequence[str]) -> Sequence[Sequence[tuple[int, int]]]:
        """Return the ranges of what words have in common with a word of ``text``."""
        words = _words(text) if index in self._indices else []
        wanted = [way for ways in _ways(words, self._synonyms.get(index, ())).values() for way in ways]
        return [list(_marks(transcript, wanted)) for transcript in transcripts]

    async def suggest(
        self, index: str, tenant_id: str, beginnings: Sequence[str], *, limit: int
    ) -> Sequence[Sequence[Suggested]]:
        """Return words as they are said, with their particles, and names of tags."""
        rows = [_suggest.kept(_WORD.findall(row.transcript), _tag_names(row)) for row in self._of(index, tenant_id)]
        scenes = Counter(text for row in rows for text in row)

        def words(begun: str) -> list[Suggested]:
            meant = set(continuations((text for text, _ in scenes), begun))
            return _suggest.best_first(Suggested(*word, rows) for word, rows in scenes.items() if word[0] in meant)

        return [words(begun)[:limit] for begun in beginnings]

    async def delete(self, index: str, row_ids: Sequence[tuple[str, str]]) -> None:
        """Remove rows."""
        for row_id, _ in row_ids:
            self._indices.get(index, {}).pop(row_id, None)

    async def delete_video(self, index: str, tenant_id: str, video_id: str) -> None:
        """Remove every row of a video."""
        gone = [row.row_id for row in self._of(index, tenant_id) if row.video_id == video_id]
        for row_id in gone:
            del self._indices[index][row_id]

    async def count(self, index: str, tenant_id: str, video_id: str | None = None) -> int:
        """Return how many rows there are."""
        return sum(video_id in {None, row.video_id} for row in self._of(index, tenant_id))

    async def drop(self, index: str) -> None:
        """Remove the index."""
        self._indices.pop(index, None)
        self._synonyms.pop(index, None)

    def _of(self, index: str, tenant_id: str) -> Iterator[TextRow]:
        return (row for row in self._indices.get(index, {}).values() if row.tenant_id == tenant_id)

    def _search(
        self, rows: Mapping[str, TextRow], query: TextQuery, synonyms: Sequence[frozenset[str]]
    ) -> list[TextHit]:
        spoken = {row_id: _words(row.transcript) for row_id, row in rows.items()}
        wanted = list(dict.fromkeys(_words(" ".join((query.text, *query.phrases)))))
        ways = _ways(wanted, synonyms)
        weights = _weights(ways, list(spoken.values()))
        total = sum(weights.values()) or 1.0
        mean_length = sum(map(len, spoken.values())) / max(1, len(spoken)) or 1.0
        hits = []
        for row in rows.values():
            words = spoken[row.row_id]
            if row.tenant_id != query.tenant_id or not query.scope.holds(row.video_id, row.start_ms):
                continue
            if not set(query.tags) <= set(row.tags):
                continue
            if not all(_has_phrase(words, _words(phrase)) for phrase in query.phrases):
                continue
            named = [word for name in _tag_names(row) for word in _words(name)]
            tag_score = sum(weight for word, weight in weights.items() if _times_any(ways[word], named)) / total
            times = {word: _times_any(ways[word], words) for word in weights}
            coverage = sum(weight for word, weight in weights.items() if times[word]) / total
            norm = _K1 * (1 - _B + _B * len(words) / mean_length)
            bm25 = sum(weight * times[word] / (times[word] + norm) for word, weight in weights.items())
            if bm25 or tag_score or query.tags:
                hits.append(TextHit(row.row_id, bm25, tag_score, coverage, row.video_id))
        spoken_of = (hit for hit in hits if hit.bm25 or query.tags)
        said = sorted(spoken_of, key=lambda hit: (-hit.bm25, hit.row_id))[: query.limit]
        tagged_of = (hit for hit in hits if hit.tag_score)
        tagged = sorted(tagged_of, key=lambda hit: (-hit.tag_score, hit.row_id))[: query.limit]
        listed = {hit.row_id: hit._replace(tag_score=0.0) for hit in said}
        for hit in tagged:
            listed[hit.row_id] = hit if hit.row_id in listed else hit._replace(bm25=0.0, coverage=0.0)
        return sorted(listed.values(), key=lambda hit: (-hit.bm25, -hit.tag_score, hit.row_id))


def _tag_names(row: TextRow) -> list[str]:
    return [*row.tag_names, *map(tag_name, row.tags)]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _alike(one: str, other: str) -> int:
    """Return how many characters at the beginning two words share, if they share enough; else 0."""
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    longer = max(len(one), len(other))
    return shared if one == other or (shared >= _MIN_ALIKE_CHARS and shared >= _MIN_ALIKE_SHARE * longer) else 0


def _times(word: str, words: Sequence[str]) -> int:
    return sum(1 for other in words if _alike(word, other))


def _ways(words: Iterable[str], synonyms: Sequence[frozenset[str]]) -> dict[str, tuple[str, ...]]:
    """Return word -> itself and what means the same: synonyms of words that are like it."""
    return {
        word: (word, *(other for group in synonyms if _times(word, sorted(group)) for other in sorted(group)))
        for word in words
    }


def _times_any(ways: Sequence[str], words: Sequence[str]) -> int:
    return sum(1 for other in words if any(_alike(way, other) for way in ways))


def _weights(wanted: Mapping[str, Sequence[str]], spoken: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return BM25's inverse document frequency of each word, said in whichever of its ways."""
    having = {word: sum(1 for words in spoken if _times_any(ways, words)) for word, ways in wanted.items()}
    return {word: math.log(1 + (len(spoken) - rows + 0.5) / (rows + 0.5)) for word, rows in having.items()}


def _has_phrase(words: Sequence[str], phrase: Sequence[str]) -> bool:
    places = range(len(words) - len(phrase) + 1)
    return bool(phrase) and any(all(map(_alike, words[place:], phrase)) for place in places)


def _marks(transcript: str, wanted: Sequence[str]) -> Iterator[tuple[int, int]]:
    for found in _WORD.finditer(transcript):
        shared = max((_alike(found[0].casefold(), word) for word in wanted), default=0)
        if shared:
            yield found.start(), found.start() + shared
