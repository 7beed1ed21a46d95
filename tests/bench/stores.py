"""Stores: a running stack -> its ports, as the gateway has them and in their naive form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.catalog.sql import SqlCatalog
from adapters.clock import SystemClock
from adapters.inference import client as inference
from adapters.text.batched import BatchedText
from adapters.text.opensearch import OpenSearchText
from adapters.vectors.batched import BatchedVectors
from adapters.vectors.milvus import MilvusVectors
from contracts.catalog import Catalog, Generation
from contracts.ports import QueryEncoder, QueryVectors, TextIndex, VectorIndex
from indexer.search.ranking import load
from indexer.search.searcher import DEFAULT_BUDGETS, Searcher
from indexer.search.types import Budgets
from tests.stack import Stack


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that a search asks, and the generation that is read."""

    catalog: Catalog
    generation: Generation
    text: TextIndex
    text_vectors: VectorIndex
    vision_vectors: VectorIndex
    encoder: QueryEncoder

    def searcher(self, budgets: Budgets = DEFAULT_BUDGETS) -> Searcher:
        """Return who searches them."""
        return Searcher(
            self.catalog,
            self.text,
            self.text_vectors,
            self.vision_vectors,
            self.encoder,
            self.generation,
            load(self.generation.ranking),
            SystemClock(),
            budgets=budgets,
        )


class OneByOne:
    """``QueryEncoder`` that asks for one query at a time, so that the other side has nothing to batch either."""

    def __init__(self, inner: QueryEncoder) -> None:
        self._inner = inner
        self._turn = asyncio.Lock()

    async def encode(self, text: str) -> QueryVectors:
        async with self._turn:
            return await self._inner.encode(text)


@asynccontextmanager
async def opened(environment: Mapping[str, str], *, batched: bool = True) -> AsyncIterator[Stores]:
    """Open the ports as the gateway does, or each call by itself, with no vectors kept.

    Args:
        environment: ``Stack.environment()``.
    """
    async with AsyncExitStack() as resources:
        enter = resources.enter_async_context
        catalog = await enter(SqlCatalog(environment["HEIMDEX_CATALOG"]))
        generation = await catalog.active_generation()
        text: TextIndex = await enter(OpenSearchText(environment["HEIMDEX_OPENSEARCH"]))
        text_vectors: VectorIndex = await enter(MilvusVectors(environment["HEIMDEX_MILVUS_TEXT"]))
        vision_vectors: VectorIndex = await enter(MilvusVectors(environment["HEIMDEX_MILVUS_VISION"]))
        channel = inference.channel(environment["HEIMDEX_INFERENCE"])
        resources.push_async_callback(channel.close)
        encoder = inference.GrpcQueryEncoder(
            channel, text_version=generation.text_model, vision_version=generation.vision_model
        )
        resources.push_async_callback(encoder.close)
        if batched:
            text = BatchedText(text)
            text_vectors, vision_vectors = BatchedVectors(text_vectors), BatchedVectors(vision_vectors)
        yield Stores(catalog, generation, text, text_vectors, vision_vectors, encoder if batched else OneByOne(encoder))


def models_dir(stack: Stack) -> Path:
    """Return the folder of the stack's models."""
    return Path(stack.environment()["HEIMDEX_MODELS_DIR"])
