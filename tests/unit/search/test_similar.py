"""Scenes like another, on exact vectors in memory: what is compared, what is left out, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from adapters.vectors.memory import MemoryVectors
from contracts.catalog import Catalog, SceneRow
from contracts.errors import DependencyUnavailable, InvalidRequest, NotFound
from contracts.ids import row_id
from contracts.ports import EVERYWHERE, Float32, Nearness, Scope, Scored, TextIndex, VectorRow, Views
from heimdex.scene.v1 import scene_pb2
from indexer.search.likeness import tags_in_common
from indexer.search.ranking import load
from indexer.search.searcher import Searcher
from indexer.search.types import (
    Budgets,
    Cause,
    Channel,
    Degraded,
    Filter,
    MatchQuality,
    SimilarRequest,
    Update,
    Weights,
)
from tests.unit.search.fakes import TENANT, Door, FakeCatalog, FakeEncoder, FakeText, StillClock

CAT, PERSON = {"cat": 0.9}, "per_1"


class Vectors(MemoryVectors):
    """Exact vectors behind doors."""

    def __init__(self) -> None:
        super().__init__()
        self.door, self.reader, self.backfill = Door(), Door(), Door()

    async def search(
        self, collection: str, tenant_id: str, vectors: Float32, *, limit: int, scope: Scope = EVERYWHERE
    ) -> Sequence[Sequence[Scored]]:
        await self.door.pass_()
        return await super().search(collection, tenant_id, vectors, limit=limit, scope=scope)

    async def similarities(
        self, collection: str, tenant_id: str, vector: Float32, row_ids: Sequence[str]
    ) -> Mapping[str, Nearness]:
        await self.backfill.pass_()
        return await super().similarities(collection, tenant_id, vector, row_ids)

    async def views(self, collection: str, tenant_id: str, row_ids: Sequence[str]) -> Mapping[str, Views]:
        await self.reader.pass_()
        return await super().views(collection, tenant_id, row_ids)


class Scenes(FakeCatalog):
    """The part of the catalogue that is read for it."""

    async def get_scene(self, tenant_id: str, scene_id: str) -> SceneRow:
        await self.door.pass_()
        for scene in self.scenes.values():
            if (scene.scene_id, scene.tenant_id) == (scene_id, tenant_id):
                return scene
        raise NotFound("scene", scene_id)

    async def get_video(self, tenant_id: str, video_id: str) -> Any:
        return SimpleNamespace(scene_count=sum(scene.video_id == video_id for scene in self.scenes.values()))


class Library:
    """A searcher, and scenes by how like the scene ``one`` they are."""

    def __init__(self, **budgets: Any) -> None:
        self.catalog, self.clock, self.text = Scenes(), StillClock(), Vectors()
        self.vision, self.encoder = Vectors(), FakeEncoder()
        self.searcher = Searcher(
            cast("Catalog", self.catalog), cast("TextIndex", FakeText()), self.text, self.vision, self.encoder,
            self.catalog.generation, load("small-v1"), self.clock, budgets=Budgets(**budgets),
        )  # fmt: skip

    async def add(
        self,
        scene_id: str,
        *,
        said: float | None = None,
        seen: float | None = None,
        tags: Mapping[str, float] | None = None,
        video: str = "",
        revision: int = 1,
        shown: bool = True,
    ) -> None:
        """Put a scene in, by its cosines to ``one``."""
        row, generation = row_id(scene_id, revision), self.catalog.generation
        for index, name, cosine in (
            (self.text, generation.text_collection, said), (self.vision, generation.vision_collection, seen),
        ):  # fmt: skip
            await index.ensure(name, 2)
            if cosine is not None:
                vector = np.array([cosine, (1 - cosine**2) ** 0.5], np.float32)
                await index.upsert(name, [VectorRow(row, TENANT, video or scene_id, scene_id, revision, 0, 1, vector)])
        body = scene_pb2.Scene(tags=[scene_pb2.Tag(tag=tag, score=score) for tag, score in (tags or {}).items()])
        if shown:
            self.catalog.scenes[row] = SceneRow(
                scene_id, TENANT, video or scene_id, revision, 0, 0, 1, body.SerializeToString()
            )

    async def like(self, scene_id: str = "one", *, deadline_s: float = 10.0, **fields: Any) -> Update:
        fields = {"tenant_id": TENANT} | fields
        return await self.searcher.similar(SimilarRequest(scene_id=scene_id, **fields), deadline_s=deadline_s)


@pytest.fixture
async def library() -> Library:
    made = Library()
    await made.add("one", said=1.0, seen=1.0, tags=CAT, video="film")
    await made.add("said", said=0.45, seen=0.0, video="talk")
    await made.add("both", said=0.4, seen=0.7, tags=CAT, video="other")
    await made.add("seen", said=0.0, seen=0.8, tags={"cat": 0.5, "dog": 0.4})
    await made.add("neither", said=0.05, seen=0.1)
    await made.add("beside", said=0.9, seen=0.9, tags=CAT, video="film")
    return made


def found(update: Update) -> list[str]:
    return [hit.scene.scene_id for hit in update.hits]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that tells nobody when it becomes so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0)


def down() -> DependencyUnavailable:
    return DependencyUnavailable("store", "is down")


@pytest.mark.parametrize(
    ("cosine", "tags", "least", "more"),
    [(0.01, None, 0.0, False), (0.3, None, 0.0, True), (0.01, CAT, 0.0, False), (0.3, CAT, 0.3, False)],
)
async def test_a_cut_list_hides_what_may_be_like_it(
    *, cosine: float, tags: Mapping[str, float] | None, least: float, more: bool
) -> None:
    many = Library(leg_rows=1)
    await many.add("one", said=1.0, tags=tags)
    await many.add("near", said=0.9)
    for number in range(20):
        await many.add(f"far{number}", said=cosine)
    answer = await many.like(limit=1, filter=Filter(min_confidence=least))
    assert answer.summary is not None
    assert answer.summary.total_is_lower_bound is more
    assert not (await many.like(limit=30)).summary.total_is_lower_bound, "no list is cut"  # type: ignore[union-attr]


async def test_what_says_and_shows_the_same_comes_first_and_itself_never(library: Library) -> None:
    answer = await library.like()
    assert found(answer) == ["both", "said", "seen"]
    assert answer.answered == (Channel.DENSE, Channel.VISION, Channel.TAGS)
    assert library.encoder.texts == [], "nothing is encoded"
    summary = answer.summary
    assert summary is not None
    assert (summary.total_hits, summary.match_quality, summary.degraded) == (3, MatchQuality.SUPPORTED, ())
    assert (summary.ranking, summary.generation) == ("small-v1", 1)
    best = answer.hits[0].ranked
    assert sum(part.points for part in best.contributions) == pytest.approx(best.score)
    assert dict(zip(best.channels, best.raw, strict=True)) == pytest.approx(
        {Channel.DENSE: 0.4, Channel.VISION: 0.7, Channel.TAGS: 1.0}, abs=1e-6
    )


async def test_scenes_of_the_same_video_come_when_asked_for(library: Library) -> None:
    assert found(await library.like(include_same_video=True)) == ["beside", "both", "said", "seen"]
    own = Filter(video_ids=("film",))
    assert found(await library.like(filter=own, include_same_video=True)) == ["beside"]
    assert found(await library.like(filter=own)) == []


async def test_a_long_video_does_not_keep_others_from_being_found() -> None:
    library = Library(leg_rows=3)
    await library.add("one", said=1.0, video="film")
    for number in range(40):
        await library.add(f"beside{number}", said=0.9, video="film")
    await library.add("far", said=0.5)
    assert found(await library.like(limit=1)) == ["far"]


async def test_a_scene_without_one_vector_is_compared_by_the_other(library: Library) -> None:
    await library.add("mute", seen=1.0)
    by_sight = await library.like("mute")
    assert sorted(found(by_sight)) == ["beside", "both", "one", "seen"]
    assert by_sight.answered == (Channel.VISION,)
    await library.add("dark", said=1.0)
    by_text = await library.like("dark")
    assert by_text.answered == (Channel.DENSE,)
    assert sorted(found(by_text)) == ["beside", "both", "one", "said"]
    assert by_text.summary is not None
    assert by_text.summary.degraded == ()


async def test_a_scene_without_any_vector_is_like_none(library: Library) -> None:
    await library.add("empty", tags=CAT)
    answer = await library.like("empty", filter=Filter(person_ids=(PERSON,)))
    assert (found(answer), answer.answered) == ([], ())
    assert answer.summary is not None
    assert (answer.summary.match_quality, answer.summary.degraded) == (MatchQuality.NONE, ())


async def test_what_nothing_is_like_is_an_answer() -> None:
    library = Library()
    await library.add("one", said=1.0)
    await library.add("far", said=0.1)
    answer = await library.like()
    assert found(answer) == []
    assert answer.summary is not None
    assert (answer.summary.total_hits, answer.summary.match_quality) == (0, MatchQuality.NONE)


async def test_rows_of_a_revision_that_is_gone_are_not_shown(library: Library) -> None:
    await library.add("one", said=0.99, seen=0.99, video="elsewhere", revision=7, shown=False)
    await library.add("old", said=0.99, seen=0.99, revision=7, shown=False)
    answer = await library.like()
    assert found(answer) == ["both", "said", "seen"]
    assert answer.summary is not None
    assert answer.summary.total_hits == 3


async def test_weights_of_the_call_decide_what_counts(library: Library) -> None:
    assert found(await library.like(weights=Weights(text=1.0, vision=0.0, tags=0.0))) == ["said", "both", "seen"]
    assert found(await library.like(weights=Weights(text=0.0, vision=1.0, tags=0.0))) == ["seen", "both", "said"]
    with pytest.raises(InvalidRequest) as wrong:
        await library.like(weights=Weights(text=0.0, vision=0.0, tags=0.0))
    assert wrong.value.violations[0].field == "weights"


async def test_only_scenes_with_the_people_and_the_confidence_asked_for(library: Library) -> None:
    library.catalog.people = {"said:1": {PERSON: 0.9}, "neither:1": {PERSON: 0.8}, "beside:1": {PERSON: 0.9}}
    there = await library.like(filter=Filter(person_ids=(PERSON,)))
    assert found(there) == ["said"]
    assert next(p.points for p in there.hits[0].ranked.contributions if p.channel is Channel.PEOPLE) == 0.0
    assert found(await library.like(filter=Filter(min_confidence=0.5))) == ["said"]


@pytest.mark.parametrize(
    ("narrow", "left"),
    [
        (Filter(tags=("cat",)), ["both", "seen"]),
        (Filter(tags=("cat", "dog")), ["seen"]),
        (Filter(excluded_person_ids=(PERSON,)), ["both", "seen"]),
        (Filter(languages=("ko",)), ["said", "seen"]),
        (Filter(languages=("fr",)), []),
        (Filter(video_ids=("talk", "film")), ["said"]),
        (Filter(offset_from_ms=1), []),
    ],
    ids=["tag", "tags", "excluded", "language", "no video", "videos", "offset"],
)
async def test_the_whole_filter_narrows(library: Library, narrow: Filter, left: list[str]) -> None:
    library.catalog.people = {"said:1": {PERSON: 0.9}}
    library.catalog.languages = {"talk": "ko", "other": "en", "seen": "ko", "film": "ko"}
    assert found(await library.like(filter=narrow)) == left


async def test_confidence_is_on_the_scales_of_two_scenes(library: Library) -> None:
    await library.add("near", said=0.4, video="near")
    confidence = {hit.scene.scene_id: hit.ranked.confidence for hit in (await library.like()).hits}
    like = load("small-v1").likeness
    assert confidence["near"] == pytest.approx(like.dense(np.array([0.4]))[0], abs=1e-5)
    assert confidence["seen"] == pytest.approx(like.vision(np.array([0.8]))[0], abs=1e-5)
    assert confidence["near"] < 0.5 < confidence["said"], "a query's answer at 0.4 would be SUPPORTED"


async def test_tags_in_common_alone_make_no_scene_like_another(library: Library) -> None:
    await library.add("tagged", said=0.1, seen=0.2, tags=CAT)
    assert "tagged" not in found(await library.like())
    assert "tagged" not in found(await library.like(weights=Weights(text=0.0, vision=0.0, tags=1.0)))


async def test_no_more_than_the_limit(library: Library) -> None:
    answer = await library.like(limit=1)
    assert found(answer) == ["both"]
    assert answer.summary is not None
    assert answer.summary.total_hits == 3


async def test_what_one_list_did_not_reach_gets_its_own_cosine() -> None:
    library = Library(leg_rows=1)
    await library.add("one", said=1.0, seen=1.0)
    for number in range(15):
        await library.add(f"said{number:02d}", said=0.6)
    await library.add("seen", said=0.3, seen=0.9)
    answer = await library.like(limit=1)
    raw = dict(zip(answer.hits[0].ranked.channels, answer.hits[0].ranked.raw, strict=True))
    assert found(answer) == ["seen"]
    assert raw[Channel.DENSE] == pytest.approx(0.3, abs=1e-6)


async def test_another_tenants_scene_is_not_there(library: Library) -> None:
    with pytest.raises(NotFound):
        await library.like(tenant_id="others")
    assert library.text.reader.entered == 0


@pytest.mark.parametrize("part", ["door", "reader"])
async def test_a_channel_that_fails_is_named_and_the_other_compares(library: Library, part: str) -> None:
    getattr(library.vision, part).error = down()
    answer = await library.like()
    assert found(answer) == ["both", "said"]
    assert answer.summary is not None
    assert answer.summary.degraded == (Degraded(Channel.VISION, Cause.FAILED),)


async def test_a_backfill_that_fails_leaves_the_list_as_it_is(library: Library) -> None:
    library.text.backfill.error = library.vision.backfill.error = down()
    answer = await library.like()
    assert found(answer)[0] == "both"
    assert answer.summary is not None
    assert answer.summary.degraded == ()


async def test_without_a_channel_that_counts_it_is_to_be_tried_again(library: Library) -> None:
    library.vision.door.error = down()
    with pytest.raises(DependencyUnavailable):
        await library.like(weights=Weights(text=0.0, vision=1.0, tags=0.0))
    library.text.reader.error = down()
    with pytest.raises(DependencyUnavailable) as both:
        await library.like()
    assert both.value.reason == "DEPENDENCY_UNAVAILABLE"


async def test_people_who_cannot_be_looked_up_are_not_overlooked(library: Library) -> None:
    library.catalog.people_door.error = down()
    with pytest.raises(DependencyUnavailable):
        await library.like(filter=Filter(person_ids=(PERSON,)))


@pytest.mark.parametrize("part", ["door", "reader"])
async def test_a_late_channel_is_not_waited_for(library: Library, part: str) -> None:
    late = getattr(library.vision, part)
    late.close()
    asking = asyncio.ensure_future(library.like(deadline_s=2.0))
    await until(lambda: late.entered == 1 and library.text.door.left == 1)
    library.clock.advance(1.8)
    answer = await asking
    assert found(answer) == ["both", "said"]
    assert answer.summary is not None
    assert answer.summary.degraded == (Degraded(Channel.VISION, Cause.LATE),)
    assert answer.summary.elapsed_ms == 1800
    assert late.left == 1, "its work has ended"


@pytest.mark.parametrize(
    ("own", "other", "share"),
    [
        ({}, {}, 0.0),
        (CAT, {}, 0.0),
        (CAT, {"dog": 0.9}, 0.0),
        (CAT, CAT, 1.0),
        ({"cat": 0.9, "dog": 0.3}, {"dog": 0.3, "cat": 0.9}, 1.0),
        ({"cat": 0.8}, {"cat": 0.4}, 0.5),
        ({"cat": 0.5, "dog": 0.5}, {"cat": 0.5, "cup": 0.5}, 1 / 3),
    ],
)
def test_tags_in_common_by_their_scores(own: Mapping[str, float], other: Mapping[str, float], share: float) -> None:
    assert tags_in_common(own, other) == pytest.approx(share)
    assert tags_in_common(other, own) == pytest.approx(share)
