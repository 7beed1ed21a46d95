"""Measuring: a load on a running stack, or on one part of it -> its timing, and what each process spent on a query."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.ports import Float32, QueryVectors, TextQuery, VectorIndex
from indexer.search.types import Budgets
from tests.bench import corpus
from tests.bench.closed_loop import Answered, Timing, drive, joined
from tests.bench.cpu import REST, cpu_s, spent
from tests.bench.library import Filled
from tests.bench.load import Task, search_load
from tests.bench.own import drive_gateway
from tests.bench.stores import Stores
from tests.stack import Stack

PAGE = 20
"""Hits of an answer."""

GENERATOR = "load generator"
GATEWAY = "gateway"
OWN = frozenset({GATEWAY})
"""Parts that are the gateway's own; all others are somebody else's and the asking."""

_BUDGETS = Budgets()
_UNLISTED = 40
"""Rows of other channels that a list of the nearest does not reach: a search asks for their vectors, too."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A load on the whole or on a part, and the processor time of each process for one query, in ms."""

    timing: Timing
    cpu_ms: Mapping[str, float]

    @property
    def all_ms(self) -> float:
        """Processor time of a query in all processes that serve it, in ms."""
        return sum(spent_ms for name, spent_ms in self.cpu_ms.items() if name != REST)


def pooled(rounds: Sequence[Measured]) -> Measured:
    """Return the same load of several rounds as one; processor time by how many queries each answered."""
    timings = [measured.timing for measured in rounds]
    answered = [len(timing.answers) for timing in timings]
    cpu_ms = {
        name: float(np.average([measured.cpu_ms[name] for measured in rounds], weights=answered))
        for name in rounds[0].cpu_ms
    }
    return Measured(joined(timings), cpu_ms)


class Questions:
    """Queries, none of them twice: vectors of queries are kept, so a second time is another thing."""

    def __init__(self) -> None:
        self._given = 0

    def take(self, count: int) -> tuple[str, ...]:
        """Return the next ``count``."""
        self._given += count
        return tuple(corpus.queries(self._given - count, count))


async def load_whole(
    stack: Stack, tenants: Sequence[str], queries: Sequence[str], callers: int, *, progressive: bool = False
) -> Measured:
    """Search through the gateway, the last frame only or every one."""
    tokens = tuple(stack.token(tenant) for tenant in tenants)
    task = Task(stack.endpoint, tokens, tuple(queries), callers, PAGE, progressive)
    return await _measured(stack, lambda: search_load(task))


async def _measured(stack: Stack, load: Callable[[], Awaitable[Timing]]) -> Measured:
    before = cpu_s(stack)
    timing = await load()
    used = {**spent(before, cpu_s(stack)), GENERATOR: timing.cpu_s}
    return Measured(timing, {name: seconds * 1000 / len(timing.answers) for name, seconds in used.items()})


async def load_parts(
    stack: Stack, stores: Stores, tenant: str, filled: Filled, queries: Sequence[str], *, callers: int
) -> Mapping[str, Measured]:
    """Ask each part alone what a search asks of it, with the same queries; the first to be asked makes the vectors."""
    vectors: dict[str, QueryVectors] = {}
    generation = stores.generation
    places = {query: place for place, query in enumerate(queries)}

    def some(query: str, count: int) -> Sequence[str]:
        """Return rows of the library, each query's its own."""
        at = places[query] * count % (len(filled.row_ids) - count)
        return filled.row_ids[at : at + count]

    async def encode(query: str) -> int:
        vectors[query] = await stores.encoder.encode(query)
        return 1

    async def text(query: str) -> int:
        (hits,) = await stores.text.search(generation.text_index, [TextQuery(tenant, query, limit=_BUDGETS.words_rows)])
        said = [corpus.sentence(places[query] * PAGE + number) for number in range(PAGE)]
        await stores.text.highlight(generation.text_index, query, said)
        return len(hits)

    async def nearest(index: VectorIndex, collection: str, query: str, vector: Float32) -> int:
        (rows,) = await index.search(collection, tenant, vector[None, :], limit=_BUDGETS.leg_rows)
        await index.similarities(collection, tenant, vector, some(query, _UNLISTED))
        return len(rows)

    async def text_vectors(query: str) -> int:
        return await nearest(stores.text_vectors, generation.text_collection, query, vectors[query].text)

    async def vision_vectors(query: str) -> int:
        return await nearest(stores.vision_vectors, generation.vision_collection, query, vectors[query].vision)

    async def scenes(query: str) -> int:
        return len(await stores.catalog.hydrate(tenant, some(query, PAGE)))

    asked: Mapping[str, Callable[[str], Awaitable[int]]] = {
        "encoders": encode,
        "OpenSearch": text,
        "Milvus, text": text_vectors,
        "Milvus, vision": vision_vectors,
        "catalogue": scenes,
    }
    return {
        name: await _measured(stack, lambda ask=ask: drive(queries, callers, _timed(ask)))  # type: ignore[misc]
        for name, ask in asked.items()
    }


async def load_own(stack: Stack, tenant: str, queries: Sequence[str], *, callers: int) -> Mapping[str, Measured]:
    """Measure what a search costs the gateway itself, all that it asks answered from memory."""
    answered, gateway_s = await drive_gateway(stack.environment(), stack.token(tenant), queries, callers, PAGE)
    return {GATEWAY: Measured(answered, {GATEWAY: gateway_s * 1000 / len(queries)})}


def _timed(ask: Callable[[str], Awaitable[int]]) -> Callable[[str], Awaitable[Answered]]:
    async def timed(query: str) -> Answered:
        begin = time.perf_counter()
        hits = await ask(query)
        whole_ms = (time.perf_counter() - begin) * 1000
        return Answered(whole_ms, whole_ms, hits)

    return timed
