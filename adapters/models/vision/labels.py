"""Labels: the tables beside this file -> the 1,000 ImageNet classes and the kinds above them, Korean and English."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Label:
    """A class of the net: ``kinds`` names what it is, from near to far (``cat``, ``animal``)."""

    id: str
    korean: tuple[str, ...]
    english: tuple[str, ...]
    kinds: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What people search it by."""
        return self.korean + self.english


@dataclass(frozen=True, slots=True)
class Kind:
    """A word above labels (``cat``: 고양이); ``parents`` are the kinds above it, from near to far."""

    id: str
    korean: tuple[str, ...]
    english: tuple[str, ...]
    parents: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What people search it by."""
        return self.korean + self.english


@cache
def kinds() -> Mapping[str, Kind]:
    """Return kinds by id, in the order of ``kinds.tsv``."""
    rows = {row["id"]: row for row in _read("kinds.tsv")}

    def above(kind: str) -> tuple[str, ...]:
        parent = rows[kind]["parent"]
        return (parent, *above(parent)) if parent else ()

    return MappingProxyType(
        {kind: Kind(kind, _names(row["ko"]), _names(row["en"]), above(kind)) for kind, row in rows.items()}
    )


@cache
def labels() -> tuple[Label, ...]:
    """Return the classes in the order of the net's output."""
    return tuple(
        Label(row["id"], _names(row["ko"]), _names(row["en"]), _all_kinds(row["kinds"].split(",")))
        for row in _read("labels.tsv")
    )


def _all_kinds(direct: list[str]) -> tuple[str, ...]:
    """Return the direct kinds and all above them, each once."""
    return tuple(dict.fromkeys([*direct, *(parent for kind in direct for parent in kinds()[kind].parents)]))


def _names(cell: str) -> tuple[str, ...]:
    return tuple(cell.split("|"))


def _read(name: str) -> list[dict[str, str]]:
    text = files(__package__).joinpath(name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
