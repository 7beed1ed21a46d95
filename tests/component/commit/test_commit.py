"""Commit on memory stores and a real catalogue: rows, then one transaction, whatever happens in between."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts import codec, facts, ids
from contracts.catalog import Match, Person, Photo, VideoState
from contracts.errors import BadArtifact, DependencyUnavailable, Erased, Internal, Rejected
from contracts.ports import Record
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import events_pb2
from heimdex.scene.v1 import scene_pb2
from indexer.commit.handler import CommitHandler
from indexer.schema.schema import generation
from tests.component.faults import Around, Died, Failing, Noted, die
from tests.component.world import (
    FIRST,
    TENANT,
    TEXT_MODEL,
    VISION_MODEL,
    Ingest,
    VirtualClock,
    World,
    sidecar,
    text_rows,
    unit,
    vector_rows,
    world,
)

CUTS_MS = (0, 1000, 2500, 4000)
SAID = {0: "안녕하세요", 2: "고양이가 있어요"}


class HeldClock(VirtualClock):
    """Time in which nobody wakes before ``open``."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await self.open.wait()


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as made:
        yield made


def handler(
    w: World,
    replaced: Mapping[str, object] | None = None,
    *,
    clock: VirtualClock | None = None,
    deadline_factor: float = 1.0,
) -> CommitHandler:
    """Return a commit as a fresh process has it, with some ports ``replaced``."""
    names = ("catalog", "objects", "text_vectors", "vision_vectors", "text")
    ports: list[Any] = [(replaced or {}).get(name, getattr(w, name)) for name in names]
    return CommitHandler(*ports, producer=w.bus, clock=clock or w.clock, deadline_factor=deadline_factor)


async def ready(w: World, name: str = "one", cuts_ms: tuple[int, ...] = CUTS_MS) -> Ingest:
    """Return a video whose sidecar is there, with an empty outbox."""
    ingest = await w.ingest(name)
    await w.end(ingest, "sidecar", sidecar(ingest.video_id, cuts_ms, said=SAID))
    await w.outbox()
    return ingest


async def changing(w: World) -> Ingest:
    """Return a video whose second scene looks three ways, its sidecar there."""
    ingest = await w.ingest("changing")
    views = {1: [(1100, unit(0, 0, 1)), (1200, unit(-1, 0, 0))]}
    await w.end(ingest, "sidecar", sidecar(ingest.video_id, CUTS_MS, said=SAID, views=views))
    return ingest


async def revised(w: World, ingest: Ingest, cuts_ms: tuple[int, ...]) -> Ingest:
    """Return the next revision of a video with other cuts, its sidecar there."""
    again = await w.next_revision(ingest)
    [planned] = [stage for stage in again.plan.stages if stage.stage == common_pb2.STAGE_SIDECAR]
    planned.specs[0] = f"{again.plan.revision:016x}"  # its sidecar is another work
    await w.end(again, "sidecar", sidecar(ingest.video_id, cuts_ms, said=SAID))
    return again


async def nothing() -> None:
    """Happen not at all."""


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not true():  # noqa: ASYNC110 - the condition is anybody's
            await asyncio.sleep(0)


def row_ids(video_id: str, revision: int, cuts_ms: tuple[int, ...] = CUTS_MS) -> list[str]:
    pairs = itertools.pairwise(cuts_ms)
    return [ids.row_id(ids.scene_id(video_id, start, end), revision) for start, end in pairs]


def stored(w: World) -> dict[str, set[str]]:
    """Return the row ids of each collection and index."""
    stores = (vector_rows(w.text_vectors), vector_rows(w.vision_vectors), text_rows(w.text))
    return {name: set(rows) for store in stores for name, rows in store.items()}


def indexed(records: list[Record]) -> list[events_pb2.VideoIndexed]:
    found = [codec.decode(r) for r in records if r.topic == "heimdex-video-indexed-v1"]
    return [event for event in found if isinstance(event, events_pb2.VideoIndexed)]


