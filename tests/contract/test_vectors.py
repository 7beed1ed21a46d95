"""Vectors: one suite for every ``VectorIndex``: memory, batches of it, Milvus."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from adapters.vectors.batched import BatchedVectors
from adapters.vectors.memory import MemoryVectors
from contracts.errors import DependencyUnavailable, PreconditionFailed
from contracts.ids import row_id
from contracts.ports import EVERYWHERE, MAX_VIEWS, Float32, Scope, VectorIndex, VectorRow
from tests.milvus import milvus

DIM = 16

MEMORY = "memory"
BATCHED = "batched"
MILVUS = pytest.param("milvus", marks=pytest.mark.integration)


@dataclass(frozen=True)
class Space:
    """A collection of a test's own, which nobody has made yet."""

    index: VectorIndex
    name: str

    async def fill(self, *rows: VectorRow) -> None:
        await self.index.ensure(self.name, DIM)
        await self.index.upsert(self.name, rows)
        await self.index.flush(self.name)

    async def found(self, tenant_id: str, vector: Float32, *, limit: int = 10, scope: Scope = EVERYWHERE) -> list[str]:
        (hits,) = await self.index.search(self.name, tenant_id, vector[None, :], limit=limit, scope=scope)
        return [hit.row_id for hit in hits]

    async def cosines(self, tenant_id: str, vector: Float32, rows: list[str]) -> dict[str, float]:
        near = await self.index.similarities(self.name, tenant_id, vector, rows)
        return {row: found.cosine for row, found in near.items()}


@pytest.fixture(params=[MEMORY, BATCHED, MILVUS])
async def space(request: pytest.FixtureRequest) -> AsyncIterator[Space]:
    name = f"test_vectors_{secrets.token_hex(4)}"
    if request.param in {MEMORY, BATCHED}:
        memory = MemoryVectors()
        yield Space(BatchedVectors(memory) if request.param == BATCHED else memory, name)
        return
    from adapters.vectors.milvus import MilvusVectors

    uri = request.getfixturevalue("servers").milvus_text
    async with MilvusVectors(uri) as index:
        yield Space(index, name)
    with milvus(uri) as client:
        client.drop_collection(name)


def toward(*weights: float) -> Float32:
    """Return the unit vector with these first coordinates."""
    vector = np.zeros(DIM, np.float32)
    vector[: len(weights)] = weights
    return vector / np.float32(np.linalg.norm(vector))


def row(
    scene: str, vector: Float32, *, tenant: str = "acme", video: str = "vid_1", revision: int = 1, start_ms: int = 0
) -> VectorRow:
    return VectorRow(row_id(scene, revision), tenant, video, scene, revision, start_ms, start_ms + 1000, vector)


def views(scene: str, *vectors: Float32, **fields: Any) -> list[VectorRow]:
    """Return what a scene looks like, in order."""
    return [replace(row(scene, vector, **fields), view=view) for view, vector in enumerate(vectors)]


async def test_nearest_first_with_their_cosines(space: Space) -> None:
    await space.fill(row("far", toward(0, 1)), row("near", toward(1)), row("between", toward(1, 1)))
    (hits,) = await space.index.search(space.name, "acme", toward(1)[None, :], limit=10)
    assert [hit.row_id for hit in hits] == ["near:1", "between:1", "far:1"]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.5**0.5, 0.0], abs=1e-5)


async def test_every_row_tells_its_video(space: Space) -> None:
    await space.fill(*(row(f"scene{n}", toward(1, n), video=f"vid_{n % 2}") for n in range(3)))
    lists = await space.index.search(space.name, "acme", np.stack([toward(1), toward(1)]), limit=3)
    for hits in lists:
        assert [(hit.row_id, hit.video_id) for hit in hits] == [
            ("scene0:1", "vid_0"), ("scene1:1", "vid_1"), ("scene2:1", "vid_0"),
        ]  # fmt: skip


async def test_opposite_vectors_have_minus_one(space: Space) -> None:
    await space.fill(row("opposite", toward(-1)))
    assert await space.cosines("acme", toward(1), ["opposite:1"]) == pytest.approx({"opposite:1": -1.0}, abs=1e-5)


async def test_no_more_than_the_limit(space: Space) -> None:
    await space.fill(*(row(f"scene{n}", toward(1, n)) for n in range(5)))
    assert await space.found("acme", toward(1), limit=2) == ["scene0:1", "scene1:1"]


