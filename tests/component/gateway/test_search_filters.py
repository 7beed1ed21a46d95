"""Filters and exclusions over gRPC, with people, languages and times in SQL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from contracts import flow
from contracts.catalog import Match, SceneRow, StageRun, StageUpdate
from contracts.errors import DependencyUnavailable
from contracts.ids import row_id
from contracts.ports import Scope
from heimdex.search.v1 import search_service_pb2 as pb
from tests.component.gateway.door import Door, refused, scene_row
from tests.component.gateway.test_search import PERSON_ID, done, enrol, frames
from tests.unit.search.fakes import said


async def index(door: Door, body: bytes, language: str, *, count: int = 2) -> list[SceneRow]:
    """Make a video in a language searchable."""
    video_id = (await door.upload(body)).video.video_id
    now_ms = int(time.time() * 1000)
    ended = [StageUpdate("team", video_id, 1, StageRun(noun, "ENDED", "OK", attempt=1)) for noun in flow.STAGES]
    await door.catalog.apply_updates(ended, now_ms)
    rows = [scene_row("team", video_id, place, f"{place} 고양이가 잔다") for place in range(count)]
    await door.catalog.commit_revision(
        "team", video_id, 1, scenes=rows, language=language, now_ms=now_ms, records=[]
    )  # fmt: skip
    return rows


def found_by_all(door: Door, rows: Sequence[SceneRow]) -> None:
    """Let every channel find scenes, the first one best."""
    videos = {row_id(row.scene_id, row.revision): row.video_id for row in rows}
    door.stores.text.hits = [said(row, 9.0 - n, video=video) for n, (row, video) in enumerate(videos.items())]
    for vectors in (door.stores.dense, door.stores.vision):
        vectors.cosines, vectors.videos = {row: 0.5 - n / 100 for n, row in enumerate(videos)}, videos


def scene_ids(answer: pb.SearchScenesResponse) -> list[str]:
    return [hit.scene.scene_id for hit in answer.hits]


async def test_languages_and_times_are_looked_up_and_told_to_the_stores(door: Door) -> None:
    korean, english = await index(door, b"one", "ko"), await index(door, b"two", "en")
    found_by_all(door, [*korean, *english])
    now_s = int(time.time())
    narrow = pb.SearchFilter(
        languages=["ko-KR", "fr"],
        uploaded_from=Timestamp(seconds=now_s - 600),
        uploaded_to=Timestamp(seconds=now_s + 600),
        offset_from=Duration(nanos=500_000_000),
    )
    await done(door, filter=narrow)
    scope = Scope((korean[0].video_id,), 500, None)
    assert door.stores.text.queries[-1].scope == scope
    assert door.stores.dense.scopes[-1] == door.stores.vision.scopes[-1] == scope


@pytest.mark.parametrize(
    "narrow",
    [
        pb.SearchFilter(languages=["fr"]),
        pb.SearchFilter(uploaded_to=Timestamp(seconds=1)),
        pb.SearchFilter(uploaded_from=Timestamp(seconds=4_000_000_000)),
    ],
)
async def test_no_video_that_matches_is_an_empty_answer(door: Door, narrow: pb.SearchFilter) -> None:
    found_by_all(door, await index(door, b"one", "ko"))
    (answer,) = await frames(door, filter=narrow)
    assert (scene_ids(answer), answer.summary.match_quality) == ([], pb.MATCH_QUALITY_NONE)
    assert answer.summary.parsed.words == "고양이"
    assert door.stores.text.queries == []


async def test_scenes_with_somebody_can_be_left_out(door: Door) -> None:
    rows = await index(door, b"one", "ko", count=3)
    found_by_all(door, rows)
    await enrol(door, "민지")
    with_minji = [Match(rows[1].scene_id, PERSON_ID, 0.9)]
    await door.catalog.write_matches(
        "team", rows[1].video_id, 1, gallery_version=1, matches=with_minji, now_ms=1
    )  # fmt: skip
    without = pb.SearchFilter(excluded_person_ids=[PERSON_ID])
    for frame in await frames(door, filter=without):
        assert scene_ids(frame) == [rows[0].scene_id, rows[2].scene_id]
    assert len((await done(door)).hits) == 3


async def test_excluded_words_leave_scenes_out_and_are_told(door: Door) -> None:
    rows = await index(door, b"one", "ko", count=3)
    found_by_all(door, rows)
    door.stores.text.held = {row_id(rows[0].scene_id, 1): {"개"}, row_id(rows[2].scene_id, 1): {"하얀 새"}}
    answer = await done(door, '고양이 -개 −"하얀 새"')
    assert scene_ids(answer) == [rows[1].scene_id]
    assert list(answer.summary.parsed.excluded) == ["개", "하얀 새"]
    assert answer.summary.parsed.words == "고양이"
    assert (await refused(frames_of(door, "-개"))).details["BadRequest"].field_violations[0].field == "query"


def frames_of(door: Door, query: str, **fields: Any) -> Any:
    return door.search.SearchScenes(pb.SearchScenesRequest(query=query, **fields), metadata=door.auth())


async def test_what_cannot_be_checked_is_unavailable(door: Door) -> None:
    found_by_all(door, await index(door, b"one", "ko"))
    door.stores.text.holder.error = DependencyUnavailable("opensearch", "is down")
    assert (await refused(frames_of(door, "고양이 -개"))).code == grpc.StatusCode.UNAVAILABLE


async def test_tags_are_a_query_of_their_own(door: Door) -> None:
    rows = await index(door, b"one", "ko")
    found_by_all(door, rows)
    answer = await done(door, "", filter=pb.SearchFilter(tags=["cat"]))
    assert sorted(scene_ids(answer)) == sorted(row.scene_id for row in rows)
    assert list(answer.answered) == [pb.CHANNEL_TAGS]
    assert door.stores.text.queries[-1].tags == ("cat",)
    assert answer.summary.match_quality == pb.MATCH_QUALITY_SUPPORTED


async def test_keys_of_a_latin_keyboard_are_read_and_it_is_told(door: Door) -> None:
    answer = await done(door, "rhdiddl")
    assert (answer.summary.parsed.read_as, answer.summary.parsed.words) == ("고양이", "고양이")
    assert door.stores.text.queries[-1].text == "고양이"


async def test_a_page_is_of_the_same_filter(door: Door) -> None:
    rows = await index(door, b"one", "ko", count=3)
    found_by_all(door, rows)
    narrow = pb.SearchFilter(tags=["cat"], languages=["ko"])
    first = await done(door, page_size=1, filter=narrow)
    assert first.next_page_token
    second = await done(door, page_size=1, page_token=first.next_page_token, filter=narrow)
    assert scene_ids(second) == [rows[1].scene_id]
    other = pb.SearchFilter(tags=["cat"], languages=["en"])
    call = frames_of(door, "고양이", page_size=1, page_token=first.next_page_token, filter=other)
    assert (await refused(call)).reason == "INVALID_PAGE_TOKEN"


async def test_scenes_like_another_are_filtered_likewise(door: Door) -> None:
    rows, others = await index(door, b"one", "ko", count=1), await index(door, b"two", "ko", count=3)
    found_by_all(door, [*rows, *others])
    await enrol(door, "민지")
    await door.catalog.write_matches(
        "team", others[1].video_id, 1, gallery_version=1, matches=[Match(others[1].scene_id, PERSON_ID, 0.9)], now_ms=1
    )

    async def like(**narrow: Any) -> list[str]:
        request = pb.FindSimilarRequest(scene_id=rows[0].scene_id, filter=pb.SearchFilter(**narrow))
        answer = await door.search.FindSimilar(request, metadata=door.auth())
        return [hit.scene.scene_id for hit in answer.hits]

    every = [row.scene_id for row in others]
    assert await like(tags=["cat"], languages=["ko"]) == every
    assert await like(excluded_person_ids=[PERSON_ID]) == [every[0], every[2]]
    assert await like(tags=["dog"]) == []
    assert await like(languages=["en"]) == []
