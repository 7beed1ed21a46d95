"""Channels: a question -> what each store says of it; every leg asks one store once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import structlog

from contracts.catalog import Appearance, Generation
from contracts.errors import HeimdexError
from contracts.ports import (
    EVERYWHERE,
    AlarmClock,
    Float32,
    QueryEncoder,
    QueryVectors,
    Scope,
    Scored,
    TextIndex,
    TextQuery,
    VectorIndex,
)
from indexer.search.fuse import Answer, Condition, Group, presence
from indexer.search.parse import Parsed
from indexer.search.timing import Late, within
from indexer.search.types import Budgets, Channel, Filter, SearchRequest
from indexer.search.waves import Departure

Answers = Mapping[Channel, Answer]

log = structlog.get_logger(__name__)

_NOTHING_SAID: Float32 = np.zeros(0, np.float32)
_LEAST_LENGTH = 1e-6  # of opposite vectors nothing is left


@dataclass(frozen=True, slots=True)
class Checks:
    """What rows are looked at for once they are found, since the lists of the stores can't be narrowed by it.

    Attributes:
        words: that must not be in them, said or as a tag.
        people: who must not be in them.
        videos: what their videos must match; None where the stores were told.
    """

    words: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    videos: Filter | None = None

    def any(self) -> bool:
        """Return whether there is anything to look at."""
        return bool(self.words or self.people or self.videos)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the stores.

    Attributes:
        limit: hits of a page.
        scope: where the stores look.
        tags: that a row must have.
        groups: everybody named or filtered for; ``condition.groups`` are those that must be there.
        checks: what rows are looked at for.
        nowhere: no video is meant, so no store is asked.
        image: as ``SearchRequest.image``.
    """

    tenant_id: str
    parsed: Parsed
    generation: Generation
    limit: int
    scope: Scope
    tags: tuple[str, ...]
    groups: tuple[Group, ...]
    condition: Condition
    checks: Checks = Checks()
    nowhere: bool = False
    image: Float32 | None = field(default=None, compare=False)

    def legs(self) -> tuple[tuple[Channel, ...], ...]:
        """Return the channels that have something to look for, by leg."""
        if self.nowhere:
            return ()
        legs: list[tuple[Channel, ...]] = []
        if self.parsed.words or self.parsed.phrases or self.tags:
            legs.append((Channel.LEXICAL, Channel.TAGS))
        if self.parsed.meaning:
            legs.append((Channel.DENSE,))
        if self.parsed.meaning or self.image is not None:
            legs.append((Channel.VISION,))
        if self.groups:
            legs.append((Channel.PEOPLE,))
        return tuple(legs)


def question_of(request: SearchRequest, parsed: Parsed, generation: Generation) -> Question:
    """Return what a request asks of a generation; ``parsed`` is its query."""
    filtered = tuple((person,) for person in dict.fromkeys(request.filter.person_ids))
    mentioned = tuple(mention.person_ids for mention in parsed.mentions)
    required = tuple(mention.person_ids for mention in parsed.mentions if mention.required)
    narrow = request.filter
    condition = Condition(
        phrases=bool(parsed.phrases),
        literal=bool(parsed.phrases) and not parsed.words,
        tags=bool(narrow.tags),
        groups=filtered + required,
        people_named=bool(mentioned),
        people_alone=bool(mentioned) and not parsed.meaning and request.image is None,
        # So that meaning alone is as sure while words are missing as where they say nothing.
        awaited=frozenset({Channel.LEXICAL} if parsed.words or parsed.phrases else ()),
        min_confidence=request.filter.min_confidence,
    )
    groups = tuple(dict.fromkeys(filtered + mentioned))
    return Question(
        request.tenant_id,
        parsed,
        generation,
        request.limit,
        # In one order, so that searches within the same scope share calls.
        Scope(tuple(sorted(set(narrow.video_ids))), narrow.offset_from_ms, narrow.offset_to_ms),
        narrow.tags,
        groups,
        condition,
        Checks(parsed.excluded, narrow.excluded_person_ids),
        image=request.image,
    )