async def test_several_queries_are_answered_in_their_order(space: Space) -> None:
    await space.fill(row("one", toward(1)), row("two", toward(0, 1)))
    lists = await space.index.search(space.name, "acme", np.stack([toward(0, 1), toward(1)]), limit=1)
    assert [[hit.row_id for hit in hits] for hits in lists] == [["two:1"], ["one:1"]]


async def test_no_query_has_no_answer(space: Space) -> None:
    await space.fill(row("one", toward(1)))
    assert list(await space.index.search(space.name, "acme", np.zeros((0, DIM), np.float32), limit=1)) == []


async def test_concurrent_callers_get_their_own_answers(space: Space) -> None:
    await space.fill(*(row(f"scene{n}", np.eye(DIM, dtype=np.float32)[n]) for n in range(DIM)))
    found = await asyncio.gather(*(space.found("acme", vector, limit=1) for vector in np.eye(DIM, dtype=np.float32)))
    assert found == [[f"scene{n}:1"] for n in range(DIM)]


async def test_a_tenant_sees_its_own_rows_only(space: Space) -> None:
    await space.fill(row("mine", toward(1)), *(row(f"theirs{n}", toward(1), tenant=f"other-{n}") for n in range(40)))
    assert await space.found("acme", toward(1), limit=50) == ["mine:1"]
    assert await space.found("nobody", toward(1), limit=50) == []
    theirs = [f"theirs{n}:1" for n in range(40)]
    assert await space.cosines("acme", toward(1), theirs) == {}
    await space.index.delete(space.name, "acme", theirs)
    await space.index.delete_video(space.name, "nobody", "vid_1")
    assert await space.index.count(space.name, "other-7") == 1
    assert await space.index.count(space.name, "acme") == 1


async def test_only_the_videos_asked_for(space: Space) -> None:
    await space.fill(*(row(f"scene{n}", toward(1), video=f"vid_{n}") for n in range(4)))
    assert sorted(await space.found("acme", toward(1), scope=Scope(("vid_1", "vid_3")))) == ["scene1:1", "scene3:1"]
    assert await space.found("acme", toward(1), scope=Scope(("vid_9",))) == []


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (Scope(start_from_ms=2000), ["scene2:1", "scene3:1"]),
        (Scope(start_to_ms=2000), ["scene0:1", "scene1:1"]),
        (Scope(start_from_ms=1000, start_to_ms=3000), ["scene1:1", "scene2:1"]),
        (Scope(("vid_1",), 1000, 3000), ["scene1:1"]),
        (Scope(start_from_ms=3001), []),
        (Scope(start_from_ms=0, start_to_ms=10**15), ["scene0:1", "scene1:1", "scene2:1", "scene3:1"]),
    ],
)
async def test_only_scenes_that_begin_within_the_offsets(space: Space, scope: Scope, found: list[str]) -> None:
    await space.fill(*(row(f"scene{n}", toward(1, n), video=f"vid_{n % 2}", start_ms=n * 1000) for n in range(4)))
    assert await space.found("acme", toward(1), scope=scope) == found


async def test_a_thousand_videos_can_be_asked_for(space: Space) -> None:
    videos = [f"vid_{n:026d}" for n in range(1100)]
    await space.fill(*(row(f"scene{n}", toward(1, n), video=video) for n, video in enumerate(videos)))
    found = await space.found("acme", toward(1), scope=Scope(tuple(videos[100:])), limit=2)
    assert found == ["scene100:1", "scene101:1"]


async def test_callers_of_several_scopes_get_their_own_answers(space: Space) -> None:
    await space.fill(*(row(f"scene{n}", toward(1), start_ms=n * 1000) for n in range(8)))
    scopes = [Scope(start_from_ms=n * 1000, start_to_ms=(n + 1) * 1000) for n in range(8)]
    found = await asyncio.gather(*(space.found("acme", toward(1), scope=scope) for scope in scopes))
    assert found == [[f"scene{n}:1"] for n in range(8)]