async def test_rows_are_in_both_stores_and_the_catalogue_and_their_facts_in_the_outbox(w: World) -> None:
    v = await ready(w)
    assert await handler(w).run(await w.delivery(v, "commit")) is False
    rows = row_ids(v.video_id, 1)
    assert stored(w) == {
        FIRST.text_collection: {rows[0], rows[2]},  # where something is said
        FIRST.vision_collection: set(rows),
        FIRST.text_index: set(rows),
    }
    shown = await w.catalog.hydrate(TENANT, rows)
    assert [shown[row].index for row in rows] == [0, 1, 2]
    video = await w.catalog.get_video(TENANT, v.video_id)
    assert (video.searchable_revision, video.scene_count, video.language) == (1, 3, "ko")
    text = text_rows(w.text)[FIRST.text_index][rows[0]]
    assert (text.transcript, text.tags) == ("안녕하세요", ("cat",))
    sent = await w.outbox()
    assert [r.key for r in sent] == [*(row.split(":")[0] for row in rows), v.video_id]
    [event] = indexed(sent)
    assert (event.scene_count, event.ending.outcome, event.context) == (3, common_pb2.OUTCOME_OK, v.context)


async def test_milvus_is_flushed_before_opensearch_is_refreshed_before_sql(w: World) -> None:
    v = await ready(w)
    log: list[str] = []
    ports = {name: Noted(getattr(w, name), name, log) for name in ("text_vectors", "vision_vectors", "text", "catalog")}
    await handler(w, ports).run(await w.delivery(v, "commit"))
    writes = [call for call in log if call.split(".")[1] not in {"get_video", "all_generations", "video_scene_ids"}]
    assert writes == [
        "text_vectors.ensure", "text_vectors.upsert", "text_vectors.flush",
        "vision_vectors.ensure", "vision_vectors.upsert", "vision_vectors.flush",
        "text.ensure", "text.upsert", "text.refresh", "catalog.commit_revision",
    ]  # fmt: skip


async def test_many_rows_go_in_batches(w: World) -> None:
    v = await ready(w, cuts_ms=tuple(range(0, 1_203_000, 1000)))
    counted = Around(w.vision_vectors, "upsert", nothing)
    await handler(w, {"vision_vectors": counted}).run(await w.delivery(v, "commit"))
    assert counted.calls == 3
    assert len(vector_rows(w.vision_vectors)[FIRST.vision_collection]) == 1202


async def test_every_view_of_a_scene_is_in_milvus_and_the_scene_once_everywhere_else(w: World) -> None:
    v = await changing(w)
    await handler(w).run(await w.delivery(v, "commit"))
    rows = row_ids(v.video_id, 1)
    assert stored(w) == {
        FIRST.text_collection: {rows[0], rows[2]},
        FIRST.vision_collection: {*rows, f"{rows[1]}#1", f"{rows[1]}#2"},
        FIRST.text_index: set(rows),
    }
    query = np.frombuffer(unit(0, 0, 1), np.float32)[None, :]
    (found,) = await w.vision_vectors.search(FIRST.vision_collection, TENANT, query, limit=9)
    assert [(hit.row_id, hit.view) for hit in found[:1]] == [(rows[1], 1)]
    assert len(found) == 3
    shown = await w.catalog.hydrate(TENANT, rows)
    times = [scene_pb2.Scene.FromString(shown[row].body).view_offsets for row in rows]
    assert [[at.ToMilliseconds() for at in offsets] for offsets in times] == [
        [CUTS_MS[0]], [CUTS_MS[1], 1100, 1200], [CUTS_MS[2]],
    ]  # fmt: skip


async def test_a_silent_video_needs_no_collection_for_text(w: World) -> None:
    v = await w.ingest()
    await w.end(v, "sidecar", sidecar(v.video_id, CUTS_MS))
    await handler(w).run(await w.delivery(v, "commit"))
    assert FIRST.text_collection not in vector_rows(w.text_vectors)
    assert len(text_rows(w.text)[FIRST.text_index]) == 3


# ---------------------------------------------------------------------------------------------- crashes

