"""Run: a collection and the stores of a home -> what each query brought, by the product's own channels and fusion,
or the scales that fit it.

The collection gets an index and collections of its own, which are removed at the end, also when it is interrupted.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from adapters.models import profiles
from adapters.models.settings import ModelSettings
from adapters.text.batched import BatchedText
from adapters.text.opensearch import OpenSearchText
from adapters.vectors.batched import BatchedVectors
from adapters.vectors.milvus import MilvusVectors
from contracts.catalog import Appearance, Generation
from contracts.errors import InvalidRequest
from contracts.ports import EVERYWHERE, QueryVectors, Scope, TextIndex, VectorIndex, VectorRow
from deploy.evaluation.library import TENANT, Library, library
from indexer.evaluation.fit_confidence import Asked, FittedConfidence, asked, fit_confidence
from indexer.evaluation.fit_likeness import FittedLikeness, fit_likeness, only_said, only_seen
from indexer.evaluation.folder import NOTHING, Collection, Query
from indexer.evaluation.lists import DEPTH, NAMES, lists
from indexer.evaluation.metrics import measures
from indexer.evaluation.report import Judged
from indexer.schema.schema import generation
from indexer.search.channels import Channels, question_of
from indexer.search.fuse import Answer, Condition, candidates
from indexer.search.parse import MAX_QUERY_CHARS, Parsed, parse, without_signs
from indexer.search.ranking import FIRST, load
from indexer.search.types import Budgets, Channel, MatchQuality, SearchRequest
from indexer.search.waves import at_once

_ROWS_AT_ONCE = 500
_TEXTS_AT_ONCE = 256
_QUERIES_AT_ONCE = 8

_NAMED = 10  # of queries that find nothing

Taken = TypeVar("Taken")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a collection is put: addresses of the servers, and the models that read it."""

    opensearch: str
    milvus_text: str
    milvus_vision: str
    profile: str
    models: ModelSettings


@dataclass(frozen=True, slots=True)
class Fitted:
    """Scales as a collection has them; None where it is too small to say.

    Attributes:
        confidence: of what answers a query.
        likeness: of scenes that are like another, by channel of meaning.
    """

    confidence: FittedConfidence | None
    likeness: Mapping[Channel, FittedLikeness | None]


class _Appearances:
    """Who is in which scene of the collection; rows need no check, for nobody else writes here."""

    def __init__(self, made: Library) -> None:
        self._people = made.people
        self._videos = {row.row_id: row.video_id for row in made.text}

    async def scenes_of_people(
        self,
        tenant_id: str,  # noqa: ARG002  # there is one alone
        person_ids: Sequence[str],
        *,
        limit: int,
        scope: Scope = EVERYWHERE,  # noqa: ARG002  # no query narrows it
    ) -> Mapping[str, Appearance]:
        """Return who of these names is in which scene, by row id, surest first."""
        wanted = frozenset(person_ids)
        rows = {row: {who: sure for who, sure in there.items() if who in wanted} for row, there in self._people.items()}
        surest = sorted((row for row in rows if rows[row]), key=lambda row: (-max(rows[row].values()), row))
        return {row: Appearance(self._videos[row], rows[row]) for row in surest[:limit]}


class _Encoded:
    """Query encoder that has read all of them before."""

    def __init__(self, vectors: Mapping[str, QueryVectors]) -> None:
        self._vectors = vectors

    async def encode(self, text: str) -> QueryVectors:
        """Return the vectors of a text that was given."""
        return self._vectors[text]


@dataclass(frozen=True, slots=True)
class _Asking:
    """Everything that a query is asked with."""

    channels: Channels
    generation: Generation

    async def answers(self, parsed: Parsed | None) -> tuple[Mapping[Channel, Answer], Condition]:
        """Return what the channels say, with the cosines that their lists did not reach; nothing when the query is
        refused.
        """
        if parsed is None:
            return {}, Condition()
        question = question_of(SearchRequest(TENANT, "", limit=DEPTH), parsed, self.generation)
        encoding = self.channels.encoding(question, at_once)
        answers: dict[Channel, Answer] = {}
        for leg in question.legs():
            answers.update(await self.channels.ask(leg, question, encoding))
        if encoding is not None:
            rows, vectors = candidates(answers, question.condition), await encoding
            for channel in (Channel.DENSE, Channel.VISION):
                filled = await self.channels.backfill(channel, answers[channel], question, vectors, rows)
                answers[channel] = filled
        return answers, question.condition


async def run(collection: Collection, place: Place, say: Callable[[str], None]) -> list[Judged]:
    """Return what each query brought, in the order of the collection.

    Args:
        say: told what is being done.

    Raises: DependencyUnavailable, ModelUnavailable (transient) when a server or a model does not answer.
    """
    made, ranking = await _read(collection, place, say), load(FIRST)

    def judged(query: Query, answers: Mapping[Channel, Answer], condition: Condition) -> Judged:
        rows_of, quality = lists(ranking, answers, condition)
        found = {name: [made.scene_ids[row] for row in rows] for name, rows in rows_of.items()}
        grades = {} if query.category == NOTHING else collection.judgements[query.id]
        figures = {name: measures(found[name], grades) for name in NAMES} if grades else {}
        return Judged(query.id, query.category, figures, quality is MatchQuality.NONE, refused=not answers)

    return await _each(collection, made, place, say, judged)


