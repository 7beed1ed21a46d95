"""Search when what it needs stands still, or when more ask than are served well: typed, and in time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from contracts.catalog import Generation
from gateway.interceptors.admission import Admission
from gateway.interceptors.auth import Auth
from gateway.interceptors.errors import Errors
from heimdex.search.v1 import search_service_pb2 as pb
from tests.component.gateway.door import CLOCK, Door, Refusal, open_door, refusal, refused, until
from tests.component.gateway.test_pictures import png, uploaded
from tests.component.gateway.test_search import done, frames, library
from tests.unit.search.fakes import StillClock

DEADLINE_S = 1.5


def late(said: Refusal, dependency: str) -> None:
    """Check that a call was ended by the gateway before the client ended it."""
    assert (said.code, said.reason) == (grpc.StatusCode.UNAVAILABLE, "DEADLINE_EXCEEDED")
    assert said.metadata == {"dependency": dependency}
    assert "RetryInfo" in said.details


@pytest.mark.parametrize("method", ["SearchScenes", "FindSimilar", "SuggestQueries"])
async def test_a_catalogue_that_stands_still_is_said_to_before_the_clients_deadline(
    door: Door, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def never() -> Generation:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    monkeypatch.setattr(door.catalog, "active_generation", never)
    requests = {
        "SearchScenes": pb.SearchScenesRequest(query="고양이"),
        "FindSimilar": pb.FindSimilarRequest(scene_id="scn_00000000000000000000000000"),
        "SuggestQueries": pb.SuggestQueriesRequest(text="고"),
    }
    call = getattr(door.search, method)(requests[method], metadata=door.auth(), timeout=DEADLINE_S)
    late(await refused(call), "catalog")


async def test_a_picture_that_is_not_read_is_said_to_before_the_clients_deadline(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = await uploaded(door, png())

    async def never(image: bytes, *, version: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(door.photos, "encode_image", never)
    request = pb.SearchScenesRequest(image_upload_id=upload_id)
    late(await refused(door.search.SearchScenes(request, metadata=door.auth(), timeout=DEADLINE_S)), "inference")


async def outcome(door: Door, tenant: str, number: int) -> Refusal | pb.FrameKind.ValueType:
    """Return the kind of a search's last frame, or how it is refused."""
    call = door.search.SearchScenes(pb.SearchScenesRequest(query=f"고양이 {number}"), metadata=door.auth(tenant))
    try:
        kinds: list[pb.FrameKind.ValueType] = [frame.kind async for frame in call]
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    return kinds[-1]


async def test_of_many_searches_at_once_some_are_served_and_the_rest_is_told_when_to_come_back(tmp_path: Path) -> None:
    limits = {"unary": 8, "stream": 8, "SearchScenes": 8}
    still = StillClock()
    async with open_door(tmp_path, around=lambda v: (Errors(still), Auth(v), Admission(CLOCK, limits))) as door:
        await library(door)
        doors = (door.stores.text.door, door.stores.encoder.door)
        for each in doors:
            each.close()
        calls = [asyncio.ensure_future(outcome(door, "team", n)) for n in range(40)]
        await until(lambda: sum(call.done() for call in calls) == 36)
        others = [asyncio.ensure_future(outcome(door, "others", n)) for n in range(4)]
        await until(lambda: door.stores.text.door.entered == 8)
        full = await refused(frames(door, tenant="third"))
        assert (full.reason, full.metadata) == ("OVERLOADED", {"subject": "gateway"})
        with capture_logs() as lines:
            still.advance(1.0)
            await until(lambda: len(lines) == 2)
        assert [(line["tenant"], line["calls"]) for line in lines] == [("team", 36), ("third", 1)]
        for each in doors:
            each.opened.set()
        ended = await asyncio.gather(*calls)
        told = [one for one in ended if isinstance(one, Refusal)]
        served = [one for one in ended if not isinstance(one, Refusal)]
        assert (len(told), len(served)) == (36, 4)
        for one in told:
            assert (one.code, one.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert one.metadata == {"subject": "tenant"}
        delays_s = sorted(one.details["RetryInfo"].retry_delay.ToMilliseconds() / 1000 for one in told)
        assert (delays_s[0], delays_s[-1]) == (1.0, 10.0), "they come back one after another, not all at once"
        assert len({delay_s for delay_s in delays_s if delay_s < 10}) > 10
        assert set(served) == {pb.FRAME_KIND_DONE}
        assert set(await asyncio.gather(*others)) == {pb.FRAME_KIND_DONE}, "half of the room is left to others"
        assert (await done(door)).hits, "there is room again"
