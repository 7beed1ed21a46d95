"""A BEIR folder -> scenes, queries and judgements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.errors import InvalidRequest
from indexer.evaluation.folder import Query, Scene, read

CORPUS = [
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


@pytest.mark.parametrize("end", ["\n", "\r\n"])
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


def test_scores_may_be_written_as_fractions(tmp_path: Path) -> None:
    assert read(written(tmp_path, qrels="query-id\tcorpus-id\tscore\nq1\td1\t1.0\n")).judgements == {"q1": {"d1": 1}}


def test_what_makes_no_sense_is_named(tmp_path: Path) -> None:
    cases: list[tuple[str, dict[str, object], str]] = [
        ("a", {"qrels": None}, "cannot be read"),
        ("b", {"qrels": "query-id\tcorpus-id\tscore\nq1\td1\n"}, "line 2"),
        ("c", {"qrels": "query-id\tcorpus-id\tscore\nq1\td9\t1\n"}, "d9"),
        ("d", {"qrels": "query-id\tcorpus-id\tscore\n", "queries": QUERIES[:2]}, "no query"),
        ("e", {"corpus": [*CORPUS, "{"]}, "line 3"),
        ("f", {"queries": [{"text": "ohne"}]}, "line 1"),
    ]
    for name, parts, why in cases:
        (tmp_path / name).mkdir()
        folder = written(tmp_path / name, **parts)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest) as refused:
            read(folder)
        assert why in str(refused.value), name
