"""A search by a picture: what is asked of whom, alone and beside a query."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import DependencyUnavailable
from contracts.ports import Float32
from indexer.search.types import Cause, Channel, Degraded, Filter, SearchRequest
from tests.unit.search.fakes import TENANT, World, said
from tests.unit.search.test_searcher import done, rows

PICTURE: Float32 = np.array([1.0, 0.0, 0.0], np.float32)


@pytest.fixture
def world() -> World:
    made = World()
    for row in ("a", "b", "c"):
        made.catalog.add(row, f"{row} 고양이가 잔다")
    made.text.hits = [said("a", 8.0)]
    made.dense.cosines = {"a": 0.4}
    made.vision.cosines = {"c": 0.8, "b": 0.6}
    return made


async def test_alone_it_asks_for_what_is_seen_and_nothing_else(world: World) -> None:
    answer = await done(world, SearchRequest(TENANT, "", image=PICTURE, image_id="upl_1"))
    assert rows(answer) == ["c", "b"]
    assert answer.answered == (Channel.VISION,)
    assert (world.encoder.texts, world.text.queries, world.dense.asked) == ([], [], [])
    assert [vector.tolist() for vector in world.vision.asked] == [[1.0, 0.0, 0.0]]


async def test_beside_a_query_what_is_seen_is_the_direction_between_the_two(world: World) -> None:
    answer = await done(world, SearchRequest(TENANT, "고양이", image=PICTURE, image_id="upl_1"))
    assert answer.answered == (Channel.LEXICAL, Channel.DENSE, Channel.VISION, Channel.TAGS)
    assert sorted(rows(answer)) == ["a", "b", "c"]
    (asked,) = world.vision.asked
    both = np.ones(3) + PICTURE  # the fake's vector of any query
    assert asked == pytest.approx(both / np.linalg.norm(both), abs=1e-6)
    assert [vector.tolist() for vector in world.dense.asked] == [[1.0] * 4], "what is said is the query's alone"


async def test_somebody_named_beside_it_lifts_the_scenes_that_look_so(world: World) -> None:
    world.catalog.names = [("per_1", "민지")]
    world.catalog.people = {"b": {"per_1": 0.9}}
    answer = await done(world, SearchRequest(TENANT, "@민지", image=PICTURE, image_id="upl_1"))
    assert rows(answer) == ["b"]
    filtered = Filter(person_ids=("per_1",))
    assert rows(await done(world, SearchRequest(TENANT, "", image=PICTURE, image_id="upl_1", filter=filtered))) == ["b"]


async def test_without_what_is_seen_a_picture_finds_nothing_and_a_query_beside_it_does(world: World) -> None:
    world.vision.door.error = DependencyUnavailable("store", "is down")
    with pytest.raises(DependencyUnavailable):
        await done(world, SearchRequest(TENANT, "", image=PICTURE, image_id="upl_1"))
    answer = await done(world, SearchRequest(TENANT, "고양이", image=PICTURE, image_id="upl_1"))
    assert rows(answer) == ["a"]
    assert answer.summary is not None
    assert answer.summary.degraded == (Degraded(Channel.VISION, Cause.FAILED),)
