"""A BEIR folder -> scenes, queries and judgements."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InvalidRequest
from indexer.evaluation.folder import Query, Scene, read

CORPUS: list[dict[str, Any]] = [
    {"_id": "d1", "title": "제목", "text": "본문입니다."},
    {"_id": "d2", "title": "", "text": "", "metadata": {"video": "v", "labels": {"tabby_cat": 0.6}, "affect": ["sad"]}},
]
QUERIES = [
    {"_id": "q1", "text": "본문", "metadata": {"category": "exact"}},
    {"_id": "q2", "text": "훈련용"},
    {"_id": "q3", "text": "없는 것", "metadata": {"category": "nothing"}},
    {"_id": "q4", "text": "고양이", "metadata": {}},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq4\td2\t1\n"


def written(
    folder: Path, *, corpus: object = CORPUS, queries: object = QUERIES, qrels: str | None = QRELS, end: str = "\n"
) -> Path:
    (folder / "qrels").mkdir()
    for name, rows in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        assert isinstance(rows, list)
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / name).write_bytes("".join(line + end for line in lines).encode())
    if qrels is not None:
        (folder / "qrels" / "test.tsv").write_bytes(qrels.replace("\n", end).encode())
    return folder


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_beir_is_read_with_what_we_know_beyond_it(tmp_path: Path, end: str) -> None:
    found = read(written(tmp_path, end=end))
    assert found.scenes[0] == Scene("d1", "제목 본문입니다.")
    assert found.scenes[1] == Scene("d2", "", "v", {"tabby_cat": 0.6}, ("sad",))
    assert found.queries == (
        Query("q1", "본문", "exact"),
        Query("q3", "없는 것", "nothing"),
        Query("q4", "고양이", ""),
    ), "a query of another split is left out, one that nothing answers is not"
    assert found.judgements == {"q1": {"d1": 2}, "q4": {"d2": 1}}


def test_what_other_tools_write_is_read(tmp_path: Path) -> None:
    corpus = [
        '\ufeff{"_id": "문서 1", "text": "첫\u2028째", "url": "http://x", "metadata": null}',
        {"_id": 7, "title": None, "text": unicodedata.normalize("NFD", "가을"), "metadata": {"section": 3}},
        {"_id": "d 3", "title": "셋", "text": "", "metadata": "none"},
    ]
    queries = [{"_id": "질의 1", "text": "첫째", "lang": "ko"}, {"_id": 2, "text": "가을"}]
    qrels = "query-id\tcorpus-id\tscore\n질의 1\t문서 1\t1.0\n질의 1\td 3\t0\n2\t7\t2\n"
    found = read(written(tmp_path, corpus=corpus, queries=queries, qrels=qrels, end="\r\n"))
    assert found.scenes == (Scene("문서 1", "첫\u2028째"), Scene("7", "가을"), Scene("d 3", "셋"))
    assert found.judgements == {"질의 1": {"문서 1": 1}, "2": {"7": 2}}


def test_judgements_may_be_without_a_header(tmp_path: Path) -> None:
    assert read(written(tmp_path, qrels="q1\td1\t1\nq4\td2\t1\n")).judgements == {"q1": {"d1": 1}, "q4": {"d2": 1}}


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": ["tabby_cat"], "video": 7}, {"labels": {"tabby_cat": 2}}, {"people": {"민지": "sure"}},
        {"people": ["민지"]}, {"affect": "sad"}, {"affect": [1]},
    ],
)  # fmt: skip
def test_what_others_write_under_our_names_says_nothing(tmp_path: Path, metadata: object) -> None:
    queries = [{"_id": "q1", "text": "본문", "metadata": {"category": 5}}, *QUERIES[3:]]
    found = read(written(tmp_path, corpus=[FIRST | {"metadata": metadata}, *CORPUS[1:]], queries=queries))
    assert found.scenes[0] == Scene("d1", "제목 본문입니다.")
    assert found.queries[0] == Query("q1", "본문", "")


def test_judgements_of_what_is_not_there_are_counted_and_its_scenes_never_found(tmp_path: Path) -> None:
    strays = "q1\td9\t1\nq9\td1\t1\nq1\td8\t0\nq8\td1\t-1\n"
    found = read(written(tmp_path, qrels=QRELS + strays))
    assert found.strays == 2
    assert found.judgements["q1"] == {"d1": 2, "d9": 1}
    assert [query.id for query in found.queries] == ["q1", "q3", "q4"]


HEAD = "query-id\tcorpus-id\tscore\n"
FIRST = CORPUS[0]


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"qrels": None}, "test.tsv: cannot be read"),
        ({"qrels": HEAD + "q1\td1\n"}, "test.tsv:2: is no query-id"),
        ({"qrels": HEAD + "q1 0 d1 1\n"}, "test.tsv:2: is no query-id"),
        ({"qrels": HEAD + "\nq1\t0\td1\t1\n"}, "test.tsv:3: is no query-id"),
        ({"qrels": HEAD + "q1\td1\thigh\n"}, "test.tsv:2: is no query-id"),
        ({"qrels": HEAD + "q1\td1\t0.5\n"}, "test.tsv:2: has a score"),
        ({"qrels": HEAD + "q1\td1\tinf\n"}, "test.tsv:2: has a score"),
        ({"qrels": HEAD + "q1\td1\tnan\n"}, "test.tsv:2: has a score"),
        ({"qrels": HEAD, "queries": QUERIES[:2]}, "has no query"),
        ({"corpus": [*CORPUS, "{"]}, "corpus.jsonl:3: is no JSON"),
        ({"corpus": [FIRST, "[" * 100_000]}, "corpus.jsonl:2: is no JSON"),
        ({"corpus": [FIRST, "", "[]"]}, "corpus.jsonl:3: is no object"),
        ({"corpus": [{"_id": "d1", "title": "제목"}]}, "corpus.jsonl:1: is no object"),
        ({"corpus": [FIRST, FIRST]}, "corpus.jsonl:2: has the _id of an earlier line: d1"),
        ({"corpus": [{"_id": None, "text": "본문"}]}, "corpus.jsonl:1: is no object"),
        ({"queries": [{"_id": "q1", "text": None}]}, "queries.jsonl:1: is no object"),
        ({"corpus": [{"_id": True, "text": "본문"}]}, "corpus.jsonl:1: _id is no text"),
        ({"corpus": [{"_id": "d1", "text": 5}]}, "corpus.jsonl:1: text is no text"),
        ({"corpus": ['{"_id": "d1", "text": "\\ud800"}']}, "corpus.jsonl:1: text is no text"),
        ({"corpus": [{"_id": "d1", "title": ["제목"], "text": ""}]}, "corpus.jsonl:1: title is no text"),
        ({"queries": [{"text": "ohne"}]}, "queries.jsonl:1: is no object"),
        ({"queries": [QUERIES[0], QUERIES[0]]}, "queries.jsonl:2: has the _id"),
    ],
)
def test_what_makes_no_sense_is_named_by_its_line(tmp_path: Path, parts: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(written(tmp_path, **parts))
    assert why in str(refused.value)


def test_what_is_not_utf8_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "queries.jsonl").write_bytes('{"_id": "q1", "text": "본문"}\n'.encode("cp949"))
    with pytest.raises(InvalidRequest, match=r"queries\.jsonl: cannot be read"):
        read(folder)
