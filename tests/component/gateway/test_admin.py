"""Administration over a real channel: generations with words of the deployment's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from heimdex.admin.v1 import admin_service_pb2 as pb
from tests.component.gateway.door import GENERATION, Door, refused

WORDS = pb.Vocabulary(
    dictionary=["에어팟", "주문상세내역 주문 상세 내역"], synonyms=[pb.Synonyms(words=["갓생", "모범생활"])]
)


async def ask(door: Door, method: str, request: Any) -> Any:
    return await getattr(door.admin, method)(request, metadata=door.auth(roles=["admin"]))


async def deny(door: Door, method: str, request: Any) -> Any:
    return await refused(getattr(door.admin, method)(request, metadata=door.auth(roles=["admin"])))


async def create(door: Door, request_id: str = "r", **fields: Any) -> pb.Generation:
    request = pb.CreateGenerationRequest(**{"vocabulary": WORDS, "request_id": request_id, **fields})
    made: pb.Generation = (await ask(door, "CreateGeneration", request)).generation
    return made


async def get(door: Door, number: int = 0) -> pb.Generation:
    found: pb.Generation = (await ask(door, "GetGeneration", pb.GetGenerationRequest(generation=number))).generation
    return found


async def listed(door: Door) -> Sequence[pb.Generation]:
    answer: pb.ListGenerationsResponse = await ask(door, "ListGenerations", pb.ListGenerationsRequest())
    return answer.generations


async def build(door: Door, number: int = 2) -> None:
    """Do what the builder does in the catalogue."""
    await door.catalog.begin_build(number)
    await door.catalog.record_build(number, videos_done=3, videos_total=3, after_video_id="vid_3")
    await door.catalog.finish_build(number)


async def test_the_one_that_serves_has_no_words_of_its_own_at_first(door: Door) -> None:
    found = await get(door)
    assert (found.generation, found.state) == (1, pb.GENERATION_STATE_ACTIVE)
    assert found.vocabulary == pb.Vocabulary()
    assert (found.text_model, found.vision_model, found.ranking) == (
        GENERATION.text_model, GENERATION.vision_model, GENERATION.ranking,
    )  # fmt: skip
    assert found.created_by == ""


async def test_new_words_make_a_generation_that_is_built_and_promoted(door: Door) -> None:
    made = await create(door)
    assert (made.generation, made.state, made.vocabulary) == (2, pb.GENERATION_STATE_PENDING, WORDS)
    assert (made.created_by, made.text_model) == ("team/ann", GENERATION.text_model)
    assert made.create_time.ToMilliseconds() == made.update_time.ToMilliseconds() > 0
    await build(door)
    ready = await get(door, 2)
    assert (ready.state, ready.videos_done, ready.videos_total) == (pb.GENERATION_STATE_READY, 3, 3)
    promoted = await ask(door, "PromoteGeneration", pb.PromoteGenerationRequest(generation=2, request_id="p"))
    assert promoted.generation.state == pb.GENERATION_STATE_ACTIVE
    assert (await get(door)).vocabulary == WORDS
    assert [(each.generation, each.state) for each in await listed(door)] == [
        (1, pb.GENERATION_STATE_RETIRED), (2, pb.GENERATION_STATE_ACTIVE),
    ]  # fmt: skip
    assert not any(each.HasField("vocabulary") for each in await listed(door))


async def test_searches_read_what_was_promoted(door: Door) -> None:
    await create(door)
    await build(door)
    await ask(door, "PromoteGeneration", pb.PromoteGenerationRequest(generation=2, request_id="p"))
    assert (await door.catalog.active_generation()).text_index == "heimdex-scenes-2-a2"


async def test_the_same_request_answers_the_same(door: Door) -> None:
    first = await create(door)
    assert await create(door) == first
    said = await deny(door, "CreateGeneration", pb.CreateGenerationRequest(vocabulary=pb.Vocabulary(), request_id="r"))
    assert (said.code, said.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_words_that_can_be_none_are_named(door: Door) -> None:
    wrong = pb.Vocabulary(
        dictionary=["에어팟", "가나다 가나 라"],
        synonyms=[pb.Synonyms(words=["홀로"]), pb.Synonyms(words=["가", "나 다"])],
    )
    said = await deny(door, "CreateGeneration", pb.CreateGenerationRequest(vocabulary=wrong, request_id="r"))
    assert (said.code, said.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [violation.field for violation in said.details["BadRequest"].field_violations] == [
        "vocabulary.dictionary[1]", "vocabulary.synonyms[0].words", "vocabulary.synonyms[1].words[1]",
    ]  # fmt: skip
    assert len(await listed(door)) == 1


async def test_a_build_that_failed_says_why(door: Door) -> None:
    await create(door)
    await door.catalog.fail_build(2, reason="INVALID_FIELD", message="vocabulary.synonyms[0].words[1]: no")
    failed = await get(door, 2)
    assert failed.state == pb.GENERATION_STATE_FAILED
    assert failed.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert failed.error.message == "vocabulary.synonyms[0].words[1]: no"


async def test_one_at_a_time(door: Door) -> None:
    await create(door)
    said = await deny(door, "CreateGeneration", pb.CreateGenerationRequest(vocabulary=WORDS, request_id="other"))
    assert (said.code, said.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "GENERATION_STATE")
    assert said.metadata == {"generation": "2", "state": "PENDING"}


async def test_what_serves_is_not_dropped_and_what_does_not_goes(door: Door) -> None:
    await create(door)
    said = await deny(door, "DropGeneration", pb.DropGenerationRequest(generation=1, request_id="d"))
    assert (said.code, said.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "GENERATION_STATE")
    for request_id in ("d2", "d2", "d3"):
        await ask(door, "DropGeneration", pb.DropGenerationRequest(generation=2, request_id=request_id))
    assert (await get(door, 2)).state == pb.GENERATION_STATE_DROPPING
    await door.catalog.finish_drop(2)
    said = await deny(door, "GetGeneration", pb.GetGenerationRequest(generation=2))
    assert (said.code, said.details["ResourceInfo"].resource_name) == (grpc.StatusCode.NOT_FOUND, "2")


@pytest.mark.parametrize("number", [-1, 2**31, 2**62])
@pytest.mark.parametrize("method", ["GetGeneration", "PromoteGeneration", "DropGeneration"])
async def test_a_number_that_is_none(door: Door, method: str, number: int) -> None:
    request = getattr(pb, f"{method}Request")(generation=number)
    if method != "GetGeneration":
        request.request_id = "r"
    said = await deny(door, method, request)
    assert (said.code, said.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_only_get_takes_no_number_for_the_one_that_serves(door: Door) -> None:
    for method in ("PromoteGeneration", "DropGeneration"):
        said = await deny(door, method, getattr(pb, f"{method}Request")(request_id="r"))
        assert [violation.field for violation in said.details["BadRequest"].field_violations] == ["generation"]