STEPS = [
    *[(part, method) for part in ("text_vectors", "vision_vectors") for method in ("ensure", "upsert", "flush")],
    ("text", "ensure"), ("text", "upsert"), ("text", "refresh"), ("catalog", "commit_revision"),
]  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("part", "method"), STEPS, ids=[f"{p}.{m}" for p, m in STEPS])
async def test_a_crash_between_any_two_steps_is_made_good_by_the_next_delivery(
    w: World,
    part: str,
    method: str,
    after: bool,  # noqa: FBT001 - the case
) -> None:
    v = await ready(w)
    delivery = await w.delivery(v, "commit")
    with pytest.raises(Died):
        await handler(w, {part: Around(getattr(w, part), method, die, after=after)}).run(delivery)
    assert await handler(w).run(delivery) is False
    rows = row_ids(v.video_id, 1)
    assert stored(w)[FIRST.vision_collection] == stored(w)[FIRST.text_index] == set(rows)
    assert stored(w)[FIRST.text_collection] == {rows[0], rows[2]}
    scenes = await w.catalog.list_scenes(TENANT, v.video_id, limit=99)
    assert [scene.index for scene in scenes] == [0, 1, 2]
    sent = await w.outbox()
    assert sorted(r.key for r in sent) == sorted([*(row.split(":")[0] for row in rows), v.video_id])


async def test_the_same_delivery_again_changes_nothing(w: World) -> None:
    v = await ready(w)
    delivery = await w.delivery(v, "commit")
    await handler(w).run(delivery)
    before = await w.outbox()
    assert await handler(w).run(replace(delivery, attempt=2)) is False
    assert await w.outbox() == []
    assert len(indexed(before)) == 1


async def test_two_at_once_commit_once(w: World) -> None:
    v = await ready(w)
    delivery = await w.delivery(v, "commit")
    await asyncio.gather(*(handler(w).run(delivery) for _ in range(3)))
    sent = await w.outbox()
    assert len(sent) == 4
    assert len(indexed(sent)) == 1


# ---------------------------------------------------------------------------------------------- erasure


@pytest.mark.parametrize("gate", [True, False], ids=["gate", "catalogue"])
@pytest.mark.parametrize(("part", "method"), STEPS, ids=[f"{p}.{m}" for p, m in STEPS])
async def test_whatever_meets_an_erasure_is_taken_back(w: World, part: str, method: str, gate: bool) -> None:  # noqa: FBT001 - the case
    v = await ready(w)

    async def erase() -> None:
        await w.request_deletion(v)
        if gate:
            await w.objects.put(ids.gate_key(v.video_id), b"")

    with pytest.raises(Erased):
        await handler(w, {part: Around(getattr(w, part), method, erase)}).run(await w.delivery(v, "commit"))
    assert all(not rows for rows in stored(w).values())
    assert await w.catalog.list_scenes(TENANT, v.video_id, limit=9) == []
    assert [r.topic for r in await w.outbox()] == ["heimdex-video-deletion-requested-v1"]


async def test_an_erased_video_is_not_even_begun(w: World) -> None:
    v = await ready(w)
    await w.objects.put(ids.gate_key(v.video_id), b"")
    with pytest.raises(Erased):
        await handler(w).run(await w.delivery(v, "commit"))
    assert stored(w) == {}


async def test_a_video_of_another_tenant_or_of_nobody_is_not_begun(w: World) -> None:
    v = await ready(w)
    delivery = await w.delivery(v, "commit")
    foreign = type(v.context)()
    foreign.CopyFrom(v.context)
    foreign.tenant_id = "globex"
    with pytest.raises(Erased):
        await handler(w).run(replace(delivery, context=foreign))
    assert stored(w) == {}


async def test_a_store_that_fails_during_an_erasure_keeps_nothing_either(w: World) -> None:
    v = await ready(w)

    async def erased_and_away() -> None:
        await w.request_deletion(v)
        await w.objects.put(ids.gate_key(v.video_id), b"")
        raise DependencyUnavailable("opensearch", "away")

    with pytest.raises(Erased):
        await handler(w, {"text": Around(w.text, "upsert", erased_and_away)}).run(await w.delivery(v, "commit"))
    assert all(not rows for rows in stored(w).values())


async def test_rows_of_an_earlier_revision_are_taken_back_too(w: World) -> None:
    v = await ready(w)
    await handler(w).run(await w.delivery(v, "commit"))
    again = await revised(w, v, (0, 2000, 4000))

    async def erase() -> None:
        await w.request_deletion(v)

    with pytest.raises(Erased):
        await handler(w, {"catalog": Around(w.catalog, "commit_revision", erase)}).run(
            await w.delivery(again, "commit")
        )
    assert all(not rows for rows in stored(w).values())


# -------------------------------------------------------------------------------------------- revisions


