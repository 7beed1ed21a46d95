"""Synonyms: words that mean the same, and how the index cuts them -> other ways to say a part of a query. Pure.

A word counts where its letters are in the query and the index cuts it into words of the query: "가위 한 개", which has
the same two words, does not mean 한가위.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from adapters.text._marks import Stems

Group = tuple[str, ...]


class Another(NamedTuple):
    """Another way to say a part of a query.

    Attributes:
        text: what may be said.
        instead_of: the words of the query that it stands for, as the index cuts them.
    """

    text: str
    instead_of: tuple[str, ...]


@cache
def groups() -> tuple[Group, ...]:
    """Return the committed groups, the words of each in their order."""
    lines = files(__package__).joinpath("synonyms.txt").read_text("utf-8").splitlines()
    return tuple(tuple(map(str.strip, line.split(","))) for line in lines if line and not line.startswith("#"))


def is_whole(word: str, parts: Sequence[str]) -> bool:
    """Return whether the index cuts a word into its own letters: else it can be neither asked for nor found."""
    return "".join(parts) == word.lower()


class Synonyms:
    """Groups of words, found by the words that the index makes of them."""

    def __init__(self, groups_: Sequence[Group], stems: Stems) -> None:
        """Index the groups.

        Args:
            stems: of every word of the groups, as queries are cut. One that is not whole is left out.
        """
        self._by_first: dict[str, list[tuple[str, tuple[str, ...], Group]]] = defaultdict(list)
        for group in groups_:
            cut = {word: tuple(stem for stem, _, _ in stems[word]) for word in group}
            usable = {word: parts for word, parts in cut.items() if is_whole(word, parts)}
            for word, parts in usable.items():
                others = tuple(other for other in usable if other != word)
                self._by_first[parts[0]].append((word.lower(), parts, others))

    def of(self, text: str, words: Collection[str]) -> list[Another]:
        """Return other ways to say parts of ``text``; ``words`` are what the index makes of it."""
        lower = text.lower()
        return [
            Another(other, parts)
            for first in words
            for word, parts, others in self._by_first.get(first, ())
            if word in lower and all(part in words for part in parts)
            for other in others
        ]
