"""Analysis: a deployment's own words -> settings and mappings of the text index, for Korean first. Pure.

Whoever changes what an analyser does raises ``_TEXT_ANALYSIS`` of ``indexer/schema``: old rows keep their old words.

- Rows are cut with ``mixed`` (a compound and its parts), queries with ``discard`` (parts alone), by which
  synonyms are found in them.
- The stop tags are named, because the default ones delete meaning (비급여 would be 급여). Numbers stay as they are
  written: ``nori_number`` makes 221 of "22일".
- Punctuation is dropped, else spaces take positions and phrases fail. 韓國 is read as 한국.
- English words are stemmed, by a dictionary: an algorithm would make "new" of "news". It leaves Korean alone.
- ``NOUNS`` finds what is worth suggesting: names, nouns, greetings and English words, but no ``the``.
- ``two`` cuts into pairs of letters without regard to spaces: for what is written apart, together or misspelt.
- Text comes in NFC, or nori makes single letters of it.

Source: 4,700 Korean segments with 3,000 queries: nori ^1 + two ^0.3 has the best nDCG@10 of twelve ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from adapters.text._suggest import INITIALS, LETTERS
from contracts.vocabulary import COMMITTED, Vocabulary

SEARCHED = "korean_search"
MARKED = "korean_mark"
NOUNS = "korean_nouns"

_INDEXED, _TWO = "korean_index", "two"

_SYNONYMS = "synonyms"

_STOP_TAGS = (
    "JKS", "JKC", "JKG", "JKO", "JKB", "JKV", "JKQ", "JX", "JC",  # particles
    "EP", "EF", "EC", "ETN", "ETM",  # endings
    "SP", "SSC", "SSO", "SC", "SE", "SF",  # punctuation
)  # fmt: skip

_UNMARKED_TAGS = ("VCP", "VX", "XSV", "XSA")
"""이다, 있다, 하다 as a part of another word: they count for little, but would be marked everywhere."""

_UNSUGGESTED_TAGS = (
    "NNB", "NNBC", "NP", "NR", "SN", "SH", "SY",  # 것, 개, 우리, 하나, numbers, Hanja, signs
    "MAG", "MAJ", "MM", "VA", "VV", "VX", "VCN", "VCP", "VSV", "XR", "XSA", "XSN", "XSV",  # verbs and such
    "NA", "UNA", "UNKNOWN",
)  # fmt: skip
"""All but NNG, NNP, IC, SL, and XPN, which begins nouns."""


def settings(vocabulary: Vocabulary = COMMITTED) -> dict[str, Any]:
    """Return the body that creates a text index; it keeps the synonyms, which searches ask it for."""
    rules = _rules(vocabulary.dictionary)
    return {
        "settings": {
            "index": {
                "number_of_shards": 1,  # word statistics are a shard's own
                "auto_expand_replicas": "0-1",
                "refresh_interval": "1s",  # named, else an index that rests makes the next search wait for a refresh
            },
            "analysis": {
                "char_filter": {"no_space": {"type": "pattern_replace", "pattern": "\\s+", "replacement": ""}},
                "tokenizer": {
                    "nori_mixed": _nori("mixed", rules),
                    "nori_discard": _nori("discard", rules),
                    "pairs": {"type": "ngram", "min_gram": 2, "max_gram": 2, "token_chars": ["letter", "digit"]},
                },
                "filter": {
                    "content": {"type": "nori_part_of_speech", "stoptags": list(_STOP_TAGS)},
                    "content_marked": {"type": "nori_part_of_speech", "stoptags": [*_STOP_TAGS, *_UNMARKED_TAGS]},
                    "nouns": {"type": "nori_part_of_speech", "stoptags": [*_STOP_TAGS, *_UNSUGGESTED_TAGS]},
                    "english_stop": {"type": "stop", "stopwords": "_english_", "ignore_case": True},
                },
                "analyzer": {
                    _INDEXED: _chain("nori_mixed", "content"),
                    SEARCHED: _chain("nori_discard", "content"),
                    MARKED: _chain("nori_discard", "content_marked"),
                    NOUNS: {"tokenizer": "nori_mixed", "filter": ["nouns", "english_stop"]},
                    _TWO: {"char_filter": ["no_space"], "tokenizer": "pairs", "filter": ["lowercase"]},
                },
            },
        },
        "mappings": {
            "dynamic": "strict",
            "_meta": {_SYNONYMS: vocabulary.synonyms},
            "properties": {
                "row_id": {"type": "keyword", "index": False},
                "tenant_id": {"type": "keyword"},
                "video_id": {"type": "keyword"},
                "scene_id": {"type": "keyword", "index": False, "doc_values": False},
                "revision": {"type": "integer", "index": False, "doc_values": False},
                "start_ms": {"type": "long", "doc_values": False},
                "end_ms": {"type": "long", "index": False, "doc_values": False},
                "transcript": {**_words(), "fields": {"two": {"type": "text", "analyzer": _TWO}}},
                "tags": {"type": "keyword"},
                "tag_names": _words(),
                LETTERS: {"type": "keyword"},
                INITIALS: {"type": "keyword"},
            },
        },
    }


def own_synonyms(mappings: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the synonyms that an index was made with beside the committed ones."""
    return [tuple(group) for group in mappings.get("_meta", {}).get(_SYNONYMS, ())]


def _rules(own: Sequence[str]) -> list[str]:
    """Return the lines of both dictionaries; of a word in both, the deployment's own: nori would take either."""
    lines = files(__package__).joinpath("dictionary.txt").read_text("utf-8").splitlines()
    committed = (line for line in lines if line and not line.startswith("#"))
    return list({line.split()[0]: line for line in (*committed, *own)}.values())


def _nori(mode: str, rules: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "nori_tokenizer",
        "decompound_mode": mode,
        "discard_punctuation": True,
        "user_dictionary_rules": rules,
    }


def _chain(tokenizer: str, content: str) -> dict[str, Any]:
    return {"tokenizer": tokenizer, "filter": [content, "nori_readingform", "lowercase", "kstem"]}


def _words() -> dict[str, Any]:
    return {"type": "text", "analyzer": _INDEXED, "search_analyzer": SEARCHED}
