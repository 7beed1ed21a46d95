"""What an answer is, over gRPC: weights, ranks, videos, facets, bounds, weak hits, evidence and its id."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from contracts.catalog import Idempotency, Match, Person, Photo, SceneRow
from contracts.ids import ID_PATTERN, row_id
from heimdex.search.v1 import search_service_pb2 as pb
from tests.component.gateway.door import Door, refused
from tests.unit.search.fakes import said

DONE = pb.FRAME_KIND_DONE
PERSON_ID = "per_00000000000000000000000000"


async def library(door: Door, *scenes: int) -> list[SceneRow]:
    """Index a video for each number, with so many scenes; words find all of them, the first video's best first."""
    rows: list[SceneRow] = []
    for number, count in enumerate(scenes):
        spoken = [f"{place} 고양이가 잔다" for place in range(count)]
        rows += await door.index(f"film {number}".encode(), *spoken, file_name=f"{number}.mp4")
    found = [(row_id(row.scene_id, row.revision), row.video_id) for row in rows]
    door.stores.text.hits = [said(row, 9.0 - n / len(found), video=video) for n, (row, video) in enumerate(found)]
    return rows


async def done(door: Door, query: str = "고양이", **fields: Any) -> pb.SearchScenesResponse:
    request = pb.SearchScenesRequest(query=query, delivery=pb.DELIVERY_FINAL_ONLY, **fields)
    frames = [frame async for frame in door.search.SearchScenes(request, metadata=door.auth())]
    assert [frame.kind for frame in frames] == [DONE]
    last: pb.SearchScenesResponse = frames[0]
    return last


async def pages(door: Door, page_size: int, **fields: Any) -> list[pb.SearchScenesResponse]:
    found = [await done(door, page_size=page_size, **fields)]
    while found[-1].next_page_token:
        found.append(await done(door, page_size=page_size, page_token=found[-1].next_page_token, **fields))
    return found


def scenes(*answers: pb.SearchScenesResponse) -> list[str]:
    return [hit.scene.scene_id for answer in answers for hit in answer.hits]


# ---- videos -----------------------------------------------------------------------------------------------


async def test_a_video_has_four_scenes_unless_asked_otherwise(door: Door) -> None:
    rows = await library(door, 6, 2)
    ids = [row.scene_id for row in rows]
    assert scenes(await done(door)) == [*ids[:4], *ids[6:]]
    assert scenes(await done(door, max_scenes_per_video=1)) == [ids[0], ids[6]]
    assert scenes(await done(door, max_scenes_per_video=0)) == ids
    alone = pb.SearchFilter(video_ids=[rows[0].video_id])
    assert len(scenes(await done(door, filter=alone))) >= 6, "one video that is named is shown whole"


async def test_pages_of_videos_keep_their_scenes_together_and_their_total(door: Door) -> None:
    rows = await library(door, 3, 3)
    first, second = rows[:3], rows[3:]
    mixed = [one for pair in zip(second, first, strict=True) for one in pair]
    door.stores.text.hits = [
        said(row_id(row.scene_id, 1), 9.0 - n / 10, video=row.video_id) for n, row in enumerate(mixed)
    ]
    asked: dict[str, Any] = {"group_by": pb.GROUP_BY_VIDEO, "max_scenes_per_video": 2}
    found = await pages(door, 3, **asked)
    assert scenes(*found) == [row.scene_id for row in (*second[:2], *first[:2])]
    assert [hit.rank for page in found for hit in page.hits] == [1, 2, 3, 4]
    assert {page.summary.total_hits for page in found} == {4}
    token = found[0].next_page_token
    for other in ({}, {**asked, "max_scenes_per_video": 3}, {**asked, "fusion": pb.FUSION_RECIPROCAL_RANK}):
        wrong = await refused(done(door, page_token=token, **other))
        assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")


# ---- fusion -----------------------------------------------------------------------------------------------


async def test_weights_of_a_search_are_in_its_contributions(door: Door) -> None:
    await library(door, 2)
    answer = await done(door, weights=pb.SearchWeights(text=0.2, vision=0.2, tags=0.0))
    for hit in answer.hits:
        weights = {part.channel: part.weight for part in hit.contributions}
        assert weights[pb.CHANNEL_VISION] == pytest.approx(0.5)
        assert weights[pb.CHANNEL_TAGS] == 0.0
        assert hit.score == pytest.approx(sum(part.points for part in hit.contributions), abs=1e-6)


async def test_weights_that_sum_to_nothing_are_refused(door: Door) -> None:
    wrong = await refused(done(door, weights=pb.SearchWeights(text=0.0, vision=0.0, tags=0.0)))
    assert (wrong.code, wrong.details["BadRequest"].field_violations[0].field) == (
        grpc.StatusCode.INVALID_ARGUMENT, "weights",
    )  # fmt: skip


