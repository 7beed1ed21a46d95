"""Folder: a folder in BEIR's format -> scenes, queries and judgements.

``corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv``. Beyond BEIR, a scene's ``metadata`` may say what else is
known of it (``video``, ``labels``, ``affect``, ``people``), and a query's its ``category``.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import FieldViolation, InvalidRequest

NOTHING = "nothing"
"""Category of queries that no scene answers: the only ones that may be without judgements."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene as it is to be indexed.

    Attributes:
        text: what is said, NFC; empty when nothing is.
        video: scenes of one name are of one video.
        labels: what is seen: label of the small profile's vision model -> probability, (0, 1].
        affect: emotions of the faces, such as ``happy``.
        people: who is there: name -> confidence, (0, 1].
    """

    id: str
    text: str
    video: str = ""
    labels: Mapping[str, float] = field(default_factory=dict)
    affect: tuple[str, ...] = ()
    people: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """A query; ``category`` is empty where the folder names none."""

    id: str
    text: str
    category: str


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder's content.

    Attributes:
        queries: that have judgements, or are of the category ``nothing``; BEIR keeps those of other splits beside.
        judgements: query id -> scene id -> grade, >= 1.
    """

    name: str
    scenes: tuple[Scene, ...]
    queries: tuple[Query, ...]
    judgements: Mapping[str, Mapping[str, int]]


def read(folder: Path) -> Collection:
    """Return what the folder holds, in its order.

    Raises: InvalidRequest (permanent) when a file is missing or makes no sense, or when there is nothing to evaluate.
    """
    scenes = tuple(_scene(row) for row in _rows(folder / "corpus.jsonl"))
    judgements = _judgements(folder / "qrels" / "test.tsv")
    queries = tuple(
        query
        for query in (_query(row) for row in _rows(folder / "queries.jsonl"))
        if query.id in judgements or query.category == NOTHING
    )
    unknown = {scene for grades in judgements.values() for scene in grades} - {scene.id for scene in scenes}
    if unknown:
        raise _bad(folder, f"judges scenes that are not in its corpus, such as {min(unknown)}")
    if not queries:
        raise _bad(folder, "has no query with a judgement")
    return Collection(folder.resolve().name, scenes, queries, judgements)


def _scene(row: Mapping[str, Any]) -> Scene:
    known = row.get("metadata") or {}
    text = " ".join(part for part in (row.get("title", ""), row["text"]) if part)
    return Scene(
        id=row["_id"],
        text=unicodedata.normalize("NFC", text),
        video=known.get("video", ""),
        labels=known.get("labels", {}),
        affect=tuple(known.get("affect", ())),
        people=known.get("people", {}),
    )


def _query(row: Mapping[str, Any]) -> Query:
    return Query(row["_id"], row["text"], (row.get("metadata") or {}).get("category", ""))


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
            row["_id"], row["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise _bad(path, f"line {number} is no object with _id and text") from error
        yield row


def _judgements(path: Path) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for number, line in enumerate(_lines(path)[1:], start=2):
        fields = line.split("\t")
        try:
            grade = int(float(fields[2]))
        except (IndexError, ValueError) as error:
            raise _bad(path, f"line {number} is no query-id, corpus-id and score") from error
        if grade > 0:
            found.setdefault(fields[0], {})[fields[1]] = grade
    return found


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(path, "cannot be read") from error
    return [line for line in text.split("\n") if line.strip()]


def _bad(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(FieldViolation(str(path), why))
