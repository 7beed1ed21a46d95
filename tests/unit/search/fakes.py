"""Memory forms of the ports of search, and a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from google.protobuf.duration_pb2 import Duration

from contracts.catalog import Appearance, Catalog, Generation, SceneRow
from contracts.errors import HeimdexError
from contracts.ports import (
    EVERYWHERE,
    Float32,
    Nearness,
    QueryVectors,
    Scope,
    Scored,
    TextHit,
    TextIndex,
    TextQuery,
    VectorIndex,
    Views,
)
from heimdex.scene.v1 import scene_pb2
from indexer.schema.schema import first_generation
from indexer.search.ranking import load
from indexer.search.searcher import Searcher
from indexer.search.types import Budgets

TENANT = "acme"
VIDEO = "vid_1"


class StillClock:
    """``contracts.ports.Clock`` that only ``advance`` moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_s + seconds, future))
        await future

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.Future[None]:
        alarm = asyncio.get_running_loop().create_future()
        alarm.add_done_callback(lambda rung: None if rung.cancelled() else callback())
        self._sleepers.append((self.now_s + seconds, alarm))
        return alarm

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        for until_s, future in self._sleepers:
            if until_s <= self.now_s and not future.done():
                future.set_result(None)


@dataclass
class Door:
    """How a fake answers: at once, when opened, or with an error; counts who is inside."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    error: HeimdexError | None = None
    entered: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        self.opened.set()

    async def pass_(self) -> None:
        self.entered += 1
        try:
            await self.opened.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.left += 1

    def close(self) -> None:
        self.opened.clear()


class FakeVectors:
    """Lists that were put in; cosines by row beside."""

    def __init__(self) -> None:
        self.cosines: dict[str, float] = {}
        self.videos: dict[str, str] = {}
        self.best_views: dict[str, int] = {}
        self.door = Door()
        self.backfill = Door()
        self.filled: list[str] = []
        self.collections: set[str] = set()
        self.scopes: list[Scope] = []
        self.asked: list[Float32] = []

    async def search(
        self, collection: str, tenant_id: str, vectors: Float32, *, limit: int, scope: Scope = EVERYWHERE
    ) -> Sequence[Sequence[Scored]]:
        self.collections.add(collection)
        self.scopes.append(scope)
        self.asked += list(vectors)
        await self.door.pass_()
        best = sorted(self.cosines.items(), key=lambda item: -item[1])[:limit]
        return [
            [Scored(row, cosine, self.videos.get(row, VIDEO), self.best_views.get(row, 0)) for row, cosine in best]
            for _ in vectors
        ]

    async def similarities(
        self, collection: str, tenant_id: str, vector: Float32, row_ids: Sequence[str]
    ) -> Mapping[str, Nearness]:
        await self.backfill.pass_()
        self.filled += row_ids
        return {row: Nearness(self.cosines[row], self.best_views.get(row, 0)) for row in row_ids if row in self.cosines}

    async def views(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, Views]:
        await self.door.pass_()
        return {row: {0: np.ones(4, np.float32)} for row in row_ids if row in self.cosines}


class FakeText:
    """Hits that were put in; marks every place of each word of the text."""

    def __init__(self) -> None:
        self.hits: list[TextHit] = []
        self.door = Door()
        self.marker = Door()
        self.queries: list[TextQuery] = []
        self.held: dict[str, set[str]] = {}
        self.holder = Door()

    async def search(self, index: str, queries: Sequence[TextQuery]) -> Sequence[Sequence[TextHit]]:
        self.queries += queries
        await self.door.pass_()
        return [self.hits[: query.limit] for query in queries]

    async def holding(self, index: str, tenant_id: str, row_ids: Sequence[str], texts: Sequence[str]) -> frozenset[str]:
        await self.holder.pass_()
        return frozenset(row for row in row_ids if self.held.get(row, set()) & set(texts))

    async def highlight(self, index: str, text: str, transcripts: Sequence[str]) -> Sequence[Sequence[tuple[int, int]]]:
        await self.marker.pass_()
        out = []
        for transcript in transcripts:
            places = [(transcript.find(word), len(word)) for word in text.split()]
            out.append(sorted((at, at + length) for at, length in places if at >= 0))
        return out


class FakeEncoder:
    """One vector for all."""

    def __init__(self, vision_dim: int = 3) -> None:
        self.vision = np.ones(vision_dim, np.float32)
        self.door = Door()
        self.texts: list[str] = []

    async def encode(self, text: str) -> QueryVectors:
        self.texts.append(text)
        await self.door.pass_()
        return QueryVectors(np.ones(4, np.float32), self.vision)


class FakeCatalog:
    """The part of the catalogue that search reads."""

    def __init__(self) -> None:
        self.generation: Generation = first_generation("t.1", "v.1")
        self.names: list[tuple[str, str]] = []
        self.people: dict[str, dict[str, float]] = {}
        self.scenes: dict[str, SceneRow] = {}
        self.languages: dict[str, str] = {}
        self.looked_up: list[tuple[str, ...]] = []
        self.door = Door()
        self.people_door = Door()

    async def active_generation(self) -> Generation:
        return self.generation

    async def people_names(self, tenant_id: str) -> Sequence[tuple[str, str]]:
        return self.names if tenant_id == TENANT else []

    async def scenes_of_people(
        self, tenant_id: str, person_ids: Sequence[str], *, limit: int = 1000, scope: Scope = EVERYWHERE
    ) -> Mapping[str, Appearance]:
        await self.people_door.pass_()
        found = {row: {p: c for p, c in people.items() if p in person_ids} for row, people in self.people.items()}
        scenes = self.scenes
        inside = {row for row in found if scope.holds(scenes[row].video_id, scenes[row].start_ms)}
        there = [(row, people) for row, people in found.items() if people and row in inside][:limit]
        return {row: Appearance(scenes[row].video_id, people) for row, people in there}

    async def rows_with_people(
        self, tenant_id: str, person_ids: Sequence[str], row_ids: Sequence[str]
    ) -> frozenset[str]:
        await self.people_door.pass_()
        return frozenset(row for row in row_ids if self.people.get(row, {}).keys() & set(person_ids))

    async def videos_matching(
        self, tenant_id: str, *, video_ids: Sequence[str] = (), languages: Sequence[str] = (),
        uploaded_from_ms: int | None = None, uploaded_to_ms: int | None = None, limit: int = 1000,
    ) -> Sequence[str]:  # fmt: skip
        self.looked_up.append(tuple(video_ids))
        spoken = {video for video, language in self.languages.items() if not languages or language in languages}
        return sorted(video for video in spoken if not video_ids or video in video_ids)[:limit]

    async def hydrate(self, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, SceneRow]:
        await self.door.pass_()
        return {row: self.scenes[row] for row in row_ids if row in self.scenes and tenant_id == TENANT}

    def add(self, row: str, *lines: str, video: str = VIDEO, start_ms: int = 0) -> None:
        """Put a scene in, each line a second long."""
        scene = scene_pb2.Scene(scene_id=row, video_id=video)
        for index, text in enumerate(lines):
            scene.transcript.add(
                start_offset=Duration(seconds=index), end_offset=Duration(seconds=index + 1), text=text
            )
        self.scenes[row] = SceneRow(row, TENANT, video, 1, 0, start_ms, start_ms + 1000, scene.SerializeToString())


class World:
    """A searcher on fakes."""

    def __init__(self, **budgets: Any) -> None:
        self.catalog, self.text, self.encoder, self.clock = FakeCatalog(), FakeText(), FakeEncoder(), StillClock()
        self.dense, self.vision = FakeVectors(), FakeVectors()
        self.searcher = Searcher(
            cast("Catalog", self.catalog),
            cast("TextIndex", self.text),
            cast("VectorIndex", self.dense),
            cast("VectorIndex", self.vision),
            self.encoder,
            self.catalog.generation,
            load("small-v1"),
            self.clock,
            budgets=Budgets(**budgets),
        )

    def doors(self) -> list[Door]:
        """Return every door of the channels."""
        return [self.text.door, self.dense.door, self.vision.door, self.encoder.door, self.catalog.people_door]


def said(row: str, bm25: float, *, coverage: float = 1.0, tag_score: float = 0.0, video: str = VIDEO) -> TextHit:
    """Return a hit of words."""
    return TextHit(row, bm25, tag_score, coverage, video)
