"""Query: a lexical query and what the index knows of its words -> two searches, and their answers -> hits. Pure.

One search ranks by what is said, the other by tags: a row that has only the one is not cut off by the other's list.
Coverage costs nothing more: each word is a named clause, so every hit says which it holds.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.text.analysis import SEARCHED
from contracts.ports import TextHit, TextQuery

Body = dict[str, Any]

_PAIRS_BOOST = 0.3
"""Source: with nori ^1 the best of the ways measured, see ``analysis``."""

_MAX_SLOP = 3

# One search may have 1,024 clauses in all; a query has at most 1,000 characters.
_MAX_WORDS = 128
_MAX_PAIRS_CHARS = 256

_ROW_ONLY: Body = {
    # Row ids from doc values: reading 50 stored documents costs as much as finding them.
    "stored_fields": "_none_",
    "docvalue_fields": ["row_id"],
    "track_total_hits": False,
}


@dataclass(frozen=True, slots=True)
class Words:
    """What the index knows of the words of a text.

    Attributes:
        idf: word -> how rare it is in speech, > 0; highest for one that nobody has said.
        count: words, with repetitions.
    """

    idf: Mapping[str, float]
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A query, ready to ask.

    Attributes:
        shares: word of the text -> its share of the whole query by idf.
        in_phrases: words that every hit holds -> their shares.
        slops: how far the words of each phrase may be from their places.
    """

    query: TextQuery
    shares: Mapping[str, float]
    in_phrases: Mapping[str, float]
    slops: tuple[int, ...]


def normal(query: TextQuery) -> TextQuery:
    """Return the query as rows are written: in NFC, without what is empty."""
    phrases = tuple(unicodedata.normalize("NFC", phrase) for phrase in query.phrases if phrase)
    return replace(query, text=unicodedata.normalize("NFC", query.text), phrases=phrases)


def statistics_request(text: str) -> Body:
    """Return the document of an ``_mtermvectors`` call that tells the words of ``text``."""
    return {
        "doc": {"transcript": text},
        "fields": ["transcript"],
        "per_field_analyzer": {"transcript": SEARCHED},
        "term_statistics": True,
        "field_statistics": True,
        "positions": False,
        "offsets": False,
        "payloads": False,
    }


def words(answer: Mapping[str, Any]) -> Words:
    """Read a document of the answer to ``statistics_request``."""
    vector = answer.get("term_vectors", {}).get("transcript")
    if vector is None:
        return Words({}, 0)
    rows = vector["field_statistics"]["doc_count"]
    idf = {word: _idf(rows, term.get("doc_freq", 0)) for word, term in vector["terms"].items()}
    return Words(idf, sum(term["term_freq"] for term in vector["terms"].values()))


def plan(query: TextQuery, known: Mapping[str, Words]) -> Plan:
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
        # One for each place at which a particle may be left out. Two words then never match in the other order.
        tuple(min(_MAX_SLOP, max(0, phrase.count - 1)) for phrase in phrases),
    )


def speech_search(plan_: Plan) -> Body:
    """Return the search that ranks by what is said; hits name the words they hold by number."""
    query = plan_.query
    should: list[Body] = [
        {"term": {"transcript": {"value": word, "_name": str(number)}}} for number, word in enumerate(plan_.shares)
    ]
    if query.text:
        pairs = {"query": query.text[:_MAX_PAIRS_CHARS], "boost": _PAIRS_BOOST}
        should.append({"match": {"transcript.two": pairs}})
    return _search(plan_, {"must": _phrases(plan_), "should": should}, at_least=0 if query.phrases else 1)


def tag_search(plan_: Plan) -> Body:
    """Return the search that ranks by the share of the query that the names of a row's tags hold."""
    shares = {**plan_.shares, **plan_.in_phrases}
    should: list[Body] = [
        {"constant_score": {"filter": {"term": {"tag_names": word}}, "boost": share}}
        for word, share in list(shares.items())[:_MAX_WORDS]
    ]
    return _search(plan_, {"should": should or [{"match_none": {}}]}, at_least=1, filters=_phrases(plan_))


def hits(plan_: Plan, speech: Mapping[str, Any], tags: Mapping[str, Any]) -> list[TextHit]:
    """Merge the answers to both searches: by BM25, then by tags, then by row id."""
    words_ = list(plan_.shares)
    given = sum(plan_.in_phrases.values())
    tagged = {_row(hit): min(1.0, hit["_score"]) for hit in tags["hits"]["hits"]}
    said = {}
    for hit in speech["hits"]["hits"]:
        held = {words_[int(number)] for number in hit.get("matched_queries", ())} - plan_.in_phrases.keys()
        said[_row(hit)] = (hit["_score"], min(1.0, given + sum(plan_.shares[word] for word in held)))
    merged = [TextHit(row, bm25, tagged.get(row, 0.0), coverage) for row, (bm25, coverage) in said.items()]
    merged += [TextHit(row, 0.0, score, 0.0) for row, score in tagged.items() if row not in said]
    return sorted(merged, key=lambda hit: (-hit.bm25, -hit.tag_score, hit.row_id))


def of_video(tenant_id: str, video_ids: Iterable[str]) -> list[Body]:
    """Return filters: of the tenant, and of any of the videos where some are given."""
    videos = list(video_ids)
    return [{"term": {"tenant_id": tenant_id}}, *([{"terms": {"video_id": videos}}] if videos else [])]


def _search(plan_: Plan, clauses: Body, *, at_least: int, filters: Sequence[Body] = ()) -> Body:
    query = plan_.query
    scope = [*of_video(query.tenant_id, query.video_ids), *filters]
    found = {"bool": {"filter": scope, "minimum_should_match": at_least, **clauses}}
    return {"size": query.limit, "query": found, **_ROW_ONLY}


def _phrases(plan_: Plan) -> list[Body]:
    pairs = zip(plan_.query.phrases, plan_.slops, strict=True)
    return [{"match_phrase": {"transcript": {"query": phrase, "slop": slop}}} for phrase, slop in pairs]


def _row(hit: Mapping[str, Any]) -> str:
    return str(hit["fields"]["row_id"][0])


def _idf(rows: int, rows_with: int) -> float:
    """Return BM25's inverse document frequency."""
    return math.log(1 + (rows - rows_with + 0.5) / (rows_with + 0.5))
