"""Scenes like another over gRPC: the wire, its limits, and whose scenes are found."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from contracts.catalog import Idempotency, SceneRow
from contracts.errors import DependencyUnavailable
from contracts.ids import row_id
from heimdex.client import AsyncClient, NotFound
from heimdex.search.v1 import search_service_pb2 as pb
from tests.component.gateway.door import GENERATION, Door, refused

SCENE_ID = "scn_00000000000000000000000000"


async def library(door: Door) -> tuple[SceneRow, ...]:
    """Index a scene, one beside it, and two of other videos; every channel finds them, the last one least."""
    one, beside = await door.index(b"one", "고양이가 잔다", "고양이가 논다")
    near, *_ = await door.index(b"two", "고양이가 존다")
    far, *_ = await door.index(b"three", "개가 짖는다")
    for store, cosines in (
        (door.stores.dense, (1.0, 0.9, 0.6, 0.4)), (door.stores.vision, (1.0, 0.9, 0.7, 0.4)),
    ):  # fmt: skip
        rows = (one, beside, near, far)
        store.cosines = {row_id(row.scene_id, row.revision): cosine for row, cosine in zip(rows, cosines, strict=True)}
        store.videos = {row_id(row.scene_id, row.revision): row.video_id for row in rows}
    return one, beside, near, far


async def similar(door: Door, scene_id: str, *, tenant: str = "team", **fields: Any) -> pb.FindSimilarResponse:
    request = pb.FindSimilarRequest(scene_id=scene_id, **fields)
    answer: pb.FindSimilarResponse = await door.search.FindSimilar(request, metadata=door.auth(tenant))
    return answer


def ids(answer: pb.FindSimilarResponse) -> list[str]:
    return [hit.scene.scene_id for hit in answer.hits]


async def test_hits_are_those_of_other_videos_with_their_reasons(door: Door) -> None:
    one, _, near, far = await library(door)
    answer = await similar(door, one.scene_id)
    assert ids(answer) == [near.scene_id, far.scene_id]
    hit = answer.hits[0]
    assert (hit.rank, hit.match_quality) == (1, pb.MATCH_QUALITY_SUPPORTED)
    assert hit.score == pytest.approx(sum(part.points for part in hit.contributions), abs=1e-6)
    assert {part.channel for part in hit.contributions} == {pb.CHANNEL_DENSE, pb.CHANNEL_VISION, pb.CHANNEL_TAGS}
    assert [run.text for run in hit.transcript] == ["고양이가 존다"]
    assert not hit.scene.keyframe.url
    assert hit.best_frame_offset == hit.scene.view_offsets[0]
    summary = answer.summary
    assert (summary.total_hits, summary.match_quality) == (2, pb.MATCH_QUALITY_SUPPORTED)
    assert (summary.ranking, summary.generation) == (GENERATION.ranking, GENERATION.generation)
    assert summary.query_id.startswith("qry_")
    assert not summary.degraded
    assert not door.stores.encoder.texts


async def test_what_is_asked_for_is_what_comes(door: Door) -> None:
    one, beside, near, _ = await library(door)
    assert ids(await similar(door, one.scene_id, include_same_video=True))[0] == beside.scene_id
    assert ids(await similar(door, one.scene_id, page_size=1)) == [near.scene_id]
    (signed,) = (await similar(door, one.scene_id, page_size=1, include_urls=True)).hits
    assert signed.scene.keyframe.object_key in signed.scene.keyframe.url
    by_sight = await similar(door, one.scene_id, weights=pb.SearchWeights(text=0.0, tags=0.0))
    assert [round(part.weight, 6) for part in by_sight.hits[0].contributions] == [1.0, 0.0, 0.0]
    assert ids(await similar(door, one.scene_id, filter=pb.SearchFilter(min_confidence=0.8))) == [near.scene_id]


async def test_scenes_of_a_video_that_is_being_erased_are_not_shown(door: Door) -> None:
    one, _, near, far = await library(door)
    call = Idempotency("team", "ann", "DeleteVideo", "r", "0")
    await door.catalog.request_deletion("team", near.video_id, call, [])
    assert ids(await similar(door, one.scene_id)) == [far.scene_id]
    gone = await refused(similar(door, near.scene_id))
    assert (gone.code, gone.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_another_tenants_scene_is_not_found(door: Door) -> None:
    one, *_ = await library(door)
    theirs = await refused(similar(door, one.scene_id, tenant="others"))
    assert (theirs.code, theirs.details["ResourceInfo"].resource_name) == (grpc.StatusCode.NOT_FOUND, one.scene_id)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"scene_id": ""}, "scene_id"),
        ({"scene_id": "vid_00000000000000000000000000"}, "scene_id"),
        ({"page_size": -1}, "page_size"),
        ({"page_size": 201}, "page_size"),
        ({"filter": pb.SearchFilter(min_confidence=2.0)}, "filter.min_confidence"),
        ({"filter": pb.SearchFilter(video_ids=["x"])}, "filter.video_ids[0]"),
        ({"weights": pb.SearchWeights(text=-0.1)}, "weights.text"),
        ({"weights": pb.SearchWeights(vision=float("nan"))}, "weights.vision"),
        ({"weights": pb.SearchWeights(tags=1.5)}, "weights.tags"),
        ({"weights": pb.SearchWeights(text=0.0, vision=0.0, tags=0.0)}, "weights"),
    ],
)
async def test_what_cannot_be_asked_for(door: Door, fields: dict[str, Any], path: str) -> None:
    wrong = await refused(similar(door, **{"scene_id": SCENE_ID} | fields))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == [path]


async def test_a_channel_that_fails_is_named_and_without_any_it_is_to_be_tried_again(door: Door) -> None:
    one, _, near, far = await library(door)
    door.stores.vision.door.error = DependencyUnavailable("milvus", "is down")
    answer = await similar(door, one.scene_id)
    assert ids(answer) == [near.scene_id, far.scene_id]
    assert [(d.channel, d.cause) for d in answer.summary.degraded] == [
        (pb.CHANNEL_VISION, pb.DEGRADED_CAUSE_UNAVAILABLE)
    ]
    door.stores.dense.door.error = DependencyUnavailable("milvus", "is down")
    down = await refused(similar(door, one.scene_id))
    assert (down.code, down.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert down.details["RetryInfo"].retry_delay.seconds == 1


async def test_the_sdk_asks_for_scenes_like_another(door: Door) -> None:
    one, _, near, far = await library(door)
    async with AsyncClient(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as client:
        answer = await client.similar(one.scene_id, limit=5)
        assert ids(answer) == [near.scene_id, far.scene_id]
        with pytest.raises(NotFound):
            await client.similar(SCENE_ID)