async def fit(collection: Collection, place: Place, say: Callable[[str], None]) -> Fitted:
    """Return the scales that the collection has for the ranking in force; arguments and errors as ``run``."""
    made, ranking = await _read(collection, place, say), load(FIRST)

    def known(query: Query, answers: Mapping[Channel, Answer], condition: Condition) -> Asked:
        return asked(answers, condition, answerable=query.category != NOTHING)

    queries = await _each(collection, made, place, say, known)
    say("fitting")
    said, seen = made.by_scene(made.text_vectors), made.by_scene(made.vision_vectors)
    likeness = {
        Channel.DENSE: fit_likeness(collection, said, only_said, ranking.confidence),
        Channel.VISION: fit_likeness(collection, seen, only_seen, ranking.confidence),
    }
    return Fitted(fit_confidence(ranking, queries), likeness)


async def _read(collection: Collection, place: Place, say: Callable[[str], None]) -> Library:
    if collection.strays:
        say(f"{collection.strays} judgements are of queries or scenes that are not there; such scenes are never found")
    say(
        f"{len(collection.scenes)} scenes, {len(collection.queries)} queries; reading them with profile {place.profile}"
    )
    return await library(collection, place.profile, place.models)


async def _each(
    collection: Collection,
    made: Library,
    place: Place,
    say: Callable[[str], None],
    take: Callable[[Query, Mapping[Channel, Answer], Condition], Taken],
) -> list[Taken]:
    """Ask every query; return what ``take`` makes of what the channels say to it."""
    names = [(name, name) for name in sorted({name for there in made.people.values() for name in there})]
    parsed = {query.id: _parsed(query, names) for query in collection.queries}
    if refused := [query for query, taken_apart in parsed.items() if taken_apart is None]:
        say(f"{len(refused)} queries have nothing to look for, and find nothing: {', '.join(refused[:_NAMED])}")
    encoder = await _encoded([p.meaning for p in parsed.values() if p and p.meaning], place)
    async with _stores(made, place, say) as (generation_, text, text_vectors, vision_vectors):
        channels = Channels(
            catalog=_Appearances(made),
            text=text,
            text_vectors=text_vectors,
            vision_vectors=vision_vectors,
            encoder=encoder,
            budgets=Budgets(),
        )
        asking = _Asking(channels, generation_)
        say("asking")
        taken: list[Taken] = []
        for start in range(0, len(collection.queries), _QUERIES_AT_ONCE):
            some = collection.queries[start : start + _QUERIES_AT_ONCE]
            answered = await asyncio.gather(*(asking.answers(parsed[query.id]) for query in some))
            taken += [take(query, *said) for query, said in zip(some, answered, strict=True)]
    return taken


def _parsed(query: Query, names: Sequence[tuple[str, str]]) -> Parsed | None:
    """Return the query taken apart; None when the product refuses it, which finds nothing.

    A question of a collection was not typed for our grammar.
    """
    try:
        return parse(without_signs(query.text)[:MAX_QUERY_CHARS], names)
    except InvalidRequest:
        return None


async def _encoded(texts: Sequence[str], place: Place) -> _Encoded:
    text_encoder = profiles.text_encoder(place.profile, place.models)
    vision_encoder = profiles.vision_encoder(place.profile, place.models)
    vectors: dict[str, QueryVectors] = {}
    each = list(dict.fromkeys(texts))
    for start in range(0, len(each), _TEXTS_AT_ONCE):
        some = each[start : start + _TEXTS_AT_ONCE]
        said = await asyncio.to_thread(text_encoder.encode_queries, some)
        seen = await asyncio.to_thread(vision_encoder.encode_queries, some)
        vectors.update(zip(some, map(QueryVectors, said, seen), strict=True))
    return _Encoded(vectors)


@asynccontextmanager
async def _stores(
    made: Library, place: Place, say: Callable[[str], None]
) -> AsyncIterator[tuple[Generation, TextIndex, VectorIndex, VectorIndex]]:
    """Yield the stores with the library in them, under names of this run alone, and remove it again."""
    name = uuid.uuid4().hex[:12]
    versions = profiles.versions(place.profile, place.models)
    generation_ = replace(
        generation(1, "ACTIVE", text_model=versions["embeddings"], vision_model=versions["vision"], ranking=FIRST),
        text_index=f"heimdex-eval-{name}",
        text_collection=f"heimdex_eval_text_{name}",
        vision_collection=f"heimdex_eval_vision_{name}",
    )
    async with AsyncExitStack() as resources:
        text = await resources.enter_async_context(OpenSearchText(place.opensearch))
        text_vectors = await resources.enter_async_context(MilvusVectors(place.milvus_text))
        vision_vectors = await resources.enter_async_context(MilvusVectors(place.milvus_vision))
        resources.push_async_callback(text.drop, generation_.text_index)
        resources.push_async_callback(text_vectors.drop, generation_.text_collection)
        resources.push_async_callback(vision_vectors.drop, generation_.vision_collection)
        say("writing them")
        await text.ensure(generation_.text_index)
        await text.upsert(generation_.text_index, made.text)
        await text.refresh(generation_.text_index)
        await _write(text_vectors, generation_.text_collection, made.text_dim, made.text_vectors)
        await _write(vision_vectors, generation_.vision_collection, made.vision_dim, made.vision_vectors)
        yield generation_, BatchedText(text), BatchedVectors(text_vectors), BatchedVectors(vision_vectors)


async def _write(index: VectorIndex, collection: str, dim: int, rows: Sequence[VectorRow]) -> None:
    await index.ensure(collection, dim)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        await index.upsert(collection, rows[start : start + _ROWS_AT_ONCE])
    await index.flush(collection)