async def test_a_filter_misses_nothing(space: Space) -> None:
    # Graph indices that walk past filtered rows lose most of a small video among many.
    noise = np.random.default_rng(7).standard_normal((1500, DIM)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    rows = [row(f"scene{n}", vector, video=f"vid_{n // 15}") for n, vector in enumerate(noise)]
    await space.fill(*rows)
    found = await space.found("acme", toward(1), limit=50, scope=Scope(("vid_42",)))
    assert sorted(found) == sorted(r.row_id for r in rows if r.video_id == "vid_42")
    best = np.argsort(-(noise @ toward(1)))[:20]
    assert await space.found("acme", toward(1), limit=20) == [rows[n].row_id for n in best]


async def test_the_same_row_replaces(space: Space) -> None:
    await space.fill(row("scene", toward(1)), row("other", toward(1, 1)))
    await space.fill(row("scene", toward(0, 1)))
    assert await space.found("acme", toward(1)) == ["other:1", "scene:1"]
    assert await space.index.count(space.name, "acme") == 2


async def test_revisions_are_rows_of_their_own(space: Space) -> None:
    await space.fill(row("scene", toward(1), revision=1), row("scene", toward(1), revision=2))
    assert sorted(await space.found("acme", toward(1))) == ["scene:1", "scene:2"]
    await space.index.delete(space.name, "acme", ["scene:1"])
    assert await space.found("acme", toward(1)) == ["scene:2"]


async def test_similarities_of_known_rows(space: Space) -> None:
    await space.fill(row("near", toward(1)), row("far", toward(0, 1)), row("unasked", toward(1)))
    known = await space.cosines("acme", toward(1), ["near:1", "far:1", "unknown:1"])
    assert known == pytest.approx({"near:1": 1.0, "far:1": 0.0}, abs=1e-5)
    assert await space.cosines("acme", toward(1), []) == {}


async def test_vectors_of_known_rows_have_length_one(space: Space) -> None:
    await space.fill(row("one", toward(1, 1)), row("long", toward(0, 1) * 3), row("theirs", toward(1), tenant="other"))
    known = await space.index.views(space.name, "acme", ["long:1", "one:1", "theirs:1", "unknown:1"])
    assert known.keys() == {"one:1", "long:1"}
    assert known["one:1"] == {0: pytest.approx(toward(1, 1), abs=1e-6)}
    assert known["long:1"] == {0: pytest.approx(toward(0, 1), abs=1e-6)}
    assert {vector.dtype for views in known.values() for vector in views.values()} == {np.dtype(np.float32)}
    assert await space.index.views(space.name, "acme", []) == {}
    await space.index.delete(space.name, "acme", ["one:1"])
    assert await space.index.views(space.name, "acme", ["one:1"]) == {}


async def test_vectors_of_more_rows_than_one_call_reads(space: Space) -> None:
    rows = [row(f"scene{n}", toward(1, n)) for n in range(501)]
    await space.fill(*rows)
    known = await space.index.views(space.name, "acme", [r.row_id for r in rows])
    assert len(known) == 501
    assert known["scene500:1"] == {0: pytest.approx(toward(1, 500), abs=1e-6)}


async def test_deleted_rows_are_gone_at_once(space: Space) -> None:
    await space.fill(row("gone", toward(1)), row("kept", toward(1)))
    await space.index.delete(space.name, "acme", ["gone:1", "never:1"])
    assert await space.found("acme", toward(1)) == ["kept:1"]
    assert await space.cosines("acme", toward(1), ["gone:1"]) == {}
    assert await space.index.count(space.name, "acme") == 1


async def test_more_rows_than_one_call_deletes(space: Space) -> None:
    rows = [row(f"scene{n}", toward(1)) for n in range(1001)]
    await space.fill(*rows)
    await space.index.delete(space.name, "acme", [r.row_id for r in rows])
    assert await space.index.count(space.name, "acme") == 0


async def test_a_video_goes_whole_and_alone(space: Space) -> None:
    scenes = [row(f"scene{n}", toward(1, n), revision=n % 2 + 1) for n in range(4)]
    await space.fill(*scenes, row("other", toward(1), video="vid_2"))
    assert await space.index.count(space.name, "acme", "vid_1") == 4
    await space.index.delete_video(space.name, "acme", "vid_1")
    assert await space.index.count(space.name, "acme", "vid_1") == 0
    assert await space.found("acme", toward(1)) == ["other:1"]
    await space.index.delete_video(space.name, "acme", "vid_1")


async def test_a_deleted_row_may_come_back(space: Space) -> None:
    await space.fill(row("scene", toward(1)))
    await space.index.delete(space.name, "acme", ["scene:1"])
    await space.fill(row("scene", toward(0, 1)))
    assert await space.cosines("acme", toward(0, 1), ["scene:1"]) == pytest.approx({"scene:1": 1.0})


async def test_what_nobody_has_made_is_empty(space: Space) -> None:
    assert list(await space.index.search(space.name, "acme", np.stack([toward(1)] * 2), limit=3)) == [[], []]
    assert await space.cosines("acme", toward(1), ["scene:1"]) == {}
    assert await space.index.views(space.name, "acme", ["scene:1"]) == {}
    assert await space.index.count(space.name, "acme") == 0
    assert await space.index.count(space.name, "acme", "vid_1") == 0
    await space.index.delete(space.name, "acme", ["scene:1"])
    await space.index.delete_video(space.name, "acme", "vid_1")
    await space.index.flush(space.name)


async def test_what_nobody_has_made_takes_no_rows(space: Space) -> None:
    with pytest.raises(DependencyUnavailable) as refused:
        await space.index.upsert(space.name, [row("scene", toward(1))])
    assert refused.value.retryable


async def test_made_twice_it_keeps_its_rows(space: Space) -> None:
    await space.fill(row("scene", toward(1)))
    await space.index.ensure(space.name, DIM)
    assert await space.found("acme", toward(1)) == ["scene:1"]


async def test_many_may_make_it_at_once(space: Space) -> None:
    await asyncio.gather(*(space.index.ensure(space.name, DIM) for _ in range(5)))
    await space.fill(*(row(f"scene{n}", toward(1), tenant=f"tenant-{n}") for n in range(30)))
    assert [await space.index.count(space.name, f"tenant-{n}") for n in range(30)] == [1] * 30


async def test_another_dimension_is_refused(space: Space) -> None:
    await space.index.ensure(space.name, DIM)
    with pytest.raises(PreconditionFailed):
        await space.index.ensure(space.name, DIM + 1)


async def test_no_rows_are_no_error(space: Space) -> None:
    await space.fill()
    await space.index.delete(space.name, "acme", [])
    assert await space.found("acme", toward(1)) == []


@pytest.mark.parametrize("name", ['a"b', "a\\", 'a\\" or tenant_id != "', "a\nb\tc\r", "에어팟 😀", "'", "%", "{a}"])
async def test_ids_are_only_ids(space: Space, name: str) -> None:
    await space.fill(row(name, toward(1), video=name), row("other", toward(1), tenant="other", video="vid_2"))
    assert await space.found("acme", toward(1), scope=Scope((name,))) == [f"{name}:1"]
    assert await space.found("acme", toward(1), scope=Scope((f'{name}" or tenant_id == "other',))) == []
    assert await space.cosines("acme", toward(1), [f"{name}:1"]) == pytest.approx({f"{name}:1": 1.0})
    await space.index.delete_video(space.name, "acme", f'{name}" or tenant_id == "other')
    assert await space.index.count(space.name, "other") == 1
    await space.index.delete(space.name, "acme", [f"{name}:1"])
    assert await space.index.count(space.name, "acme", name) == 0


async def test_rows_of_several_tenants_in_one_call(space: Space) -> None:
    one = row("scene", toward(1))
    await space.fill(*(replace(one, row_id=f"scene{n}:1", tenant_id=f"tenant-{n}") for n in range(5)))
    assert [await space.found(f"tenant-{n}", toward(1)) for n in range(5)] == [[f"scene{n}:1"] for n in range(5)]


# -------------------------------------------------------------------------------------------- several views a scene


async def test_a_scene_is_found_once_by_the_best_of_its_views(space: Space) -> None:
    one, other, third = toward(1), toward(0, 1), toward(0, 0, 1)
    await space.fill(*views("changing", one, other, third, video="vid_9"), row("still", toward(1, 1)))
    lists = await space.index.search(space.name, "acme", np.stack([one, other, third]), limit=10)
    assert [[(hit.row_id, hit.view, hit.video_id) for hit in hits] for hits in lists] == [
        [("changing:1", 0, "vid_9"), ("still:1", 0, "vid_1")],
        [("changing:1", 1, "vid_9"), ("still:1", 0, "vid_1")],
        [("changing:1", 2, "vid_9"), ("still:1", 0, "vid_1")],
    ]
    assert [hits[0].score for hits in lists] == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20])
