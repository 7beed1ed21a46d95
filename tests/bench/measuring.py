"""Measuring: a load on a running stack, or on one part of it -> its timing, and what each process spent on a query."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts.ports import QueryVectors, TextQuery
from indexer.search.types import Budgets
from tests.bench import corpus
from tests.bench.closed_loop import Answered, Timing, drive
from tests.bench.cpu import cpu_s, spent
from tests.bench.library import Filled
from tests.bench.load import Task, search_load
from tests.bench.stores import Stores
from tests.stack import Stack

PAGE = 20
"""Hits of an answer."""

GENERATOR = "load generator"

_BUDGETS = Budgets()


@dataclass(frozen=True, slots=True)
class Measured:
    """A load on the whole or on a part, and the processor time of each process for one query, in ms."""

    timing: Timing
    cpu_ms: Mapping[str, float]

    @property
    def all_ms(self) -> float:
        """Processor time of a query in all processes, in ms."""
        return sum(self.cpu_ms.values())


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

    async def encode(query: str) -> int:
        vectors[query] = await stores.encoder.encode(query)
        return 1

    async def text(query: str) -> int:
        (hits,) = await stores.text.search(generation.text_index, [TextQuery(tenant, query, limit=_BUDGETS.words_rows)])
        return len(hits)

    async def text_vectors(query: str) -> int:
        (rows,) = await stores.text_vectors.search(
            generation.text_collection, tenant, vectors[query].text[None, :], limit=_BUDGETS.leg_rows
        )
        return len(rows)

    async def vision_vectors(query: str) -> int:
        (rows,) = await stores.vision_vectors.search(
            generation.vision_collection, tenant, vectors[query].vision[None, :], limit=_BUDGETS.leg_rows
        )
        return len(rows)

    places = {query: place for place, query in enumerate(queries)}

    async def scenes(query: str) -> int:
        at = places[query] * PAGE % (len(filled.row_ids) - PAGE)
        return len(await stores.catalog.hydrate(tenant, filled.row_ids[at : at + PAGE]))

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


def _timed(ask: Callable[[str], Awaitable[int]]) -> Callable[[str], Awaitable[Answered]]:
    async def timed(query: str) -> Answered:
        begin = time.perf_counter()
        hits = await ask(query)
        whole_ms = (time.perf_counter() - begin) * 1000
        return Answered(whole_ms, whole_ms, hits)

    return timed