async def test_a_new_revision_replaces_the_old_and_its_rows_go_after_the_grace(w: World) -> None:
    v = await ready(w)
    await handler(w).run(await w.delivery(v, "commit"))
    await w.outbox()
    again = await revised(w, v, (0, 1000, 4000))  # the first scene stays, two become one
    clock = HeldClock()
    commit = handler(w, clock=clock)
    await commit.run(await w.delivery(again, "commit"))
    old, new = set(row_ids(v.video_id, 1)), set(row_ids(v.video_id, 2, (0, 1000, 4000)))
    assert stored(w)[FIRST.text_index] == old | new
    assert set(await w.catalog.hydrate(TENANT, sorted(old | new))) == new
    await eventually(lambda: clock.slept_s == [60.0])
    clock.open.set()
    await eventually(lambda: stored(w)[FIRST.text_index] == new)
    assert stored(w)[FIRST.vision_collection] == new
    gone = sorted({row.split(":")[0] for row in old} - {row.split(":")[0] for row in new})
    sent = await w.outbox()
    assert [r.key for r in sent[2:-1]] == gone
    assert all(r.value is None for r in sent[2:-1])
    assert [r.value is None for r in (*sent[:2], sent[-1])] == [False] * 3
    assert sent[-1].topic == "heimdex-video-indexed-v1"


async def test_a_new_revision_leaves_no_view_of_the_old_behind(w: World) -> None:
    v = await changing(w)
    await handler(w).run(await w.delivery(v, "commit"))
    again = await revised(w, v, CUTS_MS)
    commit = handler(w)
    await commit.run(await w.delivery(again, "commit"))
    await commit.close()
    assert stored(w)[FIRST.vision_collection] == set(row_ids(v.video_id, 2))


async def test_a_scene_that_comes_back_and_goes_again_has_another_tombstone(w: World) -> None:
    v = await ready(w)
    await handler(w).run(await w.delivery(v, "commit"))
    ids_of_tombstones = []
    for cuts_ms in ((0, 4000), CUTS_MS, (0, 4000)):
        v = await revised(w, v, cuts_ms)
        await w.outbox()
        await handler(w).run(await w.delivery(v, "commit"))
        sent = await w.outbox()
        ids_of_tombstones += [dict(r.headers)["ce_id"] for r in sent if r.value is None]
    assert len(ids_of_tombstones) == 3 + 1 + 3
    assert len(set(ids_of_tombstones)) == len(ids_of_tombstones)


async def test_at_a_stop_old_rows_go_at_once(w: World) -> None:
    v = await ready(w)
    await handler(w).run(await w.delivery(v, "commit"))
    again = await revised(w, v, (0, 4000))
    clock = HeldClock()
    commit = handler(w, clock=clock)
    await commit.run(await w.delivery(again, "commit"))
    await eventually(lambda: clock.slept_s == [60.0])
    await commit.close()
    assert stored(w)[FIRST.text_index] == set(row_ids(v.video_id, 2, (0, 4000)))


async def test_what_a_crash_left_behind_goes_with_the_next_delivery(w: World) -> None:
    v = await ready(w)
    await handler(w).run(await w.delivery(v, "commit"))
    again = await revised(w, v, (0, 4000))
    delivery = await w.delivery(again, "commit")
    with pytest.raises(Died):
        await handler(w, {"catalog": Around(w.catalog, "commit_revision", die, after=True)}).run(delivery)
    assert len(stored(w)[FIRST.text_index]) == 4
    await handler(w).run(delivery)
    await eventually(lambda: stored(w)[FIRST.text_index] == set(row_ids(v.video_id, 2, (0, 4000))))


async def test_what_a_crash_left_behind_goes_with_the_next_revision(w: World) -> None:
    v = await ready(w)
    await handler(w).run(await w.delivery(v, "commit"))
    again = await revised(w, v, (0, 2000, 4000))
    with pytest.raises(Died):
        await handler(w, {"catalog": Around(w.catalog, "commit_revision", die, after=True)}).run(
            await w.delivery(again, "commit")
        )
    third = await revised(w, again, (0, 4000))
    await handler(w).run(await w.delivery(third, "commit"))
    await eventually(lambda: stored(w)[FIRST.text_index] == set(row_ids(v.video_id, 3, (0, 4000))))


