"""Query: a lexical query and what the index knows of its words -> two searches, and their answers -> hits. Pure.

One search ranks by what is said, the other by tags: a row that has only the one is not cut off by the other's list.
Coverage costs nothing more: whatever shows that a row holds a word is a named clause, so every hit says what it holds.
What is said or tagged by a synonym is held. A word that nobody has said may have been misheard, or cut otherwise: it
is held by the share of its pairs of letters, if it has several: a single one is in too much else (이자 in "이 자리").
The pairs of a part of a compound are also those with the letters beside it: 집현 of 집현전 has 집현 and 현전.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any

from adapters.text._marks import END, RUN, code_points
from adapters.text._numbers import numbers
from adapters.text._synonyms import Synonyms
from adapters.text.analysis import SEARCHED
from contracts.ports import EVERYWHERE, Scope, TextHit, TextQuery

Body = dict[str, Any]

_PAIRS_BOOST = 0.3
"""Source: with nori ^1 the best of the ways measured, see ``analysis``."""

_EXACT_BOOST = 0.1
"""Source: likewise."""

_MAX_SLOP = 3

_PIECES_BOOST = 0.5
_MIN_PIECES = 0.5
"""Of a pair of letters of a word that nobody has said, and the least share of them that counts: fewer are of other
words. Source: ``heimdex eval`` on the project's scenes; without the boost, the home of a stray word is the first.
"""

_SYNONYM = "match_phrase"
"""Kind of the signs of synonyms: the index may cut one into several words."""

_MIN_PAIRS, _OWN = 2, 2
"""Pairs that tell such a word, at least, and how much more an own one counts than one with a letter beside it, which a
scene may have by what is beside it. Source: likewise; of one pair alone 3 words of 197 were said, and 14 were not.
"""

_MOST_BESIDE = 16
"""Letters before and after such a word that are told with it: more are no compound, and a query may be one of 1,000."""

_PAIR = re.compile(r"[가-힣]{2}")
_HANGUL_AND_DIGITS = re.compile(r"[가-힣\d\s]+")
_NOT_HANGUL = re.compile(r"[^가-힣\d\s]+")

# One search may have 1,024 clauses in all; a query has at most 1,000 characters.
_MAX_WORDS = 128
_MAX_PAIRS_CHARS = 256
_MAX_EXACT_CHARS = 256  # 128 words at most
_MAX_SYNONYMS = 64
_MAX_NUMBERS = 32
_MAX_PIECES = 128

_ROW_ONLY: Body = {
    # From doc values: reading 50 stored documents costs as much as finding them.
    "stored_fields": "_none_",
    "docvalue_fields": ["row_id", "video_id"],
    "track_total_hits": False,
}


@dataclass(frozen=True, slots=True)
class Words:
    """What the index knows of the words of a text.

    Attributes:
        idf: word -> how rare it is in speech, > 0; highest for one that nobody has said.
        count: words, with repetitions.
        unsaid: words that nobody has said -> the pairs of letters that tell them -> their shares; none where those are
            too few.
        numbers: what rows compare them by -> the words that each is written with.
    """

    idf: Mapping[str, float]
    count: int
    unsaid: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    numbers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sign:
    """What shows that a row holds words of the query.

    Attributes:
        kind, field, asked: the clause that it fulfils then.
        words: that it holds.
        share: how much of each, (0, 1].
    """

    kind: str
    field: str
    asked: Body
    words: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A query, ready to ask.

    Attributes:
        shares: word of the text -> its share of the whole query by idf.
        in_phrases: words that every hit holds -> their shares.
        slops: how far the words of each phrase may be from their places.
        signs: of words of the text; each is asked for by its number as a name.
    """

    query: TextQuery
    shares: Mapping[str, float]
    in_phrases: Mapping[str, float]
    slops: tuple[int, ...]
    signs: tuple[Sign, ...]


