"""The builder on memory stores and a real catalogue: every video is in a new generation, whoever writes beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import pytest

from contracts.catalog import Build, Catalog, GenerationState
from contracts.errors import DependencyUnavailable, FieldViolation, InvalidRequest
from contracts.ports import TextIndex, TextQuery
from contracts.vocabulary import Vocabulary
from control.builder import builder as builder_
from control.builder.builder import GRACE_S, Builder
from heimdex.common.v1 import common_pb2
from indexer.commit.handler import CommitHandler
from indexer.schema.schema import text_index
from tests.component.faults import Around, Died, Failing, die
from tests.component.world import FIRST, TENANT, Ingest, World, sidecar, text_rows, world

CUTS_MS = (0, 1000, 2500)
WORDS = Vocabulary((), (("갓생", "모범생활"),))
SECOND = text_index(2)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_, "_VIDEOS", 2)
    monkeypatch.setattr(builder_, "_SCENES", 1)


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as made:
        yield made


def builder(w: World, replaced: Mapping[str, object] | None = None) -> Builder:
    """Return a builder as a fresh process has it, with some ports ``replaced``."""
    catalog, text = ((replaced or {}).get(name, getattr(w, name)) for name in ("catalog", "text"))
    return Builder(cast("Catalog", catalog), cast("TextIndex", text), w.clock)


def commit(w: World, replaced: Mapping[str, object] | None = None) -> CommitHandler:
    names = ("catalog", "objects", "text_vectors", "vision_vectors", "text")
    ports: list[Any] = [(replaced or {}).get(name, getattr(w, name)) for name in names]
    return CommitHandler(*ports, producer=w.bus, clock=w.clock)


async def ready(w: World, name: str) -> Ingest:
    """Return a video whose sidecar is there."""
    ingest = await w.ingest(name)
    await w.end(ingest, "sidecar", sidecar(ingest.video_id, CUTS_MS, said={0: "모범생활을 합시다"}))
    return ingest


async def indexed(w: World, name: str = "one") -> Ingest:
    """Return a searchable video."""
    ingest = await ready(w, name)
    await commit(w).run(await w.delivery(ingest, "commit"))
    return ingest


async def asked(w: World, vocabulary: Vocabulary = WORDS, *, promote: bool = False) -> Build:
    """Ask for a generation."""
    return await w.catalog.create_generation(
        vocabulary,
        w.call("CreateGeneration"),
        created_by="acme/kim",
        promote_when_ready=promote,
        text_index=text_index,
    )


async def state(w: World, number: int = 2) -> str:
    return (await w.catalog.get_generation(number)).generation.state


def rows(w: World, index: str = SECOND) -> set[str]:
    return set(text_rows(w.text).get(index, ()))


async def of_first(w: World) -> set[str]:
    return rows(w, FIRST.text_index)


async def said(w: World, text: str, index: str = SECOND) -> int:
    (hits,) = await w.text.search(index, [TextQuery(TENANT, text)])
    return sum(hit.coverage > 0 for hit in hits)


async def test_every_searchable_video_is_in_it_with_its_words_and_the_serving_one_is_as_it_was(w: World) -> None:
    for name in range(5):
        await indexed(w, str(name))
    await ready(w, "not yet")
    before = dict(text_rows(w.text)[FIRST.text_index])
    await asked(w)
    await builder(w).turn()
    built = await w.catalog.get_generation(2)
    assert (built.generation.state, built.videos_done, built.videos_total) == ("READY", 5, 5)
    assert text_rows(w.text)[SECOND] == before == text_rows(w.text)[FIRST.text_index]
    assert (await said(w, "갓생"), await said(w, "갓생", FIRST.text_index)) == (5, 0)
    assert (await w.catalog.active_generation()).generation == 1


async def test_it_serves_when_it_is_built_where_that_was_asked_for(w: World) -> None:
    await indexed(w)
    await asked(w, promote=True)
    await builder(w).turn()
    assert (await w.catalog.active_generation()).generation == 2
    assert await state(w, 1) == GenerationState.RETIRED


async def test_an_empty_library_is_built_too(w: World) -> None:
    await asked(w)
    await builder(w).turn()
    assert (await state(w), rows(w)) == ("READY", set())


STEPS = [
    ("text", "ensure"), ("text", "upsert"), ("text", "refresh"), ("catalog", "begin_build"),
    ("catalog", "record_build"), ("catalog", "searchable_revisions"), ("catalog", "finish_build"),
]  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("part", "method"), STEPS, ids=[f"{part}.{method}" for part, method in STEPS])
async def test_a_death_between_any_two_steps_is_made_good_by_the_next_builder(
    w: World,
    part: str,
    method: str,
    after: bool,  # noqa: FBT001 - the case
) -> None:
    for name in range(3):
        await indexed(w, str(name))
    await asked(w)
    with pytest.raises(Died):
        await builder(w, {part: Around(getattr(w, part), method, die, after=after)}).turn()
    await builder(w).turn()
    assert (await state(w), rows(w)) == ("READY", await of_first(w))


async def test_a_build_goes_on_after_the_last_page_that_it_noted(w: World) -> None:
    for name in range(5):
        await indexed(w, str(name))
    await asked(w)
    pages = Around(w.text, "upsert", die)
    with pytest.raises(Died):
        await builder(w, {"catalog": Around(w.catalog, "record_build", die, after=True)}).turn()
    stopped = await w.catalog.get_generation(2)
    assert (stopped.generation.state, stopped.videos_done, stopped.videos_total) == ("BUILDING", 2, 5)
    pages.calls = 1  # dies no more
    await builder(w, {"text": pages}).turn()
    assert pages.calls == 1 + 2
    assert rows(w) == await of_first(w)


async def test_a_store_that_is_away_is_waited_for(w: World) -> None:
    await indexed(w)
    await asked(w)
    away = Failing(w.text, "upsert", DependencyUnavailable("opensearch", "away"))
    it = builder(w, {"text": away})
    await it.turn()
    assert await state(w) == GenerationState.BUILDING
    await it.turn()
    assert (await state(w), rows(w)) == ("READY", await of_first(w))


async def test_words_that_the_analysers_refuse_fail_the_build_and_nothing_else(w: World) -> None:
    await indexed(w)
    await asked(w, promote=True)
    refusal = InvalidRequest(FieldViolation("vocabulary.dictionary", "no such word"))
    await builder(w, {"text": Failing(w.text, "ensure", refusal)}).turn()
    failed = await w.catalog.get_generation(2)
    assert (failed.generation.state, failed.error_reason) == ("FAILED", "INVALID_FIELD")
    assert failed.error_message == "vocabulary.dictionary: no such word"
    await indexed(w, "later")  # commits do not try to write to it
    assert (await w.catalog.active_generation()).generation == 1
    await builder(w).turn()
    assert await state(w) == GenerationState.FAILED


async def test_a_defect_fails_the_build_too(w: World) -> None:
    await indexed(w)
    await asked(w)
    await builder(w, {"text": Failing(w.text, "upsert", ZeroDivisionError())}).turn()
    failed = await w.catalog.get_generation(2)
    assert (failed.generation.state, failed.error_reason) == ("FAILED", "INTERNAL")


# ------------------------------------------------------------------------------------- commits beside it


def beside(w: World, part: str, method: str, happen: Callable[[], Awaitable[object]], *, after: bool) -> Builder:
    return builder(w, {part: Around(getattr(w, part), method, happen, after=after)})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("part", "method"), STEPS, ids=[f"{part}.{method}" for part, method in STEPS])
async def test_a_video_committed_beside_any_step_is_in_it(
    w: World,
    part: str,
    method: str,
    after: bool,  # noqa: FBT001 - the case
) -> None:
    await indexed(w, "one")
    planned_before = await ready(w, "two")
    await asked(w)

    async def happen() -> None:
        await commit(w).run(await w.delivery(planned_before, "commit"))

    await beside(w, part, method, happen, after=after).turn()
    assert await state(w) == GenerationState.READY
    assert rows(w) == await of_first(w)
    assert len(rows(w)) == 4


async def test_a_commit_that_began_before_the_build_does_not_end_beside_it(w: World) -> None:
    """The one that knows nothing of the new generation is tried again, and then writes to it."""
    v = await ready(w, "one")
    await asked(w)

    async def build() -> None:
        await builder(w).turn()

    slow = commit(w, {"text": Around(w.text, "refresh", build)})
    delivery = await w.delivery(v, "commit")
    with pytest.raises(DependencyUnavailable, match="generation 2"):
        await slow.run(delivery)
    assert await w.catalog.list_scenes(TENANT, v.video_id, limit=9) == []
    await commit(w).run(delivery)
    assert (await state(w), rows(w)) == ("READY", await of_first(w))
    assert len(rows(w)) == 2


@pytest.mark.parametrize("serves", [1, 2])
async def test_what_is_committed_later_is_in_every_built_generation(w: World, serves: int) -> None:
    await asked(w, promote=serves == 2)
    await builder(w).turn()
    await indexed(w, "later")
    assert rows(w) == await of_first(w)
    assert len(rows(w)) == 2


async def test_a_new_revision_beside_the_build_leaves_no_row_of_the_old_one(w: World) -> None:
    v = await indexed(w)
    await asked(w)
    again = await w.next_revision(v)
    [planned] = [stage for stage in again.plan.stages if stage.stage == common_pb2.STAGE_SIDECAR]
    planned.specs[0] = f"{again.plan.revision:016x}"
    await w.end(again, "sidecar", sidecar(v.video_id, (0, 4000)))
    handler = commit(w)

    async def happen() -> None:
        await handler.run(await w.delivery(again, "commit"))
        await handler.close()  # the old rows go at once: before those of the page are written

    await beside(w, "text", "upsert", happen, after=False).turn()
    assert rows(w) == await of_first(w)
    assert {row.rpartition(":")[2] for row in rows(w)} == {"2"}


async def test_a_video_deleted_beside_the_build_leaves_nothing_in_it(w: World) -> None:
    v, _ = await indexed(w), await indexed(w, "other")
    await asked(w)

    async def happen() -> None:
        await w.request_deletion(v)
        for generation in await w.catalog.all_generations():
            await w.text.delete_video(generation.text_index, TENANT, v.video_id)

    await beside(w, "text", "upsert", happen, after=False).turn()
    assert await state(w) == GenerationState.READY
    assert await w.text.count(SECOND, TENANT, v.video_id) == 0
    assert len(rows(w)) == 2


async def test_two_at_once_build_the_same(w: World) -> None:
    for name in range(3):
        await indexed(w, str(name))
    await asked(w)
    await asyncio.gather(builder(w).turn(), builder(w).turn())
    assert (await state(w), rows(w)) == ("READY", await of_first(w))


# ------------------------------------------------------------------------------------------------ dropping


async def test_the_index_of_a_dropped_one_goes_when_nobody_reads_it_any_longer(w: World) -> None:
    await indexed(w)
    await asked(w)
    it = builder(w)
    await it.turn()
    await w.catalog.drop_generation(2, w.call("DropGeneration"))
    await it.turn()
    assert (await state(w), SECOND in text_rows(w.text)) == ("DROPPING", True)
    await w.clock.sleep(GRACE_S)
    await it.turn()
    assert SECOND not in text_rows(w.text)
    assert await w.catalog.dropped_generations() == {2}
    await indexed(w, "later")
    assert SECOND not in text_rows(w.text)


async def test_a_drop_ends_the_build(w: World) -> None:
    for name in range(3):
        await indexed(w, str(name))
    await asked(w, promote=True)

    async def happen() -> None:
        await w.catalog.drop_generation(2, w.call("DropGeneration"))

    await beside(w, "text", "upsert", happen, after=True).turn()
    assert await state(w) == GenerationState.DROPPING
    assert len(rows(w)) <= 2 * 2
    assert (await w.catalog.active_generation()).generation == 1


async def test_a_store_that_is_away_keeps_what_is_to_be_dropped(w: World) -> None:
    await asked(w)
    await builder(w).turn()
    await w.catalog.drop_generation(2, w.call("DropGeneration"))
    await w.clock.sleep(GRACE_S)
    it = builder(w, {"text": Failing(w.text, "drop", DependencyUnavailable("opensearch", "away"))})
    await it.turn()
    assert await state(w) == GenerationState.DROPPING
    await it.turn()
    assert await w.catalog.dropped_generations() == {2}


# -------------------------------------------------------------------------------------------------- health


async def test_a_page_that_does_not_end_is_no_life(w: World) -> None:
    await indexed(w)
    await asked(w)
    it = builder(w, {"text": Around(w.text, "upsert", asyncio.Event().wait)})
    assert it.healthy()
    turn = asyncio.create_task(it.turn())
    async with asyncio.timeout(15):
        while await state(w) != GenerationState.BUILDING:
            pass
    assert it.healthy()
    await w.clock.sleep(builder_._DEAD_AFTER_S)
    assert not it.healthy()
    turn.cancel()


async def test_no_error_ends_it(w: World) -> None:
    broken = Failing(w.catalog, "list_generations", ZeroDivisionError())
    it = builder(w, {"catalog": broken})
    running = asyncio.create_task(it.run())
    await asked(w)
    async with asyncio.timeout(15):
        while await state(w) != GenerationState.READY:
            pass
    running.cancel()
