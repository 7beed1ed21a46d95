"""Tenants: every RPC there is, with another tenant's ids and with tokens that are none."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from contracts.ids import new_id, row_id
from heimdex.search.v1 import search_service_pb2 as search_pb2
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from heimdex.video.v1 import video_service_pb2 as video_service
from tests.component.gateway.door import Door, create_request, refused
from tests.component.gateway.services import call, methods, request_of, services
from tests.component.gateway.test_people import RED, enrol, photo, uploaded
from tests.unit.search.fakes import said

BODY = b"the owner's film"


@dataclass(frozen=True)
class Theirs:
    """Ids of what one tenant has."""

    video_id: str
    scene_id: str
    open_upload_id: str
    photo_upload_id: str
    person_id: str


@dataclass(frozen=True)
class Attempt:
    """What another tenant asks for, and what it gets: NOT_FOUND, or an answer that ``harmless`` finds nothing in."""

    fields: Callable[[Theirs], Mapping[str, Any]]
    harmless: Callable[[Any], bool] | None = None


def _video(theirs: Theirs) -> Mapping[str, Any]:
    return {"video_id": theirs.video_id}


def _upload(theirs: Theirs) -> Mapping[str, Any]:
    return {"upload_id": theirs.open_upload_id}


def _search(theirs: Theirs) -> Mapping[str, Any]:
    return {"query": "고양이", "filter": search_pb2.SearchFilter(video_ids=[theirs.video_id])}


def _new_upload(_: Theirs) -> Mapping[str, Any]:
    return {field.name: value for field, value in create_request(BODY).ListFields()}


ATTEMPTS: Mapping[str, Attempt] = {
    # The same content: what others have is nobody's business.
    "UploadService.CreateUpload": Attempt(
        _new_upload, lambda answer: answer.upload.state == upload_pb2.UPLOAD_STATE_OPEN
    ),
    "UploadService.GetUpload": Attempt(_upload),
    "UploadService.CreateUploadPartUrls": Attempt(_upload),
    "UploadService.CompleteUpload": Attempt(lambda t: {**_upload(t), "request_id": "r"}),
    "UploadService.AbortUpload": Attempt(lambda t: {**_upload(t), "request_id": "r"}),
    "VideoService.GetVideo": Attempt(_video),
    "VideoService.ListVideos": Attempt(lambda _: {}, lambda answer: not answer.videos),
    "VideoService.WatchVideo": Attempt(_video),
    "VideoService.WatchVideos": Attempt(
        lambda _: {}, lambda frame: frame == video_service.WatchVideosResponse(kind=video_service.WATCH_KIND_HEARTBEAT)
    ),
    "VideoService.GetPlaybackUrl": Attempt(_video),
    "VideoService.ReprocessVideo": Attempt(lambda t: {**_video(t), "request_id": "r"}),
    "VideoService.DeleteVideo": Attempt(lambda t: {**_video(t), "request_id": "r"}),
    "SceneService.GetScene": Attempt(lambda t: {"scene_id": t.scene_id}),
    "SceneService.ListScenes": Attempt(_video),
    "SceneService.ListNeighbours": Attempt(lambda t: {"scene_id": t.scene_id, "after": 1}),
    "SceneService.GetSceneMedia": Attempt(lambda t: {"scene_ids": [t.scene_id]}, lambda answer: not answer.media),
    "SearchService.SearchScenes": Attempt(_search, lambda frame: not frame.hits and not frame.summary.total_hits),
    "SearchService.FindSimilar": Attempt(lambda t: {"scene_id": t.scene_id}),
    "SearchService.SuggestQueries": Attempt(lambda _: {"text": "고"}, lambda answer: not answer.suggestions),
    "SearchService.RecordFeedback": Attempt(
        lambda t: {
            "request_id": "r",
            "query_id": new_id("qry"),
            "kind": search_pb2.FEEDBACK_KIND_OPENED,
            "scene_id": t.scene_id,
        }
    ),
    "PeopleService.EnrolPerson": Attempt(
        lambda t: {"display_name": "민지", "upload_ids": [t.photo_upload_id], "request_id": "r"}
    ),
    "PeopleService.GetPerson": Attempt(lambda t: {"person_id": t.person_id}),
    "PeopleService.ListPeople": Attempt(lambda _: {}, lambda answer: not answer.people),
    "PeopleService.DeletePerson": Attempt(lambda t: {"person_id": t.person_id, "request_id": "r"}),
}

ADMINISTRATION = {name: method for name, method in methods().items() if name.startswith("AdminService.")}
"""Of the deployment, not of a tenant: for administrators of whatever tenant, and for nobody else."""

OF_TENANTS = {name: method for name, method in methods().items() if name not in ADMINISTRATION}


@pytest.fixture
async def theirs(door: Door) -> Theirs:
    """Whatever a tenant can have; the stores of search give it away to anybody who asks."""
    await door.catalog.set_faces("team", True)
    await door.catalog.set_faces("others", True)
    scene, *_ = await door.index(BODY, "고양이가 잔다")
    row = row_id(scene.scene_id, scene.revision)
    door.stores.text.hits = [said(row, 9.0, tag_score=1.0)]
    door.stores.dense.cosines = door.stores.vision.cosines = {row: 0.95}
    person = await enrol(door, photo(RED))
    (photo_upload_id,) = await uploaded(door, photo(RED))
    return Theirs(
        scene.video_id, scene.scene_id, (await door.create(b"waiting")).upload_id, photo_upload_id, person.person_id
    )


def test_every_rpc_is_tried() -> None:
    assert OF_TENANTS.keys() == ATTEMPTS.keys(), "a new RPC needs an attempt"


async def test_every_service_is_served_here(door: Door) -> None:
    channel: Any = door.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    async for answer in stub.ServerReflectionInfo(asked):
        names = {service.name for service in answer.list_services_response.service}
        assert {name for name in names if name.startswith("heimdex.")} == services().keys()


@pytest.mark.parametrize("roles", [None, [], ["admins"], ["Admin"], "admin", {"admin": True}, [["admin"]]], ids=str)
@pytest.mark.parametrize("name", ADMINISTRATION)
async def test_administration_is_for_tokens_with_the_role(door: Door, name: str, roles: object) -> None:
    auth = door.auth(roles=roles)
    request = request_of(ADMINISTRATION[name])  # what is wrong with it is nobody else's business
    said_ = await refused(call(door.channel, ADMINISTRATION[name], request, auth))
    assert (said_.code, said_.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


@pytest.mark.parametrize("name", OF_TENANTS)
async def test_another_tenants_things_are_not_there(door: Door, theirs: Theirs, name: str) -> None:
    method, attempt = methods()[name], ATTEMPTS[name]
    await _owner_sees_everything(door, theirs)
    request = request_of(method, **attempt.fields(theirs))
    begun = call(door.channel, method, request, door.auth("others"))
    if attempt.harmless is None:
        said_ = await refused(begun)
        assert (said_.code, said_.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        assert said_.details["ResourceInfo"].resource_name in str(request)
    else:
        answer = await begun.read() if method.server_streaming else await begun
        assert attempt.harmless(answer), answer
    await _owner_sees_everything(door, theirs)


async def _owner_sees_everything(door: Door, theirs: Theirs) -> None:
    """The attempts would succeed for the owner, and harm nothing for another."""
    auth = door.auth()
    by_name = methods()
    for name in (
        "UploadService.GetUpload", "VideoService.GetVideo", "SceneService.GetScene", "PeopleService.GetPerson",
        "SearchService.SearchScenes", "VideoService.GetPlaybackUrl",
    ):  # fmt: skip
        method = by_name[name]
        begun = call(door.channel, method, request_of(method, **ATTEMPTS[name].fields(theirs)), auth)
        if method.server_streaming:
            assert [frame async for frame in begun][-1].hits
        else:
            await begun
    assert (await door.catalog.get_upload("team", theirs.open_upload_id)).state == "open"
    assert (await door.catalog.get_video("team", theirs.video_id)).state == "indexed"


# ---- tokens ---------------------------------------------------------------------------------------------------


def _tampered(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    other = json.dumps(claims | {"tenant_id": "others"}).encode()
    return f"{head}.{base64.urlsafe_b64encode(other).decode().rstrip('=')}.{signature}"


TOKENS: Mapping[str, tuple[Callable[[Door], str], str, str]] = {
    "missing": (lambda _: "", "INVALID_TOKEN", "MISSING"),
    "expired": (lambda door: door.signer.token(ttl_s=-60), "TOKEN_EXPIRED", ""),
    "tampered": (lambda door: _tampered(door.signer.token()), "INVALID_TOKEN", "BAD_SIGNATURE"),
    "wrong audience": (lambda door: door.signer.token(aud="another"), "INVALID_TOKEN", "WRONG_AUDIENCE"),
}


@pytest.mark.parametrize("kind", TOKENS)
async def test_no_rpc_answers_without_a_good_token(door: Door, kind: str) -> None:
    make, reason, cause = TOKENS[kind]
    token = make(door)
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    for name, method in methods().items():
        said_ = await refused(call(door.channel, method, request_of(method), metadata))
        assert (said_.code, said_.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason), name
        assert said_.metadata.get("cause", "") == cause, name


# ---- idempotency ----------------------------------------------------------------------------------------------


_READS = ("Get", "List", "Watch", "Search", "Find", "Suggest")


def _mutates(method: MethodDescriptor) -> bool:
    return not method.name.startswith(_READS) and method.name != "CreateUploadPartUrls"


@pytest.mark.parametrize("name", [name for name, method in methods().items() if _mutates(method)])
async def test_every_mutating_rpc_wants_a_request_id(door: Door, theirs: Theirs, name: str) -> None:
    method = methods()[name]
    fields = dict(ATTEMPTS[name].fields(theirs)) | {"request_id": ""} if name in ATTEMPTS else {}
    said_ = await refused(call(door.channel, method, request_of(method, **fields), door.auth(roles=["admin"])))
    assert (said_.code, said_.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [v.field for v in said_.details["BadRequest"].field_violations] == ["request_id"]