async def test_by_rank_similarities_are_reciprocal_ranks(door: Door) -> None:
    await library(door, 2)
    answer = await done(door, fusion=pb.FUSION_RECIPROCAL_RANK)
    words = [{part.channel: part.similarity for part in hit.contributions}[pb.CHANNEL_LEXICAL] for hit in answer.hits]
    assert words == pytest.approx([1.0, 61 / 62])


# ---- the summary ------------------------------------------------------------------------------------------


async def test_every_page_has_the_same_id_and_only_the_first_says_how_it_was_found(door: Door) -> None:
    await library(door, 3)
    first, second, third = await pages(door, 1, facets=[pb.FACET_VIDEOS])
    assert ID_PATTERN.match(first.summary.query_id)
    assert first.summary.query_id.startswith("qry_")
    assert {page.summary.query_id for page in (second, third)} == {first.summary.query_id}
    assert (await done(door)).summary.query_id != first.summary.query_id, "each answer has its own"
    assert (first.summary.parsed.words, first.summary.parsed.meaning) == ("고양이", "고양이")
    assert {timing.channel for timing in first.summary.timings} == {
        pb.CHANNEL_LEXICAL, pb.CHANNEL_TAGS, pb.CHANNEL_DENSE, pb.CHANNEL_VISION,
    }  # fmt: skip
    assert [facet.facet for facet in first.summary.facets] == [pb.FACET_VIDEOS]
    for later in (second.summary, third.summary):
        assert not later.HasField("parsed")
        assert not [*later.timings, *later.facets]


async def test_a_cut_list_has_a_lower_bound_on_every_page(door: Door) -> None:
    await library(door, 40)
    found = door.stores.text.hits
    door.stores.text.hits = found[:3]
    assert not (await done(door)).summary.total_is_lower_bound
    door.stores.text.hits = found
    both = await pages(door, 15, max_scenes_per_video=0)
    assert [len(page.hits) for page in both] == [15, 15]
    assert {(page.summary.total_hits, page.summary.total_is_lower_bound) for page in both} == {(30, True)}


async def test_facets_count_over_all_pages(door: Door) -> None:
    rows = await library(door, 3, 1)
    await enrol(door, "민지", *rows[:2])
    answer = await done(door, page_size=1, facets=[pb.FACET_PEOPLE, pb.FACET_TAGS, pb.FACET_VIDEOS])
    assert [(of.facet, [(c.value, c.label, c.count) for c in of.counts]) for of in answer.summary.facets] == [
        (pb.FACET_PEOPLE, [(PERSON_ID, "민지", 2)]),
        (pb.FACET_TAGS, [("cat", "고양이", 4)]),
        (pb.FACET_VIDEOS, [(rows[0].video_id, "film.mp4", 3), (rows[3].video_id, "film.mp4", 1)]),
    ]
    assert not (await done(door)).summary.facets


# ---- evidence ---------------------------------------------------------------------------------------------


async def enrol(door: Door, name: str, *there: SceneRow) -> None:
    """Enrol somebody who is in some scenes of one video."""
    person = Person(PERSON_ID, "team", name, (), (Photo("upl_1", "a.jpg", "ACCEPTED", "k", b"1234"),), 1)
    await door.catalog.create_person(person, Idempotency("team", "ann", "EnrolPerson", "r", "0"), [])
    matches = [Match(row.scene_id, PERSON_ID, 0.9) for row in there]
    await door.catalog.write_matches("team", there[0].video_id, 1, gallery_version=9, matches=matches, now_ms=1)


async def test_what_matched_of_a_hit_is_told_on_every_page(door: Door) -> None:
    rows = await library(door, 2)
    await enrol(door, "민지", *rows)
    for query, tags, people in (
        ("민지가 고양이 안는", ["cat"], ["민지"]), ("고양이", ["cat"], []), ("민지가 우는", [], ["민지"]),
    ):  # fmt: skip
        first = await done(door, query, page_size=1)
        second = await done(door, query, page_token=first.next_page_token)
        for answer in (first, second):
            (hit,) = answer.hits
            assert [tag.tag for tag in hit.matched_tags] == tags
            assert [person.display_name for person in hit.matched_people] == people
    named = await done(door, filter=pb.SearchFilter(person_ids=[PERSON_ID]))
    assert all(len(hit.matched_people) == 1 for hit in named.hits)


# ---- nothing matches --------------------------------------------------------------------------------------


async def test_weak_hits_come_only_when_asked_for_and_nothing_answers(door: Door) -> None:
    rows = await library(door, 2)
    assert not (await done(door, include_weak=True)).weak_hits
    door.stores.text.hits = []
    door.stores.dense.cosines = {row_id(row.scene_id, row.revision): 0.12 for row in rows}
    answer = await done(door, "뷁쀍쒫", include_weak=True, include_urls=True, page_size=1)
    assert (len(answer.hits), answer.next_page_token) == (0, "")
    assert (answer.summary.match_quality, answer.summary.total_hits) == (pb.MATCH_QUALITY_NONE, 0)
    (weak,) = answer.weak_hits
    assert weak.rank == 1
    assert weak.scene.keyframe.url
    assert not (await done(door, "뷁쀍쒫")).weak_hits