def normal(query: TextQuery) -> TextQuery:
    """Return the query as rows are written: in NFC, without what is empty."""
    phrases = tuple(unicodedata.normalize("NFC", phrase) for phrase in query.phrases if phrase)
    return replace(query, text=unicodedata.normalize("NFC", query.text), phrases=phrases)


def statistics_request(text: str) -> Body:
    """Return the document of an ``_mtermvectors`` call that tells the words of ``text``."""
    return {
        "doc": {"transcript": text + END},
        "fields": ["transcript"],
        "per_field_analyzer": {"transcript": SEARCHED},
        "term_statistics": True,
        "field_statistics": True,
        "positions": False,
        "offsets": True,
        "payloads": False,
    }


def words(text: str, answer: Mapping[str, Any]) -> Words:
    """Read what the answer to ``statistics_request`` says of ``text``."""
    vector = answer.get("term_vectors", {}).get("transcript")
    if vector is None:
        return Words({}, 0)
    rows = vector["field_statistics"]["doc_count"]
    idf = {word: _idf(rows, term.get("doc_freq", 0)) for word, term in vector["terms"].items()}
    at = code_points(text + END)
    places = {
        word: [(at[token["start_offset"]], at[token["end_offset"]]) for token in term["tokens"]]
        for word, term in vector["terms"].items()
    }
    silent = {word: at_ for word, at_ in places.items() if not vector["terms"][word].get("doc_freq", 0)}
    letters, unsaid = _covered(places.values()), _covered(silent.values())
    telling = {word: _telling(text, word, at_, letters, unsaid) for word, at_ in silent.items()}
    written = {
        number.term: tuple(
            word
            for word, at_ in places.items()
            if any(number.start <= first and last <= number.end for first, last in at_)
        )
        for number in numbers(text)
    }
    return Words(idf, sum(term["term_freq"] for term in vector["terms"].values()), telling, written)


def _covered(ranges: Iterable[Sequence[tuple[int, int]]]) -> frozenset[int]:
    return frozenset(place for some in ranges for first, last in some for place in range(first, last))


def _telling(
    text: str, word: str, places: Sequence[tuple[int, int]], letters: Container[int], unsaid: Container[int]
) -> Mapping[str, float]:
    """Return the pairs of letters that tell a word that nobody has said -> their shares.

    Unsaid words that are written together are told as one, with the letter before and after them.

    Args:
        places: of the word in ``text``.
        letters, unsaid: places of the letters of all its words, without those of particles, and of the unsaid ones.
    """
    own, beside = dict.fromkeys(_pairs(word), _OWN), {}
    as_written = (place for place in places if text[slice(*place)] == word)  # not so where a verb is inflected
    for at, end in as_written:
        first = next(place for place in count(at, -1) if place - 1 not in unsaid or at - place == _MOST_BESIDE)
        last = next(place for place in count(end) if place not in unsaid or place - end == _MOST_BESIDE)
        own.update(dict.fromkeys(_pairs(text[first:last]), _OWN))
        beside.update(dict.fromkeys(_pairs(text[first - (first - 1 in letters) : last + (last in letters)]), 1))
    weights = {**beside, **own}
    total = sum(weights.values())
    return {pair: weight / total for pair, weight in weights.items()} if len(weights) >= _MIN_PAIRS else {}


def _pairs(part: str) -> Iterator[str]:
    return filter(_PAIR.fullmatch, map("".join, pairwise(part)))


def plan(query: TextQuery, known: Mapping[str, Words], synonyms: Synonyms) -> Plan:
    """Return the plan of a query; ``known`` has the words of its text and of its phrases."""
    phrases = [known[phrase] for phrase in query.phrases]
    in_phrases = {word: idf for phrase in phrases for word, idf in phrase.idf.items()}
    text = known[query.text].idf if query.text else {}
    rarest = dict(sorted(text.items(), key=lambda item: (-item[1], item[0]))[:_MAX_WORDS])
    total = sum({**rarest, **in_phrases}.values())
    return Plan(
        query,
        {word: idf / total for word, idf in rarest.items()},
        {word: idf / total for word, idf in in_phrases.items()},
        tuple(map(_slop, phrases)),
        _signs(query.text, rarest, known[query.text], synonyms) if rarest else (),
    )