async def test_a_store_that_is_away_is_asked_again_for_old_rows(w: World) -> None:
    v = await ready(w)
    await handler(w).run(await w.delivery(v, "commit"))
    again = await revised(w, v, (0, 4000))
    away = Failing(w.text, "delete", DependencyUnavailable("opensearch", "away"), times=3)
    await handler(w, {"text": away}).run(await w.delivery(again, "commit"))
    await eventually(lambda: stored(w)[FIRST.text_index] == set(row_ids(v.video_id, 2, (0, 4000))))
    assert away.left == 0


async def test_a_late_revision_takes_its_own_rows_away_and_says_nothing(w: World) -> None:
    v = await ready(w)
    again = await revised(w, v, (0, 4000))

    async def overtake() -> None:
        await handler(w).run(await w.delivery(again, "commit"))

    late = handler(w, {"catalog": Around(w.catalog, "commit_revision", overtake)})
    assert await late.run(await w.delivery(v, "commit")) is False
    await eventually(lambda: stored(w)[FIRST.text_index] == set(row_ids(v.video_id, 2, (0, 4000))))
    assert [event.context.revision for event in indexed(await w.outbox())] == [2]
    assert (await w.catalog.get_video(TENANT, v.video_id)).searchable_revision == 2


async def test_a_revision_behind_the_searchable_one_is_not_begun(w: World) -> None:
    v = await ready(w)
    again = await revised(w, v, (0, 4000))
    await handler(w).run(await w.delivery(again, "commit"))
    assert await handler(w).run(await w.delivery(v, "commit")) is False
    await eventually(lambda: stored(w)[FIRST.text_index] == set(row_ids(v.video_id, 2, (0, 4000))))


# ------------------------------------------------------------------------------------------ generations


async def test_both_generations_have_the_rows_before_the_video_is_searchable(w: World) -> None:
    second = generation(2, "BUILDING", text_model=TEXT_MODEL, vision_model="vision.2", ranking=FIRST.ranking)
    await w.build(second)
    v = await w.ingest()
    assert v.spec("sidecar", 0) != v.spec("sidecar", 1)
    await w.end(v, "sidecar", sidecar(v.video_id, CUTS_MS, said=SAID), index=0)
    await w.outbox()
    assert await handler(w).run(await w.delivery(v, "commit", index=0)) is False
    assert not any(stored(w).values())
    other = sidecar(v.video_id, CUTS_MS, said=SAID, models=(TEXT_MODEL, "vision.2"))
    await w.end(v, "sidecar", other, index=1)
    await handler(w).run(await w.delivery(v, "commit", index=1))
    rows = row_ids(v.video_id, 1)
    assert second.text_collection == FIRST.text_collection
    assert stored(w) == {
        FIRST.text_collection: {rows[0], rows[2]},
        FIRST.vision_collection: set(rows),
        second.vision_collection: set(rows),
        FIRST.text_index: set(rows),
        second.text_index: set(rows),
    }
    await handler(w).run(await w.delivery(v, "commit", index=0))
    [event] = indexed(await w.outbox())
    assert event.ending.spec == v.spec("commit", 0)


async def test_a_generation_that_is_not_there_is_waited_for(w: World) -> None:
    v = await ready(w)
    v.plan.generations[0] = 7
    with pytest.raises(DependencyUnavailable, match="generation 7"):
        await handler(w).run(await w.delivery(v, "commit"))


async def dropped(w: World, number: int) -> None:
    """Drop a generation, index and all."""
    await w.catalog.drop_generation(number, w.call("DropGeneration"))
    [its] = [each for each in await w.catalog.all_generations() if each.generation == number]
    await w.text.drop(its.text_index)
    await w.catalog.finish_drop(number)


@pytest.mark.parametrize("state", ["READY", "RETIRED", "BUILDING"])
async def test_a_generation_that_came_after_the_plan_has_the_rows_too(w: World, state: str) -> None:
    v = await ready(w)
    later = generation(2, state, text_model=TEXT_MODEL, vision_model=VISION_MODEL, ranking=FIRST.ranking)
    await w.build(later)
    await handler(w).run(await w.delivery(v, "commit"))
    assert stored(w)[later.text_index] == stored(w)[FIRST.text_index] == set(row_ids(v.video_id, 1))
    assert len(indexed(await w.outbox())) == 1