async def test_views_of_one_scene_take_no_other_scene_s_place(space: Space, limit: int) -> None:
    seen = [views(f"scene{n:02d}", *(toward(1, n / 9, k / 9) for k in range(MAX_VIEWS))) for n in range(12)]
    await space.fill(*(view for scene in seen for view in scene))
    nearest = [f"scene{n:02d}:1" for n in range(12)][:limit]
    assert await space.found("acme", toward(1), limit=limit) == nearest
    far = [*views("far", toward(0, 0, 0, 1)), *views("farther", toward(0, 0, 0, 1, 1))]
    await space.fill(*far)
    both = await space.index.search(space.name, "acme", np.stack([toward(0, 0, 0, 1), toward(1)]), limit=min(limit, 2))
    assert [hit.row_id for hit in both[0]] == ["far:1", "farther:1"][:limit], "one list may be full and another not"
    assert [hit.row_id for hit in both[1]] == nearest[:2]


async def test_concurrent_callers_get_scenes_of_their_own_views(space: Space) -> None:
    eye = np.eye(DIM, dtype=np.float32)
    await space.fill(*(view for n in range(5) for view in views(f"scene{n}", *eye[3 * n : 3 * n + 3])))
    lists = await asyncio.gather(
        *(space.index.search(space.name, "acme", vector[None, :], limit=2) for vector in eye[:15])
    )
    assert [(hits[0].row_id, hits[0].view) for (hits,) in lists] == [(f"scene{n // 3}:1", n % 3) for n in range(15)]


