"""What an answer is, on memory stores: its list, its bounds, what is counted over it, and what is weak."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import pytest

from contracts.catalog import ScenePerson, SceneRow
from contracts.errors import DependencyUnavailable, InvalidRequest
from heimdex.scene.v1 import scene_pb2
from indexer.search.types import (
    Channel,
    Facet,
    FrameKind,
    Fusion,
    GroupBy,
    MatchQuality,
    SearchRequest,
    Summary,
    Update,
    Weights,
)
from tests.unit.search.fakes import TENANT, World, said

DEADLINE_S = 10.0


def request(query: str = "고양이", **fields: object) -> SearchRequest:
    return SearchRequest(TENANT, query, **fields)  # type: ignore[arg-type]


async def frames(world: World, asked: SearchRequest) -> list[Update]:
    async with aclosing(world.searcher.search(asked, deadline_s=DEADLINE_S)) as updates:
        return [update async for update in updates]


async def done(world: World, asked: SearchRequest) -> tuple[list[str], Summary]:
    last = (await frames(world, asked))[-1]
    assert last.kind is FrameKind.DONE
    assert last.summary is not None
    return rows(last), last.summary


def rows(update: Update) -> list[str]:
    return [hit.scene.scene_id for hit in update.hits]


async def every_page(world: World, asked: SearchRequest) -> list[str]:
    """Return the rows of all pages, each of ``asked.limit``."""
    shown, summary = await done(world, asked)
    rest = summary.rest
    while rest:
        page = await world.searcher.page(
            TENANT, rest, marking="", first_rank=len(shown) + 1, limit=asked.limit, deadline_s=DEADLINE_S
        )
        assert [hit.rank for hit in page.hits] == list(range(len(shown) + 1, len(shown) + len(page.hits) + 1))
        shown += [hit.scene.scene_id for hit in page.hits]
        rest = page.rest
    return shown


@pytest.fixture
def world() -> World:
    """Three videos: scenes 1 to 6, the lower the better, of v1, v1, v1, v2, v1, v3."""
    made = World()
    for number, video in enumerate(("v1", "v1", "v1", "v2", "v1", "v3"), start=1):
        made.catalog.add(str(number), "고양이", video=video, start_ms=number * 1000)
        made.text.hits.append(said(str(number), 9.0 - number, video=video))
    return made


async def test_a_video_has_no_more_scenes_than_asked_for_on_all_pages(world: World) -> None:
    shown, summary = await done(world, request(max_scenes_per_video=2))
    assert (shown, summary.total_hits) == (["1", "2", "4", "6"], 4)
    assert await every_page(world, request(max_scenes_per_video=2, limit=1)) == shown
    assert await every_page(world, request(limit=4)) == ["1", "2", "3", "4", "5", "6"]


async def test_scenes_grouped_by_video_stay_together_on_all_pages(world: World) -> None:
    grouped = ["1", "2", "3", "5", "4", "6"]
    for limit in (1, 2, 4, 6):
        assert await every_page(world, request(group_by=GroupBy.VIDEO, limit=limit)) == grouped


async def test_frames_before_done_keep_to_the_same_list(world: World) -> None:
    world.encoder.door.close()
    asked = request(group_by=GroupBy.VIDEO, max_scenes_per_video=2)
    async with aclosing(world.searcher.search(asked, deadline_s=DEADLINE_S)) as updates:
        first = await anext(updates)
        assert (first.kind, rows(first)) == (FrameKind.PARTIAL, ["1", "2", "4", "6"])


async def test_ties_of_a_video_come_by_start(world: World) -> None:
    world.catalog.add("a", video="v0", start_ms=9000)
    world.catalog.add("b", video="v0", start_ms=1000)
    world.text.hits = [said(row, 0.0, tag_score=1.0, video="v0") for row in ("a", "b")]
    assert (await done(world, request(group_by=GroupBy.VIDEO)))[0] == ["b", "a"]


async def test_a_list_that_no_limit_cut_has_an_exact_total(world: World) -> None:
    _, summary = await done(world, request(limit=2))
    assert (summary.total_hits, summary.total_is_lower_bound) == (6, False)


@pytest.mark.parametrize("cut", [{"leg_rows": 6, "words_rows": 6}, {"window_rows": 5}])
async def test_a_list_that_was_cut_has_a_lower_bound(world: World, cut: dict[str, int]) -> None:
    narrow = World(**cut)
    narrow.catalog.scenes, narrow.text.hits = world.catalog.scenes, world.text.hits
    asked = request(limit=2)
    _, summary = await done(narrow, asked)
    assert (summary.total_hits, summary.total_is_lower_bound) == (cut.get("window_rows", 6), True)
    assert len(await every_page(narrow, asked)) == summary.total_hits


@pytest.mark.parametrize(("lowest", "more"), [(0.08, False), (0.3, True)])
async def test_a_cut_list_of_meaning_hides_no_hit_where_its_lowest_earns_nothing(
    world: World, *, lowest: float, more: bool
) -> None:
    narrow = World(leg_rows=2)
    narrow.catalog.scenes, narrow.text.hits = world.catalog.scenes, world.text.hits
    narrow.dense.cosines = {"1": 0.5, "2": lowest, "3": 0.01}
    for fusion, lower_bound in ((Fusion.CALIBRATED, more), (Fusion.RECIPROCAL_RANK, True)):
        _, summary = await done(narrow, request(limit=2, fusion=fusion))
        assert (summary.total_hits, summary.total_is_lower_bound) == (6, lower_bound)


async def test_by_rank_is_asked_for(world: World) -> None:
    world.dense.cosines = {"2": 0.31, "3": 0.3, "1": 0.29}
    shown, _ = await done(world, request(fusion=Fusion.RECIPROCAL_RANK))
    assert shown[:2] == ["2", "1"], "equal sums of ranks would be 1, 2 by score"


async def test_weights_are_asked_for(world: World) -> None:
    world.vision.cosines = {"6": 0.6}
    assert (await done(world, request()))[0][0] == "6"
    assert (await done(world, request(weights=Weights(vision=0.1))))[0][0] == "1"


async def test_weights_that_sum_to_nothing_are_refused_before_any_store(world: World) -> None:
    with pytest.raises(InvalidRequest):
        await frames(world, request(weights=Weights(text=0.0, vision=0.0, tags=0.0)))
    assert not world.text.queries


async def test_without_the_channels_that_have_weight_there_is_no_answer(world: World) -> None:
    world.vision.door.error = DependencyUnavailable("store", "is down")
    await done(world, request())
    with pytest.raises(DependencyUnavailable):
        await frames(world, request(weights=Weights(text=0.0, tags=0.0)))


async def test_how_it_was_understood_and_how_long_channels_took_is_told(world: World) -> None:
    _, summary = await done(world, request('"고양이" 우는'))
    assert summary.parsed is not None
    assert (summary.parsed.phrases, summary.parsed.words) == (("고양이",), "우는")
    assert set(summary.channel_ms) == {Channel.LEXICAL, Channel.TAGS, Channel.DENSE, Channel.VISION}


# ---- facets -----------------------------------------------------------------------------------------------


def scene(row: str, video: str, tags: Sequence[str] = (), people: Sequence[str] = ()) -> SceneRow:
    message = scene_pb2.Scene(scene_id=row, video_id=video, file_name=f"{video}.mp4")
    for tag in tags:
        message.tags.add(tag=tag, names=[f"{tag} 이름"] if tag != "bare" else [])
    there = tuple(ScenePerson(person, f"{person} 님", 0.9) for person in people)
    return SceneRow(row, TENANT, video, 1, 0, 0, 1000, message.SerializeToString(), there)


async def test_facets_count_the_whole_list_most_first_then_by_value(world: World) -> None:
    world.catalog.scenes = {
        "1": scene("1", "v1", ["cat", "bare", "cat"], ["per_b"]),
        "2": scene("2", "v1", ["bare"], ["per_a", "per_b"]),
        "4": scene("4", "v2", ["dog"]),
    }
    shown, summary = await done(world, request(limit=1, facets=(Facet.TAGS, Facet.PEOPLE, Facet.VIDEOS)))
    assert shown == ["1"]
    assert summary.total_hits == 3, "what may not be shown is no hit"
    assert {facet: [tuple(one) for one in counts] for facet, counts in summary.facets.items()} == {
        Facet.TAGS: [("bare", "bare", 2), ("cat", "cat 이름", 1), ("dog", "dog 이름", 1)],
        Facet.PEOPLE: [("per_b", "per_b 님", 2), ("per_a", "per_a 님", 1)],
        Facet.VIDEOS: [("v1", "v1.mp4", 2), ("v2", "v2.mp4", 1)],
    }


async def test_a_facet_has_fifty_values(world: World) -> None:
    world.catalog.scenes = {"1": scene("1", "v1", [f"tag{n:02}" for n in range(60)])}
    _, summary = await done(world, request(facets=(Facet.TAGS,)))
    assert [one.value for one in summary.facets[Facet.TAGS]] == [f"tag{n:02}" for n in range(50)]


async def test_facets_are_one_read_and_none_without_them(world: World) -> None:
    for facets, reads in (((), 1), ((Facet.VIDEOS,), 1)):
        before = world.catalog.door.entered
        _, summary = await done(world, request(limit=1, facets=facets, progressive=False))
        assert world.catalog.door.entered - before == reads
        assert set(summary.facets) == set(facets)


# ---- nothing matches --------------------------------------------------------------------------------------


async def test_the_nearest_of_what_does_not_answer_is_weak_and_only_when_asked_for(world: World) -> None:
    world.text.hits = []
    world.dense.cosines = {"1": 0.13, "2": 0.12, "4": 0.11}
    asked = {"query": "뷁쀍쒫", "limit": 2, "facets": (Facet.VIDEOS,)}
    shown, summary = await done(world, request(**asked, include_weak=True))  # type: ignore[arg-type]
    assert (shown, summary.match_quality) == ([], MatchQuality.NONE)
    assert [(hit.rank, hit.scene.scene_id) for hit in summary.weak] == [(1, "1"), (2, "2")]
    assert (summary.total_hits, summary.total_is_lower_bound, summary.rest) == (0, False, ())
    assert summary.facets == {Facet.VIDEOS: ()}
    assert (await done(world, request(**asked)))[1].weak == ()  # type: ignore[arg-type]


async def test_an_answer_has_nothing_weak(world: World) -> None:
    assert (await done(world, request(include_weak=True)))[1].weak == ()
