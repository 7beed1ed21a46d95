"""Folder: a folder in BEIR's format -> scenes, queries and judgements.

``corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv``. Beyond BEIR, a scene's ``metadata`` may say what else is
known of it (``video``, ``labels``, ``affect``, ``people``), and a query's its ``category``.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from contracts.errors import FieldViolation, InvalidRequest

NOTHING = "nothing"
"""Category of queries that no scene answers: the only ones that may be without judgements."""

_COLUMNS = 3  # of judgements


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
        judgements: query id -> scene id -> grade, >= 1. A scene that is not there is one that is never found.
        strays: how many judgements are of a query or a scene that is not there, as in samples of a larger collection.
    """

    name: str
    scenes: tuple[Scene, ...]
    queries: tuple[Query, ...]
    judgements: Mapping[str, Mapping[str, int]]
    strays: int = 0


def read(folder: Path) -> Collection:
    """Return what the folder holds, in its order.

    Raises: InvalidRequest (permanent) when a file is missing or a line makes no sense, by its ``file:line``, or when
        there is nothing to evaluate.
    """
    corpus, asked, judged = folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"
    scenes = _by_id(corpus, _scene)
    queries = _by_id(asked, _query)
    judgements: dict[str, dict[str, int]] = {}
    strays = 0
    for query, scene, grade in _judgements(judged):
        if grade <= 0:
            continue
        strays += query not in queries or scene not in scenes
        judgements.setdefault(query, {})[scene] = grade
    wanted = tuple(query for query in queries.values() if query.id in judgements or query.category == NOTHING)
    if not wanted:
        raise _bad(str(folder), "has no query with a judgement")
    return Collection(folder.resolve().name, tuple(scenes.values()), wanted, judgements, strays)


@dataclass(frozen=True, slots=True)
class _Row:
    """An object of a file; ``where`` is its ``file:line``."""

    where: str
    content: Mapping[str, Any]

    def id(self) -> str:
        """Return ``_id``; some write it as a number."""
        value = self.content.get("_id")
        return str(value) if type(value) is int else self._text("_id", value)

    def text(self, name: str) -> str:
        """Return a text, NFC; empty when it is not there. What is something else is refused."""
        value = self.content.get(name)
        return "" if value is None else unicodedata.normalize("NFC", self._text(name, value))

    def beyond(self) -> _Beyond:
        """Return what ``metadata`` has."""
        known = self.content.get("metadata")
        return _Beyond(known if isinstance(known, dict) else {})

    def _text(self, name: str, value: object) -> str:
        if not _is_text(value):
            raise _bad(self.where, f"{name} is no text")
        return value


@dataclass(frozen=True, slots=True)
class _Beyond:
    """What a row says beyond BEIR. Others write other things under the same names: what has another form is theirs."""

    content: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a text, NFC, or none."""
        value = self.content.get(name)
        return unicodedata.normalize("NFC", value) if _is_text(value) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, or none."""
        values = self.content.get(name)
        return tuple(values) if isinstance(values, list) and all(map(_is_text, values)) else ()

    def shares(self, name: str) -> Mapping[str, float]:
        """Return an object of numbers, (0, 1], or none."""
        values = self.content.get(name)
        return values if isinstance(values, dict) and all(map(_is_share, values.values())) else {}


Read = TypeVar("Read", Scene, Query)


def _by_id(path: Path, read_row: Callable[[_Row], Read]) -> dict[str, Read]:
    found: dict[str, Read] = {}
    for where, line in _lines(path):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _bad(where, "is no JSON") from error
        if not isinstance(content, dict) or content.get("_id") is None or content.get("text") is None:
            raise _bad(where, "is no object with _id and text")
        row = read_row(_Row(where, content))
        if row.id in found:
            raise _bad(where, f"has the _id of an earlier line: {row.id}")
        found[row.id] = row
    return found


def _scene(row: _Row) -> Scene:
    known = row.beyond()
    return Scene(
        id=row.id(),
        text=" ".join(part for part in (row.text("title"), row.text("text")) if part),
        video=known.text("video"),
        labels=known.shares("labels"),
        affect=known.texts("affect"),
        people=known.shares("people"),
    )


def _query(row: _Row) -> Query:
    return Query(row.id(), row.text("text"), row.beyond().text("category"))


def _judgements(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield query, scene and grade; the first line is a header, unless it has a grade like the others."""
    for number, (where, line) in enumerate(_lines(path)):
        fields = line.rstrip("\r\n").split("\t")
        try:
            query, scene, score = fields
            grade = float(score)
        except ValueError as error:
            if number == 0 and len(fields) == _COLUMNS:
                continue
            raise _bad(where, "is no query-id, corpus-id and score, with tabs between") from error
        if not grade.is_integer():
            raise _bad(where, f"has a score that is no whole number: {score}")
        yield query, scene, int(grade)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ``file:line`` and the line of those that are not blank; a byte order mark is none of it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(str(path), "cannot be read") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value <= 1.0


def _bad(where: str, why: str) -> InvalidRequest:
    return InvalidRequest(FieldViolation(where, why))
