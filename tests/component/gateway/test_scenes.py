"""Scenes over gRPC: one, and a video's in pages; with who is in them and pictures to look at."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from contracts.catalog import Idempotency, Match, Person, Photo
from heimdex.scene.v1 import scene_service_pb2 as pb
from tests.component.gateway.door import Door, refused, scene_row

PERSON_ID = "per_00000000000000000000000000"


async def test_a_scene_shows_what_was_found_in_it_and_who(door: Door) -> None:
    scene, _ = await door.index(b"one", "우주선이 착륙했다", "좋은 아침")
    person = Person(PERSON_ID, "team", "민지", (), (Photo("upl_1", "a.jpg", "ACCEPTED", "k", b"1234"),), 1)
    await door.catalog.create_person(person, Idempotency("team", "ann", "EnrolPerson", "r", "0"), [])
    match = Match(scene.scene_id, PERSON_ID, 0.75)
    await door.catalog.write_matches("team", scene.video_id, 1, gallery_version=1, matches=[match], now_ms=1)

    shown = await get(door, scene.scene_id)

    assert (shown.scene_id, shown.video_id, shown.revision, shown.index) == (scene.scene_id, scene.video_id, 1, 0)
    assert (shown.start_offset.ToMilliseconds(), shown.end_offset.ToMilliseconds()) == (0, 1000)
    assert [line.text for line in shown.transcript] == ["우주선이 착륙했다"]
    assert [(p.person_id, p.display_name, p.confidence) for p in shown.people] == [(PERSON_ID, "민지", 0.75)]
    assert shown.keyframe.object_key
    assert not shown.keyframe.url


async def test_urls_are_signed_when_asked_for(door: Door) -> None:
    scene, *_ = await door.index(b"one", "하나", "둘")
    shown = await get(door, scene.scene_id, include_urls=True)
    await door.objects.put(shown.keyframe.object_key, b"jpeg")
    assert await door.objects.send(shown.keyframe.url, "GET", {}, b"") == 200
    listed = await page(door, scene.video_id, include_urls=True)
    assert all(each.keyframe.object_key in each.keyframe.url for each in listed.scenes)


async def test_pages_hold_every_scene_once_in_order(door: Door) -> None:
    rows = await door.index(b"one", *(str(n) for n in range(5)))
    await door.index(b"two", "another video's")
    seen: list[str] = []
    token, pages = "", 0
    while True:
        answer = await page(door, rows[0].video_id, page_size=2, page_token=token)
        seen += [scene.scene_id for scene in answer.scenes]
        pages += 1
        token = answer.next_page_token
        if not token:
            break
    assert seen == [row.scene_id for row in rows]
    assert pages == 3


async def test_a_video_that_is_not_searchable_has_no_scenes_yet(door: Door) -> None:
    video_id = (await door.upload(b"one")).video.video_id
    assert await page(door, video_id) == pb.ListScenesResponse()


async def test_pages_of_a_revision_that_was_replaced_end(door: Door) -> None:
    rows = await door.index(b"one", "하나", "둘", "셋")
    token = (await page(door, rows[0].video_id, page_size=1)).next_page_token
    again = [scene_row("team", rows[0].video_id, index, "새로", revision=2) for index in range(3)]
    await door.commit(again)
    ended = await refused(page(door, rows[0].video_id, page_token=token))
    assert (ended.code, ended.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
    assert [scene.revision for scene in (await page(door, rows[0].video_id)).scenes] == [2, 2, 2]


async def test_a_page_token_is_of_one_video_and_one_user(door: Door) -> None:
    one = (await door.index(b"one", "하나", "둘"))[0].video_id
    two = (await door.index(b"two", "하나", "둘"))[0].video_id
    token = (await page(door, one, page_size=1)).next_page_token
    assert (await page(door, one, page_token=token)).scenes
    for call in (
        page(door, two, page_token=token),
        page(door, one, user="bob", page_token=token),
        page(door, one, page_token=token[:-2]),
    ):
        assert (await refused(call)).reason == "INVALID_PAGE_TOKEN"


async def test_scenes_of_a_video_that_is_being_erased_are_gone_at_once(door: Door) -> None:
    scene, *_ = await door.index(b"one", "하나")
    call = Idempotency("team", "ann", "DeleteVideo", "r", "0")
    await door.catalog.request_deletion("team", scene.video_id, call, [])
    assert (await refused(get(door, scene.scene_id))).code is grpc.StatusCode.NOT_FOUND
    assert not (await page(door, scene.video_id)).scenes


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"video_id": ""}, "video_id"),
        ({"video_id": "scn_00000000000000000000000000"}, "video_id"),
        ({"page_size": -1}, "page_size"),
        ({"page_size": 501}, "page_size"),
        ({"page_token": "x"}, "page_token"),
    ],
)
async def test_lists_that_cannot_be_asked_for(door: Door, fields: dict[str, Any], path: str) -> None:
    video_id = (await door.upload(b"one")).video.video_id
    wrong = await refused(page(door, **{"video_id": video_id} | fields))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == [path]


@pytest.mark.parametrize("scene_id", ["", "x", "vid_00000000000000000000000000", "scn_../../etc/passwd"])
async def test_ids_that_are_none(door: Door, scene_id: str) -> None:
    wrong = await refused(get(door, scene_id))
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def get(door: Door, scene_id: str, **fields: Any) -> Any:
    request = pb.GetSceneRequest(scene_id=scene_id, **fields)
    return (await door.scenes.GetScene(request, metadata=door.auth())).scene


async def page(door: Door, video_id: str, *, user: str = "ann", **fields: Any) -> Any:
    request = pb.ListScenesRequest(video_id=video_id, **fields)
    return await door.scenes.ListScenes(request, metadata=door.auth(user=user))
