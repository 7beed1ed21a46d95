"""Erasure on memory stores and a real catalogue: everything of a video is gone, whoever writes beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from contracts import codec, facts, flow, ids
from contracts.catalog import VideoState
from contracts.errors import BadArtifact, DependencyUnavailable, NotFound, PreconditionFailed
from contracts.ports import Record
from control.eraser.eraser import LEASE_WAIT_S, Eraser
from control.guard import Guard, together
from heimdex.events.v1 import context_pb2
from indexer.commit.handler import CommitHandler
from indexer.schema.schema import generation
from tests.component.faults import Around, Died, Failing, die
from tests.component.world import (
    FIRST,
    TENANT,
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

CUTS_MS = (0, 1000, 2500)


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as made:
        yield made


def eraser(w: World, replaced: Mapping[str, object] | None = None) -> Eraser:
    """Return an eraser as a fresh process has it, with some ports ``replaced``."""
    names = ("catalog", "objects", "text_vectors", "vision_vectors", "text")
    ports: list[Any] = [(replaced or {}).get(name, getattr(w, name)) for name in names]
    leases: Any = (replaced or {}).get("leases", w.leases)
    return Eraser(*ports, leases=leases, clock=w.clock)


def commit(w: World) -> CommitHandler:
    return CommitHandler(w.catalog, w.objects, w.text_vectors, w.vision_vectors, w.text, producer=w.bus, clock=w.clock)


async def indexed(w: World, name: str = "one") -> Ingest:
    """Return a searchable video that has left something everywhere."""
    ingest = await w.ingest(name)
    views = {1: [(CUTS_MS[1] + 100, unit(0, 0, 1)), (CUTS_MS[1] + 200, unit(-1, 0, 0))]}
    await w.end(ingest, "sidecar", sidecar(ingest.video_id, CUTS_MS, said={0: "안녕"}, views=views))
    await commit(w).run(await w.delivery(ingest, "commit"))
    await w.leases.put(ids.lease_key(TENANT, ingest.video_id, "asr", "s"), b"lease")
    await w.objects.create_multipart(ids.source_key(TENANT, ingest.video_id), content_type="video/mp4")
    await w.outbox()
    return ingest


async def requested(w: World, name: str = "one") -> tuple[Ingest, Record]:
    """Return a searchable video that somebody has asked to delete, and the fact that says so."""
    ingest = await indexed(w, name)
    asked = await w.request_deletion(ingest)
    await w.outbox()
    return ingest, asked


async def left(w: World, video_id: str) -> set[str]:
    """Return the stores that still have something of a video."""
    found = set()
    for index in (w.text_vectors, w.vision_vectors):
        found |= {c for c in vector_rows(index) if await index.count(c, TENANT, video_id)}
    found |= {i for i in text_rows(w.text) if await w.text.count(i, TENANT, video_id)}
    prefix = ids.video_prefix(TENANT, video_id)
    for bucket, what in ((w.objects, "objects"), (w.leases, "leases")):
        if any(key.startswith(prefix) for key in bucket._versions) or any(
            m.key.startswith(prefix) for m in bucket._multiparts.values()
        ):
            found.add(what)
    if await w.catalog.list_scenes(TENANT, video_id, limit=9) or await w.catalog.video_scene_ids(TENANT, video_id):
        found.add("catalog")
    return found


async def test_a_video_leaves_every_store_and_tombstones_come_before_the_word(w: World) -> None:
    v, asked = await requested(w)
    other = await indexed(w, "other")
    scene_ids = await w.catalog.video_scene_ids(TENANT, v.video_id)
    assert await left(w, v.video_id) == {
        FIRST.text_collection, FIRST.vision_collection, FIRST.text_index, "objects", "leases", "catalog",
    }  # fmt: skip
    theirs = await left(w, other.video_id)
    await eraser(w).handle(asked)
    assert await left(w, v.video_id) == set()
    assert await left(w, other.video_id) == theirs
    assert (await w.catalog.get_video(TENANT, v.video_id)).state is VideoState.DELETED
    sent = await w.outbox()
    assert [(r.topic, r.key, r.value is None) for r in sent] == [
        *((facts.SCENE_TOPIC, scene_id, True) for scene_id in sorted(scene_ids)),
        ("heimdex-video-erased-v1", v.video_id, False),
    ]


async def test_the_gate_stays_and_says_nothing_of_anybody(w: World) -> None:
    v, asked = await requested(w)
    await eraser(w).handle(asked)
    body, _ = await w.objects.get(ids.gate_key(v.video_id))
    assert body == b""
    assert TENANT not in ids.gate_key(v.video_id)


async def test_the_gate_is_closed_before_anything_is_removed(w: World) -> None:
    v, asked = await requested(w)

    async def gate_is_there() -> None:
        assert await w.objects.head(ids.gate_key(v.video_id)) is not None

    guarded = Around(w.text_vectors, "delete_video", gate_is_there)
    await eraser(w, {"text_vectors": guarded}).handle(asked)
    assert guarded.calls >= 2


async def test_leases_are_waited_out(w: World) -> None:
    _, asked = await requested(w)
    await eraser(w).handle(asked)
    assert w.clock.slept_s == [LEASE_WAIT_S]


async def test_what_late_writers_bring_during_the_wait_goes_too(w: World) -> None:
    v, asked = await requested(w)
    late = sidecar(v.video_id, (0, 700, 2500), said={0: "늦은"})
    bodies = dict(vector_rows(w.vision_vectors)[FIRST.vision_collection])

    class Clock(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            vector_rows(w.vision_vectors)[FIRST.vision_collection].update(bodies)
            await w.end(v, "affect", late)
            await w.objects.put(v.manifest_key("affect"), b"and again")
            await super().sleep(seconds)

    it = Eraser(w.catalog, w.objects, w.text_vectors, w.vision_vectors, w.text, leases=w.leases, clock=Clock())
    await it.handle(asked)
    assert await left(w, v.video_id) == set()


async def test_what_comes_after_the_second_removal_is_found_by_reading_back(w: World) -> None:
    v, asked = await requested(w)
    rows = dict(text_rows(w.text)[FIRST.text_index])

    async def write_late() -> None:
        text_rows(w.text)[FIRST.text_index].update(rows)
        await w.objects.put(f"{ids.video_prefix(TENANT, v.video_id)}late", b"1")

    await eraser(w, {"text": Around(w.text, "refresh", write_late)}).handle(asked)
    assert await left(w, v.video_id) == set()
    assert len(w.clock.slept_s) == 2  # the wait for leases, and a pause before reading back again


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("objects", "put"), ("text_vectors", "delete_video"), ("vision_vectors", "delete_video"),
        ("text", "delete_video"), ("objects", "purge"), ("leases", "purge"), ("text_vectors", "flush"),
        ("text", "count"), ("catalog", "finish_erasure"),
    ],
)  # fmt: skip
async def test_a_crash_at_any_step_is_healed_by_the_next_delivery(
    w: World,
    part: str,
    method: str,
    after: bool,  # noqa: FBT001 - the case
) -> None:
    v, asked = await requested(w)
    count = len(await w.catalog.video_scene_ids(TENANT, v.video_id))
    with pytest.raises(Died):
        await eraser(w, {part: Around(getattr(w, part), method, die, after=after)}).handle(asked)
    await eraser(w).handle(asked)
    assert await left(w, v.video_id) == set()
    sent = await w.outbox()
    assert [r.value is None for r in sent] == [*[True] * count, False], "each told once"


@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("catalog", "get_video"), ("objects", "put"), ("vision_vectors", "delete_video"), ("text", "delete_video"),
        ("objects", "purge"), ("leases", "purge"), ("text_vectors", "count"), ("catalog", "finish_erasure"),
    ],
)  # fmt: skip
async def test_a_store_that_is_away_is_waited_for(w: World, part: str, method: str) -> None:
    v, asked = await requested(w)
    away = Failing(getattr(w, part), method, DependencyUnavailable(part, "away"), times=7)
    await eraser(w, {part: away}).handle(asked)
    assert away.left == 0
    assert await left(w, v.video_id) == set()


async def test_asked_again_it_looks_once_more_without_waiting_and_without_telling(w: World) -> None:
    v, asked = await requested(w)
    await eraser(w).handle(asked)
    await w.outbox()
    await w.objects.put(ids.source_key(TENANT, v.video_id), b"by a URL that was still good")
    w.clock.slept_s.clear()
    await eraser(w).handle(asked)
    assert LEASE_WAIT_S not in w.clock.slept_s
    assert await left(w, v.video_id) == set()
    assert await w.outbox() == []


async def test_rows_of_retired_and_building_generations_go_too(w: World) -> None:
    second = generation(2, "RETIRED", text_model="text.0", vision_model=VISION_MODEL, ranking=FIRST.ranking)
    await w.build(second)
    w.generations.pop()
    v = await indexed(w)
    await w.text_vectors.ensure(second.text_collection, 4)
    await w.text_vectors.upsert(
        second.text_collection, list(vector_rows(w.text_vectors)[FIRST.text_collection].values())
    )
    await w.text.ensure(second.text_index)
    await w.text.upsert(second.text_index, list(text_rows(w.text)[FIRST.text_index].values()))
    asked = await w.request_deletion(v)
    await eraser(w).handle(asked)
    assert await left(w, v.video_id) == set()


async def test_one_store_for_both_kinds_of_vectors_is_emptied_of_both(w: World) -> None:
    w.vision_vectors = w.text_vectors
    v, asked = await requested(w)
    await eraser(w).handle(asked)
    assert await left(w, v.video_id) == set()


async def test_facts_that_were_not_sent_yet_are_dropped_for_the_tombstones(w: World) -> None:
    v = await w.ingest()
    await w.end(v, "sidecar", sidecar(v.video_id, CUTS_MS))
    await commit(w).run(await w.delivery(v, "commit"))
    asked = await w.request_deletion(v)
    await eraser(w).handle(asked)
    scenes = [r for r in await w.outbox() if r.topic == facts.SCENE_TOPIC]
    assert len(scenes) == 2
    assert all(r.value is None for r in scenes)


async def test_a_video_that_nobody_asked_to_delete_stays(w: World) -> None:
    v = await indexed(w)
    with pytest.raises(PreconditionFailed):
        await eraser(w).handle(facts.deletion_requested(TENANT, v.video_id, 5))
    assert await w.objects.head(ids.gate_key(v.video_id)) is None
    assert len(await left(w, v.video_id)) == 6


async def test_another_tenants_request_touches_nothing(w: World) -> None:
    v, _ = await requested(w)
    await eraser(w).handle(facts.deletion_requested("globex", v.video_id, 5))
    assert await w.objects.head(ids.gate_key(v.video_id)) is None
    assert len(await left(w, v.video_id)) >= 5


@pytest.mark.parametrize(
    "record",
    [
        facts.deletion_requested("", "vid_1", 5),
        facts.deletion_requested(TENANT, "", 5),
        facts.video_uploaded(context_pb2.EventContext(video_id="vid_1"), facts.timestamp(5)),
        Record("heimdex-video-deletion-requested-v1", "vid_1", b"\xff"),
    ],
)
async def test_what_is_no_request_is_refused(w: World, record: Record) -> None:
    with pytest.raises(BadArtifact):
        await eraser(w).handle(record)


async def test_a_batch_waits_once_and_a_bad_record_does_not_stop_it(w: World) -> None:
    one, asked_one = await requested(w, "one")
    two, asked_two = await requested(w, "two")
    waiting, everybody = 0, asyncio.Event()

    class Clock(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            nonlocal waiting
            waiting += 1
            if waiting == 2:
                everybody.set()
            async with asyncio.timeout(15):
                await everybody.wait()

    it = Eraser(w.catalog, w.objects, w.text_vectors, w.vision_vectors, w.text, leases=w.leases, clock=Clock())
    bad = Record("heimdex-video-deletion-requested-v1", "vid_1", b"\xff", partition=1, offset=4)
    await together(Guard("eraser", it.handle, w.bus, w.clock).handle)([asked_one, bad, asked_two])
    assert await left(w, one.video_id) | await left(w, two.video_id) == set()
    [letter] = [record for record in w.bus.sent if record.topic == flow.DEAD_LETTER]
    assert codec.headers(letter)["ce_id"] == "eraser:heimdex-video-deletion-requested-v1:1:4"


async def test_a_deleted_video_is_forgotten_after_30_days(w: World) -> None:
    v, asked = await requested(w)
    await eraser(w).handle(asked)
    w.clock.now_s += 31 * 86_400
    with pytest.raises(NotFound):
        await w.catalog.get_video(TENANT, v.video_id)
    await eraser(w).handle(asked)  # a replay that comes so late changes nothing
