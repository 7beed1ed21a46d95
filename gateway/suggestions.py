"""Suggestions: what is being typed -> how to go on, by the people, tags and words of a tenant."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from contracts.catalog import Catalog
from contracts.errors import DependencyUnavailable
from contracts.jamo import continuations
from contracts.ports import Clock, Suggested, TextIndex
from gateway import validation
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.hangul import from_latin, typed
from indexer.search.names import Names
from indexer.search.parse import MIN_PLAIN_NAME_CHARS, MINUSES, QUOTES, plain

DEFAULT_PAGE_SIZE: Final = 8
MAX_PAGE_SIZE: Final = 20
MAX_CHARS: Final = 100

_MENTION: Final = "@"
_SIGNS: Final = f"{MINUSES}{QUOTES}"


class Reading(NamedTuple):
    """A way to read what is being typed.

    Attributes:
        head: what stays before a suggestion.
        begun: what a suggestion goes on from.
        mention: whether only people are meant.
    """

    head: str
    begun: str
    mention: bool


def readings(text: str) -> Sequence[Reading]:
    """Return the ways to read a text, best first: whole or by its last word, each as it is and as Hangul typed on a
    Latin keyboard, with its capitals as the letters that Shift types, else as if Caps Lock were on.
    """
    head, space, last = text.rpartition(" ")
    parts = [("", text), (f"{from_latin(head) or head}{space}", last)]
    each = (_reading(before, begun) for before, part in parts for begun in (part, typed(part), typed(part.lower())))
    return tuple(dict.fromkeys(reading for reading in each if reading.begun))


class Suggestions:
    """Answers SuggestQueries; people are as the catalogue has them, words as the text index."""

    def __init__(self, catalog: Catalog, text: TextIndex, clock: Clock) -> None:
        self._catalog = catalog
        self._text = text
        self._names = Names(catalog, clock)

    async def answer(
        self, tenant_id: str, text_index: str, request: pb.SuggestQueriesRequest, *, timeout_s: float
    ) -> pb.SuggestQueriesResponse:
        """Return suggestions of the first reading that has any.

        Args:
            timeout_s: seconds from now until nobody waits for them any more.

        Raises:
            InvalidRequest: with proto paths. Permanent.
            DependencyUnavailable: the catalogue or the text index does not answer, or not in time. Transient.
        """
        text = validation.short(request.text, "text", most=MAX_CHARS)
        text = validation.display_text(plain(text), "text", most=MAX_CHARS)
        size = validation.page_size(request.page_size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._found(tenant_id, text_index, readings(text), size)
        except TimeoutError:
            raise DependencyUnavailable(
                "search", "suggestions did not come in time; try again", reason="DEADLINE_EXCEEDED"
            ) from None

    async def _found(
        self, tenant_id: str, text_index: str, ways: Sequence[Reading], size: int
    ) -> pb.SuggestQueriesResponse:
        names = await self._names.of(tenant_id)
        words = await self._words(tenant_id, text_index, ways, limit=2 * size)  # what is named twice goes
        for way in ways:
            people = await self._people(tenant_id, names, way)
            if people or words.get(way):
                return pb.SuggestQueriesResponse(suggestions=_joined(people, words.get(way, ()), way.head)[:size])
        return pb.SuggestQueriesResponse()

    async def _words(
        self, tenant_id: str, text_index: str, ways: Iterable[Reading], *, limit: int
    ) -> Mapping[Reading, Sequence[Suggested]]:
        asked = [way for way in ways if not way.mention]
        if not asked:
            return {}
        found = await self._text.suggest(text_index, tenant_id, [way.begun for way in asked], limit=limit)
        return dict(zip(asked, found, strict=True))

    async def _people(
        self, tenant_id: str, names: Sequence[tuple[str, str]], way: Reading
    ) -> Sequence[tuple[str, int]]:
        """Return (name, scenes) of the people meant, those of most scenes first; two of one name are one suggestion."""
        meant = set(continuations((name for _, name in names), way.begun))
        if not meant:
            return ()
        bearers = defaultdict(list)
        for person_id, name in names:
            if name in meant:
                bearers[name].append(person_id)
        scenes = await self._catalog.people_scene_counts(tenant_id, [each for own in bearers.values() for each in own])
        counted = [
            (_as_query(name, mention=way.mention), sum(scenes.get(each, 0) for each in own))
            for name, own in bearers.items()
        ]
        return sorted(counted, key=lambda one: (-one[1], one[0]))


def _reading(head: str, begun: str) -> Reading:
    """Return a reading; signs that a query has before a word stay where they are. Nobody is left out by ``-@``."""
    word = begun.lstrip(_SIGNS)
    signs = begun[: len(begun) - len(word)]
    mention = word.startswith(_MENTION)
    return Reading(head + signs, "" if signs and mention else word.removeprefix(_MENTION), mention)


def _as_query(name: str, *, mention: bool) -> str:
    """Return a name as a query names somebody by it."""
    return f"{_MENTION}{name}" if mention or len(name) < MIN_PLAIN_NAME_CHARS else name


def _joined(people: Sequence[tuple[str, int]], words: Sequence[Suggested], head: str) -> list[pb.Suggestion]:
    """Return people first, then words and tags by scenes, each text once."""
    tag, word = pb.SUGGESTION_KIND_TAG, pb.SUGGESTION_KIND_WORD
    listed = [
        *((name, pb.SUGGESTION_KIND_PERSON, scenes) for name, scenes in people),
        *((found.text, tag if found.is_tag else word, found.scenes) for found in words),
    ]
    each: dict[str, pb.Suggestion] = {}
    for text, kind, scenes in listed:
        each.setdefault(text.casefold(), pb.Suggestion(text=f"{head}{text}", kind=kind, scene_count=scenes))
    return list(each.values())