@pytest.mark.parametrize("state", ["PENDING", "FAILED", "DROPPING"])
async def test_one_that_nobody_may_read_has_no_rows_and_its_index_is_not_made(w: World, state: str) -> None:
    v = await ready(w)
    other = generation(2, state, text_model=TEXT_MODEL, vision_model=VISION_MODEL, ranking=FIRST.ranking)
    await w.build(other)
    await w.text.drop(other.text_index)
    await handler(w).run(await w.delivery(v, "commit"))
    assert set(stored(w)) == {FIRST.text_collection, FIRST.vision_collection, FIRST.text_index}


async def test_one_of_other_models_that_came_after_the_plan_is_left_alone(w: World) -> None:
    v = await ready(w)
    other = generation(2, "READY", text_model=TEXT_MODEL, vision_model="vision.2", ranking=FIRST.ranking)
    await w.build(other)
    await handler(w).run(await w.delivery(v, "commit"))
    assert stored(w)[other.text_index] == set()
    assert other.vision_collection not in stored(w)


async def test_a_planned_generation_has_the_rows_of_its_own_sidecar(w: World) -> None:
    """Also where the first one has no vectors, and so would fit any."""
    second = generation(2, "BUILDING", text_model=TEXT_MODEL, vision_model="vision.2", ranking=FIRST.ranking)
    await w.build(second)
    v = await w.ingest()
    blind, seeing = (sidecar(v.video_id, CUTS_MS, said=SAID, models=(TEXT_MODEL, "vision.2")) for _ in range(2))
    blind.text_model_version = blind.vision_model_version = ""
    for scene in blind.scenes:
        scene.text_vector = b""
        del scene.vision_vectors[:], scene.scene.view_offsets[:]
    await w.end(v, "sidecar", blind, index=0)
    await w.end(v, "sidecar", seeing, index=1)
    await handler(w).run(await w.delivery(v, "commit"))
    assert stored(w)[second.vision_collection] == set(row_ids(v.video_id, 1))
    assert FIRST.vision_collection not in stored(w)


async def test_a_planned_generation_that_was_dropped_is_waited_for_no_longer(w: World) -> None:
    await w.build(generation(2, "BUILDING", text_model=TEXT_MODEL, vision_model="vision.2", ranking=FIRST.ranking))
    v = await ready(w)  # the sidecar of the first alone
    await dropped(w, 2)
    await handler(w).run(await w.delivery(v, "commit"))
    assert stored(w)[FIRST.text_index] == set(row_ids(v.video_id, 1))


async def test_where_all_that_was_planned_has_gone_the_rows_go_into_what_they_fit(w: World) -> None:
    v = await ready(w)
    second = generation(2, "READY", text_model=TEXT_MODEL, vision_model=VISION_MODEL, ranking=FIRST.ranking)
    await w.build(second)
    await w.catalog.promote_generation(2, w.call("PromoteGeneration"))
    await dropped(w, 1)
    await handler(w).run(await w.delivery(v, "commit"))
    assert stored(w)[second.text_index] == set(row_ids(v.video_id, 1))
    assert FIRST.text_index not in stored(w)
    assert (await w.catalog.get_video(TENANT, v.video_id)).searchable_revision == 1


async def test_vectors_of_another_model_stay_out(w: World) -> None:
    v = await w.ingest()
    await w.end(v, "sidecar", sidecar(v.video_id, CUTS_MS, said=SAID, models=("text.9", "")))
    with pytest.raises(BadArtifact, match=r"text\.9"):
        await handler(w).run(await w.delivery(v, "commit"))
    assert stored(w) == {}


async def test_a_plan_without_generations_is_a_defect(w: World) -> None:
    v = await ready(w)
    del v.plan.generations[:]
    with pytest.raises(BadArtifact):
        await handler(w).run(await w.delivery(v, "commit"))


async def test_a_sidecar_that_differs_from_its_manifest_is_a_defect(w: World) -> None:
    v = await ready(w)
    delivery = await w.delivery(v, "commit")
    await w.objects.put(delivery.inputs["sidecar"].blobs[0].key, b"something else")
    with pytest.raises(BadArtifact):
        await handler(w).run(delivery)


# ---------------------------------------------------------------------------------------------- people