class Appearances(Protocol):
    """What the channels need of the catalogue: who is in which scene. A part of ``contracts.catalog.Catalog``."""

    async def scenes_of_people(
        self, tenant_id: str, person_ids: Sequence[str], *, limit: int, scope: Scope = EVERYWHERE
    ) -> Mapping[str, Appearance]:
        """Return who of these is in which scene within the scope, by row id, surest first."""
        ...


class Channels:
    """The stores, asked as channels. Errors: those of the ports."""

    def __init__(
        self,
        *,
        catalog: Appearances,
        text: TextIndex,
        text_vectors: VectorIndex,
        vision_vectors: VectorIndex,
        encoder: QueryEncoder,
        budgets: Budgets,
    ) -> None:
        self._catalog = catalog
        self._text = text
        self._vectors = {Channel.DENSE: text_vectors, Channel.VISION: vision_vectors}
        self._encoder = encoder
        self._budgets = budgets

    def encoding(self, question: Question, departure: Departure) -> asyncio.Task[QueryVectors] | None:
        """Start encoding, once for both spaces; None when there is nothing to compare. The caller ends the task.

        Args:
            departure: is waited for first.
        """
        if question.nowhere or not (question.parsed.meaning or question.image is not None):
            return None
        task = asyncio.ensure_future(self._encoded(question, departure))
        # When both legs are over before it, nobody is left to take its exception.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    async def _encoded(self, question: Question, departure: Departure) -> QueryVectors:
        await departure()
        if question.image is not None:
            return await self._with_image(question.parsed.meaning, question.image)
        return await self._encoder.encode(question.parsed.meaning)

    async def _with_image(self, meaning: str, image: Float32) -> QueryVectors:
        """Return the vectors of a picture and the query beside it: of what is seen, the direction between the two."""
        if not meaning:
            return QueryVectors(_NOTHING_SAID, image)
        vectors = await self._encoder.encode(meaning)
        both = vectors.vision + image
        return QueryVectors(vectors.text, both / max(float(np.linalg.norm(both)), _LEAST_LENGTH))

    async def own(self, channel: Channel, question: Question, row: str) -> Float32 | None:
        """Return the vector of most of a row in a channel of meaning; None when it has none."""
        collection = _collection(channel, question.generation)
        return (await self._vectors[channel].views(collection, question.tenant_id, [row])).get(row, {}).get(0)

    async def ask(
        self, leg: Sequence[Channel], question: Question, encoding: asyncio.Future[QueryVectors] | None
    ) -> Answers:
        """Return the answers of one leg."""
        channel = leg[0]
        if channel is Channel.LEXICAL:
            return await self._words(question)
        if channel is Channel.PEOPLE:
            return {channel: await self._people(question)}
        if encoding is None:
            raise AssertionError("a leg of meaning without meaning")
        # Shielded: one leg that is late must not take the vector from the other.
        vectors = await asyncio.shield(encoding)
        return {channel: await self._nearest(channel, question, vectors)}

    async def backfill(self, channel: Channel, answer: Answer, question: Question, vectors: QueryVectors,
                       rows: frozenset[str]) -> Answer:  # fmt: skip
        """Return the answer with the cosines of ``rows`` that its list did not reach: then it is exact."""
        missing = sorted(rows - answer.raw.keys())
        if answer.exact or not missing:
            return answer
        found = await self._vectors[channel].similarities(
            _collection(channel, question.generation), question.tenant_id, _vector(channel, vectors), missing
        )
        return replace(
            answer,
            raw={**answer.raw, **{row: near.cosine for row, near in found.items()}},
            views={**answer.views, **{row: near.view for row, near in found.items()}},
            exact=True,
            unlisted=frozenset(found),
        )

    async def backfill_within(
        self, channel: Channel, answer: Answer, question: Question, vectors: QueryVectors, rows: frozenset[str],
        *, clock: AlarmClock, seconds: float,
    ) -> Answer:  # fmt: skip
        """Return as ``backfill``; the answer as it is where that fails or takes longer, which is logged."""
        try:
            return await within(clock, seconds, self.backfill(channel, answer, question, vectors, rows))
        except (Late, HeimdexError) as error:
            log.warning("search_backfill_missing", channel=channel, error=type(error).__name__)
            return answer

    async def _words(self, question: Question) -> Answers:
        narrowed = question.tags or question.condition.groups
        limit = self._budgets.filtered_rows if narrowed else self._rows(question, self._budgets.words_rows)
        query = TextQuery(
            tenant_id=question.tenant_id,
            text=question.parsed.words,
            phrases=question.parsed.phrases,
            tags=question.tags,
            scope=question.scope,
            limit=limit,
        )
        (hits,) = await self._text.search(question.generation.text_index, [query])
        said = {hit.row_id: hit.bm25 for hit in hits if hit.bm25 > 0}
        tagged = {hit.row_id: hit.tag_score for hit in hits if hit.tag_score > 0}
        coverage = {hit.row_id: hit.coverage for hit in hits if hit.bm25 > 0}
        videos = {hit.row_id: hit.video_id for hit in hits}
        having = frozenset(videos) if question.tags else frozenset()
        if not (query.text or query.phrases):
            # Tags alone are all of a query, and their rows have all of it. Beside a picture they only narrow.
            narrows = question.image is not None
            whole = {} if narrows else dict.fromkeys(having, 1.0)
            cut = len(hits) >= limit
            return {Channel.TAGS: Answer(Channel.TAGS, whole, videos=videos, cut=cut, having=having, narrows=narrows)}
        # BM25 of a row beyond the list is not asked for again: it is taken as the nothing it nearly is.
        return {
            Channel.LEXICAL: Answer(Channel.LEXICAL, said, coverage=coverage, videos=videos, cut=len(said) >= limit),
            Channel.TAGS: Answer(
                Channel.TAGS, tagged, videos=videos, cut=len(having or tagged) >= limit, having=having
            ),
        }

    async def _nearest(self, channel: Channel, question: Question, vectors: QueryVectors) -> Answer:
        limit = self._rows(question, self._budgets.leg_rows)
        lists: Sequence[Sequence[Scored]] = await self._vectors[channel].search(
            _collection(channel, question.generation),
            question.tenant_id,
            _vector(channel, vectors)[None, :],
            limit=limit,
            scope=question.scope,
        )
        cut = len(lists[0]) >= limit
        return Answer(
            channel,
            {scored.row_id: scored.score for scored in lists[0]},
            exact=not cut,
            cut=cut,
            videos={scored.row_id: scored.video_id for scored in lists[0]},
            views={scored.row_id: scored.view for scored in lists[0]},
        )

    def _rows(self, question: Question, usual: int) -> int:
        # Of rows that are looked at some are left out: enough of them to fill pages.
        return max(self._budgets.window_rows if question.checks.any() else usual, question.limit)

    async def _people(self, question: Question) -> Answer:
        ids = tuple(dict.fromkeys(person for group in question.groups for person in group))
        limit = self._budgets.person_rows if question.condition.groups else self._budgets.window_rows
        there = await self._catalog.scenes_of_people(question.tenant_id, ids, limit=limit, scope=question.scope)
        return Answer(
            Channel.PEOPLE,
            {row: presence(scene.people, question.groups) for row, scene in there.items()},
            people={row: scene.people for row, scene in there.items()},
            videos={row: scene.video_id for row, scene in there.items()},
            cut=len(there) >= limit,
        )


def _collection(channel: Channel, generation: Generation) -> str:
    return generation.text_collection if channel is Channel.DENSE else generation.vision_collection


def _vector(channel: Channel, vectors: QueryVectors) -> Float32:
    return vectors.text if channel is Channel.DENSE else vectors.vision
