"""Analysis: a deployment's own words -> settings and mappings of the text index, for Korean first. Pure.

An index keeps the analysers that it was made with, and is searched with them, by their names: what changes here comes
with a library's next generation. A field that is added is put into indices that are there, for the rows of then on;
whoever adds an analyser, or changes a field, raises ``_TEXT_ANALYSIS`` of ``indexer/schema``.

- Each word is cut as if it stood between commas (``alone``): in a sentence as where somebody types it alone, or last.
- Rows are cut with ``mixed`` (a compound and its parts), queries with ``discard`` (parts alone), by which
  synonyms are found in them.
- The stop tags are named, because the default ones delete meaning (비급여 would be 급여). Numbers stay as they are
  written, and are compared in a field of their own (``numbers``).
- Punctuation is dropped, else spaces take positions and phrases fail. 韓國 is read as 한국.
- 들 of a plural is dropped by its letter, for by its tag 구역질 would lose its 질; 들다 and 들, a field, go with it.
- English words are stemmed, by a dictionary: an algorithm would make "new" of "news". It leaves Korean alone.
- ``NOUNS`` finds what is worth suggesting: names, nouns, greetings and English words, but no ``the``.
- ``exact`` has words as they are written: of scenes that say a word, those that say the typed form of it come first.
- ``two`` cuts into pairs of letters without regard to spaces: for what is written apart, together or misspelt.
- Text comes in NFC, or nori makes single letters of it.

Source: 4,700 Korean segments with 3,000 queries: nori ^1 + two ^0.3 has the best nDCG@10 of twelve ways; ``exact``
^0.1 adds .002 to words alone on the project's scenes, ^0.3 .001, and neither changes the joined list.
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

_BETWEEN_WORDS = r"\A[\p{P}\s]*+|(?<![\p{P}\s])\p{P}*+(?:\s[\p{P}\s]*+|\z)"
"""The beginning, spaces and the end, with the punctuation around them; that within a word (3.5) stays. A comma takes no
position. Source: 2,943 words of 458 texts, each typed alone: 5.5 % were cut otherwise than in their text; with a comma
at the end alone 3.6 %, with full stops between all words 2.9 %, with commas none. Of 672 nouns, 94 % with 의 did not
find where they are said, now 1.6 %; a verb in another form is found as before, 93 of 100 times.
"""

_STOP_TAGS = (
    "JKS", "JKC", "JKG", "JKO", "JKB", "JKV", "JKQ", "JX", "JC",  # particles
    "EP", "EF", "EC", "ETN", "ETM",  # endings
    "VCP", "XSV", "XSA",  # 이다, 하다, 스럽다: what makes a verb of another word
    "SP", "SSC", "SSO", "SC", "SE", "SF",  # punctuation
)  # fmt: skip

_PLURAL = "들"

_UNMARKED_TAGS, _UNMARKED = ("VX",), ("있",)
"""They count for little, but would be marked everywhere."""

_UNSUGGESTED_TAGS = (
    "NNB", "NNBC", "NP", "NR", "SN", "SH", "SY",  # 것, 개, 우리, 하나, numbers, Hanja, signs
    "MAG", "MAJ", "MM", "VA", "VV", "VX", "VCN", "VSV", "XR", "XSN",  # verbs and such
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
                "char_filter": {
                    "alone": {"type": "pattern_replace", "pattern": _BETWEEN_WORDS, "replacement": ", "},
                    "no_space": {"type": "pattern_replace", "pattern": "\\s+", "replacement": ""},
                },
                "tokenizer": {
                    "nori_mixed": _nori("mixed", rules),
                    "nori_discard": _nori("discard", rules),
                    "pairs": {"type": "ngram", "min_gram": 2, "max_gram": 2, "token_chars": ["letter", "digit"]},
                },
                "filter": {
                    "content": {"type": "nori_part_of_speech", "stoptags": list(_STOP_TAGS)},
                    "content_marked": {"type": "nori_part_of_speech", "stoptags": [*_STOP_TAGS, *_UNMARKED_TAGS]},
                    "nouns": {"type": "nori_part_of_speech", "stoptags": [*_STOP_TAGS, *_UNSUGGESTED_TAGS]},
                    "no_plural": {"type": "stop", "stopwords": [_PLURAL]},
                    "no_helper": {"type": "stop", "stopwords": [_PLURAL, *_UNMARKED]},
                    "english_stop": {"type": "stop", "stopwords": "_english_", "ignore_case": True},
                },
                "analyzer": {
                    _INDEXED: _chain("nori_mixed", "content", "no_plural"),
                    SEARCHED: _chain("nori_discard", "content", "no_plural"),
                    MARKED: _chain("nori_discard", "content_marked", "no_helper"),
                    NOUNS: {"char_filter": ["alone"], "tokenizer": "nori_mixed", "filter": ["nouns", "english_stop"]},
                    _TWO: {"char_filter": ["no_space"], "tokenizer": "pairs", "filter": ["lowercase"]},
                },
            },
        },
        "mappings": {
            "dynamic": "strict",
            "_meta": {_SYNONYMS: vocabulary.synonyms},
            "properties": fields(),
        },
    }


def fields() -> dict[str, Any]:
    """Return the mappings of the fields of a row."""
    return {
        "row_id": {"type": "keyword", "index": False},
        "tenant_id": {"type": "keyword"},
        "video_id": {"type": "keyword"},
        "scene_id": {"type": "keyword", "index": False, "doc_values": False},
        "revision": {"type": "integer", "index": False, "doc_values": False},
        "start_ms": {"type": "long", "doc_values": False},
        "end_ms": {"type": "long", "index": False, "doc_values": False},
        "transcript": {
            **_words(),
            "fields": {
                "two": {"type": "text", "analyzer": _TWO},
                "exact": {"type": "text", "analyzer": "standard"},
            },
        },
        "numbers": {"type": "keyword", "doc_values": False},
        "tags": {"type": "keyword"},
        "tag_names": _words(),
        LETTERS: {"type": "keyword"},
        INITIALS: {"type": "keyword"},
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


def _chain(tokenizer: str, content: str, stop: str) -> dict[str, Any]:
    return {
        "char_filter": ["alone"],
        "tokenizer": tokenizer,
        "filter": [content, stop, "nori_readingform", "lowercase", "kstem"],
    }


def _words() -> dict[str, Any]:
    return {"type": "text", "analyzer": _INDEXED, "search_analyzer": SEARCHED}
