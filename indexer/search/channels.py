"""Channels: a question -> what each store says of it; every leg asks one store once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from contracts.catalog import Generation, SceneRow
from contracts.ports import Float32, QueryEncoder, QueryVectors, Scored, TextIndex, TextQuery, VectorIndex
from indexer.search.fuse import Answer, Condition, Group, presence
from indexer.search.parse import Parsed
from indexer.search.types import Budgets, Channel, SearchRequest

Answers = Mapping[Channel, Answer]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the stores.

    Attributes:
        limit: hits of a page.
        groups: everybody named or filtered for; ``condition.groups`` are those that must be there.
    """

    tenant_id: str
    parsed: Parsed
    generation: Generation
    limit: int
    video_ids: tuple[str, ...]
    groups: tuple[Group, ...]
    condition: Condition

    def legs(self) -> tuple[tuple[Channel, ...], ...]:
        """Return the channels that have something to look for, by leg."""
        legs: list[tuple[Channel, ...]] = []
        if self.parsed.words or self.parsed.phrases:
            legs.append((Channel.LEXICAL, Channel.TAGS))
        if self.parsed.meaning:
            legs += [(Channel.DENSE,), (Channel.VISION,)]
        if self.groups:
            legs.append((Channel.PEOPLE,))
        return tuple(legs)


def question_of(request: SearchRequest, parsed: Parsed, generation: Generation) -> Question:
    """Return what a request asks of a generation; ``parsed`` is its query."""
    filtered = tuple((person,) for person in dict.fromkeys(request.person_ids))
    mentioned = tuple(mention.person_ids for mention in parsed.mentions)
    required = tuple(mention.person_ids for mention in parsed.mentions if mention.required)
    condition = Condition(
        phrases=bool(parsed.phrases),
        literal=bool(parsed.phrases) and not parsed.words,
        groups=filtered + required,
        people_named=bool(mentioned),
        people_alone=bool(mentioned) and not parsed.meaning,
        min_confidence=request.min_confidence,
    )
    groups = tuple(dict.fromkeys(filtered + mentioned))
    return Question(request.tenant_id, parsed, generation, request.limit, request.video_ids, groups, condition)


class Appearances(Protocol):
    """What the channels need of the catalogue: who is in which scene. A part of ``contracts.catalog.Catalog``."""

    async def scenes_of_people(
        self, tenant_id: str, person_ids: Sequence[str], *, limit: int
    ) -> Mapping[str, Mapping[str, float]]:
        """Return row id -> {person id: confidence}, surest first."""
        ...

    async def hydrate(self, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, SceneRow]:
        """Return what SQL says of rows that may be shown."""
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

    def encoding(self, question: Question) -> asyncio.Task[QueryVectors] | None:
        """Start encoding, once for both spaces; None when there is no meaning to encode. The caller ends the task."""
        if not question.parsed.meaning:
            return None
        task = asyncio.ensure_future(self._encoder.encode(question.parsed.meaning))
        # When both legs are over before it, nobody is left to take its exception.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    async def ask(
        self, leg: Sequence[Channel], question: Question, encoding: asyncio.Task[QueryVectors] | None
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
        return replace(answer, raw={**answer.raw, **found}, exact=True)

    async def _words(self, question: Question) -> Answers:
        limit = self._budgets.filtered_rows if question.condition.groups else self._rows(question)
        query = TextQuery(
            tenant_id=question.tenant_id,
            text=question.parsed.words,
            phrases=question.parsed.phrases,
            video_ids=question.video_ids,
            limit=limit,
        )
        (hits,) = await self._text.search(question.generation.text_index, [query])
        said = {hit.row_id: hit.bm25 for hit in hits if hit.bm25 > 0}
        tagged = {hit.row_id: hit.tag_score for hit in hits if hit.tag_score > 0}
        coverage = {hit.row_id: hit.coverage for hit in hits if hit.bm25 > 0}
        # BM25 of a row beyond the list is not asked for again: it is taken as the nothing it nearly is.
        return {
            Channel.LEXICAL: Answer(Channel.LEXICAL, said, coverage=coverage),
            Channel.TAGS: Answer(Channel.TAGS, tagged),
        }

    async def _nearest(self, channel: Channel, question: Question, vectors: QueryVectors) -> Answer:
        limit = self._rows(question)
        lists: Sequence[Sequence[Scored]] = await self._vectors[channel].search(
            _collection(channel, question.generation),
            question.tenant_id,
            _vector(channel, vectors)[None, :],
            limit=limit,
            video_ids=question.video_ids,
        )
        return Answer(channel, {scored.row_id: scored.score for scored in lists[0]}, exact=len(lists[0]) < limit)

    def _rows(self, question: Question) -> int:
        return max(self._budgets.leg_rows, question.limit)

    async def _people(self, question: Question) -> Answer:
        ids = tuple(dict.fromkeys(person for group in question.groups for person in group))
        limit = self._budgets.person_rows if question.condition.groups else self._budgets.window_rows
        people = await self._catalog.scenes_of_people(question.tenant_id, ids, limit=limit)
        if question.video_ids:
            scenes = await self._catalog.hydrate(question.tenant_id, list(people))
            wanted = frozenset(question.video_ids)
            people = {row: people[row] for row, scene in scenes.items() if scene.video_id in wanted}
        raw = {row: presence(present, question.groups) for row, present in people.items()}
        return Answer(Channel.PEOPLE, raw, people=people)


def _collection(channel: Channel, generation: Generation) -> str:
    return generation.text_collection if channel is Channel.DENSE else generation.vision_collection


def _vector(channel: Channel, vectors: QueryVectors) -> Float32:
    return vectors.text if channel is Channel.DENSE else vectors.vision