def _signs(text: str, words_: Mapping[str, float], known: Words, synonyms: Synonyms) -> tuple[Sign, ...]:
    signs = [Sign("term", "transcript", {"value": word}, (word,), 1.0) for word in words_]
    signs += [
        Sign(_SYNONYM, "transcript", {"query": another.text}, another.instead_of, 1.0)
        for another in synonyms.of(text, words_)[:_MAX_SYNONYMS]
    ]
    for number, written in list(known.numbers.items())[:_MAX_NUMBERS]:
        asked = {"value": number, "boost": max(1, len(written))}  # as much as the words that it is written with
        signs.append(Sign("term", "numbers", asked, tuple(word for word in written if word in words_), 1.0))
    pieces = [(pair, word, share) for word in words_ for pair, share in known.unsaid.get(word, {}).items()]
    signs += [
        Sign("term", "transcript.two", {"value": pair, "boost": _PIECES_BOOST}, (word,), share)
        for pair, word, share in pieces[:_MAX_PIECES]
    ]
    return tuple(signs)


def speech_search(plan_: Plan) -> Body:
    """Return the search that ranks by what is said; hits name the words they hold by number."""
    query = plan_.query
    should: list[Body] = [
        {sign.kind: {sign.field: {**sign.asked, "_name": str(number)}}} for number, sign in enumerate(plan_.signs)
    ]
    if query.text:
        hangul = _NOT_HANGUL.sub("·", query.text[:_MAX_PAIRS_CHARS])  # pairs of Latin letters are in anything
        pairs = {"query": hangul, "boost": _PAIRS_BOOST}
        should.append({"match": {"transcript.two": pairs}})
        exact = {"query": query.text[:_MAX_EXACT_CHARS], "boost": _EXACT_BOOST}
        should.append({"match": {"transcript.exact": exact}})
    at_least = 0 if query.phrases or query.tags else 1
    return _search(plan_, {"must": _phrases(plan_.query.phrases, plan_.slops), "should": should}, at_least=at_least)


def tag_search(plan_: Plan) -> Body:
    """Return the search that ranks by the share of the query that the names of a row's tags hold, by whichever word."""
    shares = {**plan_.shares, **plan_.in_phrases}
    named: dict[str, list[Body]] = {word: [{"term": {"tag_names": word}}] for word in list(shares)[:_MAX_WORDS]}
    for sign in plan_.signs:
        if sign.kind == _SYNONYM:
            for word in sign.words:
                named[word].append({_SYNONYM: {"tag_names": sign.asked}})
    should: list[Body] = [
        {"constant_score": {"filter": {"bool": {"should": names}}, "boost": shares[word]}}
        for word, names in named.items()
    ]
    said = _phrases(plan_.query.phrases, plan_.slops)
    return _search(plan_, {"should": should or [{"match_none": {}}]}, at_least=1, filters=said)


def hits(plan_: Plan, speech: Mapping[str, Any], tags: Mapping[str, Any]) -> list[TextHit]:
    """Merge the answers to both searches: by BM25, then by tags, then by row id."""
    videos = {_row(hit): str(hit["fields"]["video_id"][0]) for hit in (*speech["hits"]["hits"], *tags["hits"]["hits"])}
    tagged = {_row(hit): min(1.0, hit["_score"]) for hit in tags["hits"]["hits"]}
    coverage: dict[tuple[str, ...], float] = {}  # many rows show the same
    said = {}
    for hit in speech["hits"]["hits"]:
        shown = tuple(hit.get("matched_queries", ()))
        if shown not in coverage:
            coverage[shown] = _coverage(plan_, shown)
        said[_row(hit)] = (hit["_score"], coverage[shown])
    merged = [TextHit(row, bm25, tagged.get(row, 0.0), held, videos[row]) for row, (bm25, held) in said.items()]
    merged += [TextHit(row, 0.0, score, 0.0, videos[row]) for row, score in tagged.items() if row not in said]
    return sorted(merged, key=lambda hit: (-hit.bm25, -hit.tag_score, hit.row_id))


