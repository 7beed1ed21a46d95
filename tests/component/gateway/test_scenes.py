"""Scenes over gRPC: one, a video's in pages, those around one; who is in them, and what shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import pytest

from contracts.catalog import Idempotency, Match, Person, Photo, StageRun, StageUpdate
from heimdex.client import AsyncClient
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
    await delete(door, scene.video_id)
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


# ---- neighbours -------------------------------------------------------------------------------------------


async def test_neighbours_are_those_before_and_after(door: Door) -> None:
    rows = await door.index(b"one", *(str(n) for n in range(5)))
    around = await neighbours(door, rows[2].scene_id, before=1, after=10)
    assert [scene.scene_id for scene in around] == [rows[n].scene_id for n in (1, 3, 4)]
    assert not any(scene.keyframe.url for scene in around)
    assert not await neighbours(door, rows[2].scene_id)
    signed = await neighbours(door, rows[0].scene_id, before=3, after=1, include_urls=True)
    assert [scene.scene_id for scene in signed] == [rows[1].scene_id]
    assert signed[0].keyframe.object_key in signed[0].keyframe.url


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"scene_id": ""}, "scene_id"),
        ({"scene_id": "vid_00000000000000000000000000"}, "scene_id"),
        ({"before": -1}, "before"),
        ({"before": 11}, "before"),
        ({"after": 11}, "after"),
    ],
)
async def test_neighbours_that_cannot_be_asked_for(door: Door, fields: dict[str, Any], path: str) -> None:
    scene, *_ = await door.index(b"one", "하나")
    wrong = await refused(neighbours(door, **{"scene_id": scene.scene_id} | fields))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == [path]


async def test_a_scene_that_is_gone_has_no_neighbours(door: Door) -> None:
    scene, *_ = await door.index(b"one", "하나", "둘")
    await delete(door, scene.video_id)
    assert (await refused(neighbours(door, scene.scene_id, after=1))).code is grpc.StatusCode.NOT_FOUND


# ---- media ------------------------------------------------------------------------------------------------


async def test_media_play_the_scene_and_show_its_keyframe(door: Door) -> None:
    rows = await door.index(b"the film", "하나", "둘")
    run = StageRun("validate", "ENDED", "OK", attempt=2)
    told = {"content_type": "video/mp4", "browser_playable": "true"}
    await door.catalog.apply_updates(
        [StageUpdate("team", rows[0].video_id, 1, run, {"duration_ms": 7_200_000}, told)], door.clock.now_ms()
    )
    await door.objects.put(f"t/team/v/{rows[1].video_id}/1.jpg", b"jpeg")

    second, first = await media(door, rows[1].scene_id, rows[0].scene_id)

    assert (second.scene_id, first.scene_id) == (rows[1].scene_id, rows[0].scene_id)
    url, _, fragment = second.playback_url.partition("#")
    assert fragment == "t=1,2"
    assert first.playback_url == f"{url}#t=0,1", "a video is signed once"
    assert await door.objects.send(url, "GET", {}, b"") == 200
    assert "type=video%2Fmp4" in url, "it is served as what it is, whatever its upload was called"
    assert await door.objects.send(second.keyframe_url, "GET", {}, b"") == 200
    assert (second.content_type, second.browser_playable) == ("video/mp4", True)
    left_s = second.expire_time.seconds - door.clock.now_ms() / 1000
    assert 3500 < left_s <= 3600, "the keyframe's URL ends before the video's"


async def test_a_fragment_is_exact_to_the_millisecond(door: Door) -> None:
    scene, *_ = await door.index(b"one", "하나")
    odd = replace(scene_row("team", scene.video_id, 0, "하나", revision=2), start_ms=12_050, end_ms=3_600_007)
    await door.commit([odd])
    (shown,) = await media(door, odd.scene_id)
    assert shown.playback_url.endswith("#t=12.05,3600.007")


async def test_a_scene_without_a_keyframe_plays(door: Door) -> None:
    scene, *_ = await door.index(b"one", "하나")
    bare = replace(scene_row("team", scene.video_id, 0, "하나", revision=2), body=b"")
    await door.commit([bare])
    (shown,) = await media(door, bare.scene_id)
    assert not shown.keyframe_url
    assert shown.playback_url
    assert shown.expire_time.seconds


async def test_media_of_what_may_not_be_shown_are_left_out(door: Door) -> None:
    kept, *_ = await door.index(b"one", "하나")
    gone, *_ = await door.index(b"two", "둘")
    others, *_ = await door.index(b"three", "셋", tenant="others")
    await delete(door, gone.video_id)
    shown = await media(door, gone.scene_id, others.scene_id, kept.scene_id, kept.scene_id)
    assert [each.scene_id for each in shown] == [kept.scene_id]


@pytest.mark.parametrize(
    ("scene_ids", "path"),
    [
        ([], "scene_ids"),
        (["scn_00000000000000000000000000"] * 201, "scene_ids"),
        (["scn_00000000000000000000000000", ""], "scene_ids[1]"),
        (["vid_00000000000000000000000000"], "scene_ids[0]"),
    ],
)
async def test_media_that_cannot_be_asked_for(door: Door, scene_ids: list[str], path: str) -> None:
    wrong = await refused(media(door, *scene_ids))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == [path]


async def test_the_sdk_asks_for_neighbours_and_media(door: Door) -> None:
    rows = await door.index(b"one", "하나", "둘", "셋")
    async with AsyncClient(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as client:
        around = await client.neighbours(rows[1].scene_id, before=1, after=1)
        assert [scene.scene_id for scene in around] == [rows[0].scene_id, rows[2].scene_id]
        shown = await client.scene_media([row.scene_id for row in rows])
        assert [each.scene_id for each in shown] == [row.scene_id for row in rows]


async def neighbours(door: Door, scene_id: str, **fields: Any) -> Any:
    request = pb.ListNeighboursRequest(scene_id=scene_id, **fields)
    return (await door.scenes.ListNeighbours(request, metadata=door.auth())).scenes


async def media(door: Door, *scene_ids: str) -> Any:
    request = pb.GetSceneMediaRequest(scene_ids=scene_ids)
    return (await door.scenes.GetSceneMedia(request, metadata=door.auth())).media


async def delete(door: Door, video_id: str) -> None:
    await door.catalog.request_deletion("team", video_id, Idempotency("team", "ann", "DeleteVideo", "r", "0"), [])


async def get(door: Door, scene_id: str, **fields: Any) -> Any:
    request = pb.GetSceneRequest(scene_id=scene_id, **fields)
    return (await door.scenes.GetScene(request, metadata=door.auth())).scene


async def page(door: Door, video_id: str, *, user: str = "ann", **fields: Any) -> Any:
    request = pb.ListScenesRequest(video_id=video_id, **fields)
    return await door.scenes.ListScenes(request, metadata=door.auth(user=user))