async def test_a_scene_is_as_near_as_the_best_of_its_views_also_when_asked_again(space: Space) -> None:
    await space.fill(*views("changing", toward(1), toward(0, 1), toward(0, 0, 1)), row("still", toward(1, 1)))
    for _ in range(2):
        for view, vector in enumerate((toward(1), toward(0, 1), toward(0, 0, 1))):
            near = await space.index.similarities(space.name, "acme", vector, ["changing:1", "still:1"])
            assert near["changing:1"] == pytest.approx((1.0, view), abs=1e-5)
            assert near["still:1"].view == 0
    known = await space.index.views(space.name, "acme", ["changing:1"])
    assert {view: int(vector.argmax()) for view, vector in known["changing:1"].items()} == {0: 0, 1: 1, 2: 2}


async def test_a_scene_goes_with_all_of_its_views(space: Space) -> None:
    await space.fill(*views("gone", toward(1), toward(0, 1), toward(0, 0, 1)))
    await space.fill(*views("gone", toward(1), toward(0, 1), toward(0, 0, 1), revision=2))
    await space.fill(*views("theirs", toward(1), toward(0, 1), tenant="other"))
    await space.index.delete(space.name, "acme", ["gone:1", "theirs:1"])
    assert await space.index.count(space.name, "acme") == 3
    assert await space.index.count(space.name, "other") == 2
    assert await space.found("acme", toward(0, 1)) == ["gone:2"]
    assert await space.index.similarities(space.name, "acme", toward(0, 1), ["gone:1"]) == {}
    await space.index.delete_video(space.name, "acme", "vid_1")
    assert await space.index.count(space.name, "acme") == 0


async def test_a_view_written_again_replaces_itself_alone(space: Space) -> None:
    await space.fill(*views("scene", toward(1), toward(0, 1)))
    await space.fill(*views("scene", toward(1), toward(0, 0, 1)))
    assert await space.index.count(space.name, "acme") == 2
    assert await space.cosines("acme", toward(0, 0, 1), ["scene:1"]) == pytest.approx({"scene:1": 1.0}, abs=1e-5)


async def test_more_scenes_of_several_views_than_one_call_takes(space: Space) -> None:
    scenes = [views(f"scene{n}", toward(1, n), toward(0, 0, 1, n)) for n in range(501)]
    await space.fill(*(view for scene in scenes for view in scene))
    rows = [scene[0].row_id for scene in scenes]
    assert len(await space.index.similarities(space.name, "acme", toward(1), rows)) == 501
    await space.index.delete(space.name, "acme", rows)
    assert await space.index.count(space.name, "acme") == 0