def holding_search(tenant_id: str, row_ids: Sequence[str], texts: Mapping[str, Words]) -> Body:
    """Return the search for those of the rows that hold any of the texts, each as a phrase, in speech or tags."""
    slops = [_slop(known) for known in texts.values()]
    should = [*_phrases(list(texts), slops), *_in_words(list(texts), slops, "tag_names")]
    rows = {"ids": {"values": list(row_ids)}}
    found = {"bool": {"filter": [*within(tenant_id), rows], "should": should, "minimum_should_match": 1}}
    return {"size": len(row_ids), "query": found, **_ROW_ONLY}


def rows(answer: Mapping[str, Any]) -> frozenset[str]:
    """Read the rows of an answer."""
    return frozenset(map(_row, answer["hits"]["hits"]))


def within(tenant_id: str, scope: Scope = EVERYWHERE) -> list[Body]:
    """Return filters: of the tenant, within the scope."""
    filters: list[Body] = [{"term": {"tenant_id": tenant_id}}]
    if scope.video_ids:
        filters.append({"terms": {"video_id": list(scope.video_ids)}})
    limits = {"gte": scope.start_from_ms, "lt": scope.start_to_ms}
    begins = {limit: start_ms for limit, start_ms in limits.items() if start_ms is not None}
    return [*filters, {"range": {"start_ms": begins}}] if begins else filters


def _search(plan_: Plan, clauses: Body, *, at_least: int, filters: Sequence[Body] = ()) -> Body:
    query = plan_.query
    tagged = [{"term": {"tags": tag}} for tag in query.tags]
    scope = [*within(query.tenant_id, query.scope), *tagged, *filters]
    found = {"bool": {"filter": scope, "minimum_should_match": at_least, **clauses}}
    return {"size": query.limit, "query": found, **_ROW_ONLY}


def _phrases(phrases: Sequence[str], slops: Sequence[int]) -> list[Body]:
    """Return a clause for each phrase: its words are said, or its letters, whatever spaces there are."""
    clauses: list[Body] = []
    for phrase, words_ in zip(phrases, _in_words(phrases, slops, "transcript"), strict=True):
        letters: Body = {"match_phrase": {"transcript.two": {"query": phrase, "boost": _PAIRS_BOOST}}}
        has_letters = _HANGUL_AND_DIGITS.fullmatch(phrase) and len("".join(phrase.split())) >= RUN
        clauses.append({"bool": {"should": [words_, letters]}} if has_letters else words_)
    return clauses


def _in_words(phrases: Sequence[str], slops: Sequence[int], field: str) -> list[Body]:
    pairs = zip(phrases, slops, strict=True)
    return [{"match_phrase": {field: {"query": phrase, "slop": slop}}} for phrase, slop in pairs]


def _slop(phrase: Words) -> int:
    """Return how far words of a phrase may be from their places: one for each at which a particle may be left out.

    Two words then never match in the other order.
    """
    return min(_MAX_SLOP, max(0, phrase.count - 1))


def _coverage(plan_: Plan, shown: Sequence[str]) -> float:
    """Return the share of the query that a row holds that shows these signs, by their numbers, [0, 1]."""
    held: dict[str, float] = defaultdict(float)
    for number in shown:
        sign = plan_.signs[int(number)]
        for word in sign.words:
            held[word] += sign.share
    counted = ((word, min(1.0, share)) for word, share in held.items() if share >= _MIN_PIECES)
    more = sum(plan_.shares[word] * share for word, share in counted if word not in plan_.in_phrases)
    return min(1.0, sum(plan_.in_phrases.values()) + more)


def _row(hit: Mapping[str, Any]) -> str:
    return str(hit["fields"]["row_id"][0])


def _idf(rows: int, rows_with: int) -> float:
    """Return BM25's inverse document frequency."""
    return math.log(1 + (rows - rows_with + 0.5) / (rows_with + 0.5))