async def test_people_who_were_found_before_the_commit_are_in_the_last_fact(w: World) -> None:
    v = await ready(w)
    photo = Photo("", "a.jpg", "ACCEPTED", object_key="t/acme/p/x/000/photo", vector=b"\0" * 8)
    who = Person(ids.new_id("per"), TENANT, "민지", (), (photo,), w.clock.now_ms(), model_version="m")
    await w.catalog.create_person(who, w.call("EnrolPerson"), [])
    first = row_ids(v.video_id, 1)[0].split(":")[0]
    found = [Match(first, who.person_id, 0.9)]
    await w.catalog.write_matches(TENANT, v.video_id, 1, gallery_version=1, matches=found, now_ms=w.clock.now_ms())
    await handler(w).run(await w.delivery(v, "commit"))
    said = [r for r in await w.outbox() if r.key == first]
    last = codec.decode(said[-1])
    assert isinstance(last, events_pb2.SceneFact)
    assert [person.display_name for person in last.scene.people] == ["민지"]
    assert len({dict(r.headers)["ce_id"] for r in said}) == 2


# --------------------------------------------------------------------------------------------- endings


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (Internal("broken", reason="CRASHED"), common_pb2.OUTCOME_FAILED, common_pb2.ERROR_REASON_CRASHED),
        (Rejected("TOO_LONG", "no"), common_pb2.OUTCOME_REJECTED, common_pb2.ERROR_REASON_TOO_LONG),
    ],
)
async def test_giving_up_is_a_fact_that_leaves_by_the_outbox(
    w: World, error: Internal | Rejected, outcome: int, reason: int
) -> None:
    v = await ready(w)
    await handler(w).end(await w.delivery(v, "commit", attempt=4), error)
    [event] = indexed(await w.outbox())
    assert (event.ending.outcome, event.ending.reason, event.ending.attempts) == (outcome, reason, 4)
    assert event.scene_count == 0
    assert w.bus.sent == []


async def test_a_searchable_video_is_not_failed_afterwards(w: World) -> None:
    v = await ready(w)
    delivery = await w.delivery(v, "commit")
    await handler(w).run(delivery)
    await w.outbox()
    await handler(w).end(delivery, Internal("broken"))
    assert await w.outbox() == []


async def test_nothing_is_said_of_a_video_that_is_going(w: World) -> None:
    v = await ready(w)
    delivery = await w.delivery(v, "commit")
    await w.request_deletion(v)
    await w.outbox()
    await handler(w).end(delivery, Internal("broken"))
    assert await w.outbox() == []


async def test_a_commit_that_was_given_up_is_not_begun_again(w: World) -> None:
    v = await ready(w)
    await w.tell(v, "validate")
    await w.tell(v, "commit", outcome="FAILED")
    assert (await w.catalog.get_video(TENANT, v.video_id)).state is VideoState.FAILED
    assert await handler(w).run(await w.delivery(v, "commit")) is True
    assert stored(w) == {}


async def test_another_try_is_told_and_a_bus_that_is_away_does_not_matter(w: World) -> None:
    v = await ready(w)
    delivery = await w.delivery(v, "commit", attempt=2)
    await handler(w).retrying(delivery)
    [told] = [codec.decode(record) for record in w.bus.sent]
    assert isinstance(told, events_pb2.StageProgressed)
    assert (told.retrying, told.attempt, told.stage) == (True, 2, common_pb2.STAGE_COMMIT)
    w.bus.fail = 99
    await handler(w).retrying(delivery)
    assert await handler(w).run(delivery) is False


async def test_a_store_that_never_answers_ends_with_the_deadline(w: World) -> None:
    v = await ready(w)
    stuck = Around(w.text, "upsert", asyncio.Event().wait)
    with pytest.raises(DependencyUnavailable) as caught:
        await handler(w, {"text": stuck}, deadline_factor=0.001).run(await w.delivery(v, "commit"))
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert await handler(w).run(await w.delivery(v, "commit", attempt=2)) is False


async def test_a_store_that_is_away_is_a_passing_error_and_leaves_the_video_as_it_was(w: World) -> None:
    v = await ready(w)
    away = Failing(w.vision_vectors, "upsert", DependencyUnavailable("milvus", "away"))
    with pytest.raises(DependencyUnavailable):
        await handler(w, {"vision_vectors": away}).run(await w.delivery(v, "commit"))
    assert (await w.catalog.get_video(TENANT, v.video_id)).searchable_revision == 0
    assert facts.SCENE_TOPIC not in {r.topic for r in await w.outbox()}
