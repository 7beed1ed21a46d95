"""People over gRPC: enrolled by photos with a verdict each, listed, erased with their photos."""

from __future__ import annotations

import asyncio
import io
import time
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from adapters.models.faces.fake import VERSION, draw_face
from contracts import codec
from contracts.errors import DependencyUnavailable
from heimdex.events.v1 import events_pb2
from heimdex.people.v1 import people_service_pb2 as pb
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from tests.component.gateway.door import Door, refused

RED, BLUE = (200, 30, 30), (30, 30, 200)
DAY_MS, QUARTER_MS = 86_400_000, 15 * 60_000


def photo(*colours: tuple[int, int, int]) -> bytes:
    """Return a PNG with a face of each colour."""
    image = np.zeros((80, 16 + 64 * max(1, len(colours)), 3), np.uint8)
    for place, colour in enumerate(colours):
        draw_face(image, (8 + 64 * place, 8, 56, 56), colour)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


async def uploaded(door: Door, *bodies: bytes, tenant: str = "team", **fields: Any) -> list[str]:
    """Return the ids of completed uploads of photos."""
    fields = {"purpose": upload_pb2.UPLOAD_PURPOSE_PERSON_PHOTO, "content_type": "image/png"} | fields
    return [(await door.upload(body, tenant=tenant, **fields)).upload.upload_id for body in bodies]


def enrolment(upload_ids: Sequence[str], **fields: Any) -> pb.EnrolPersonRequest:
    values = {"display_name": "민지", "upload_ids": upload_ids, "request_id": "r"} | fields
    return pb.EnrolPersonRequest(**values)


async def enrol(door: Door, *bodies: bytes, tenant: str = "team", **fields: Any) -> pb.Person:
    request = enrolment(await uploaded(door, *bodies, tenant=tenant), **fields)
    person: pb.Person = (await door.people.EnrolPerson(request, metadata=door.auth(tenant))).person
    return person


async def erase(door: Door, person_id: str, request_id: str = "d") -> None:
    request = pb.DeletePersonRequest(person_id=person_id, request_id=request_id)
    await door.people.DeletePerson(request, metadata=door.auth())


async def events(door: Door) -> list[Any]:
    return [codec.decode(row.record) for row in await door.catalog.pending()]


@pytest.fixture(autouse=True)
async def _faces_on(door: Door) -> None:
    await door.catalog.set_faces("team", True)


async def test_somebody_is_enrolled_by_the_photos_that_are_good(door: Door) -> None:
    person = await enrol(
        door,
        photo(RED),
        b"a letter",
        photo(),
        photo(RED, BLUE),
        photo(RED),
        display_name="민지",
        aliases=["Minji", "민쥐"],
    )
    assert [p.verdict for p in person.photos] == [
        pb.PHOTO_VERDICT_ACCEPTED, pb.PHOTO_VERDICT_NOT_AN_IMAGE, pb.PHOTO_VERDICT_NO_FACE,
        pb.PHOTO_VERDICT_SEVERAL_FACES, pb.PHOTO_VERDICT_ACCEPTED,
    ]  # fmt: skip
    assert [p.file_name for p in person.photos] == ["film.mp4"] * 5
    assert (person.display_name, list(person.aliases)) == ("민지", ["Minji", "민쥐"])
    assert (person.scene_count, person.matched) == (0, False)
    assert person.create_time.seconds > 0
    assert person == await get(door, person.person_id)
    version, gallery = await door.catalog.gallery("team")
    assert version == 1
    assert [known.model_version for known in gallery] == [VERSION]
    vectors = [np.frombuffer(each.vector, "<f4") for each in gallery[0].photos]
    assert [tuple(np.round(vector[:3] * 255).astype(int)) for vector in vectors] == [RED, RED]


async def test_enrolment_is_told_once(door: Door) -> None:
    upload_ids = await uploaded(door, photo(RED))
    answers = [await door.people.EnrolPerson(enrolment(upload_ids), metadata=door.auth()) for _ in range(2)]
    assert answers[0] == answers[1]
    assert door.photos.read == 1
    (event,) = await events(door)
    assert isinstance(event, events_pb2.PersonEnrolled)
    assert (event.tenant_id, event.person_id) == ("team", answers[0].person.person_id)
    assert event.gallery_version == 1
    reused = await refused(door.people.EnrolPerson(enrolment(upload_ids, display_name="수지"), metadata=door.auth()))
    assert (reused.code, reused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_two_enrolments_of_one_request_at_once_are_one(door: Door) -> None:
    request = enrolment(await uploaded(door, photo(RED)))
    answers = await asyncio.gather(*(door.people.EnrolPerson(request, metadata=door.auth()) for _ in range(4)))
    assert len({answer.person.person_id for answer in answers}) == 1
    assert len(await events(door)) == 1
    assert len(await listed(door)) == 1


async def test_no_good_photo_says_what_is_wrong_with_each(door: Door) -> None:
    upload_ids = await uploaded(door, b"a letter", photo(), photo(RED, BLUE))
    none = await refused(door.people.EnrolPerson(enrolment(upload_ids), metadata=door.auth()))
    assert (none.code, none.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_PHOTO_ACCEPTED")
    assert none.metadata == dict(zip(upload_ids, ("NOT_AN_IMAGE", "NO_FACE", "SEVERAL_FACES"), strict=True))
    assert await events(door) == []
    assert await listed(door) == []


async def test_faces_that_are_off_enrol_nobody(door: Door) -> None:
    await door.catalog.set_faces("team", False)
    upload_ids = await uploaded(door, photo(RED))
    off = await refused(door.people.EnrolPerson(enrolment(upload_ids), metadata=door.auth()))
    assert (off.code, off.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FACES_DISABLED")
    assert door.photos.read == 0


async def test_photos_whose_bytes_are_not_there(door: Door) -> None:
    waiting = await door.create(photo(RED), purpose=upload_pb2.UPLOAD_PURPOSE_PERSON_PHOTO)
    early = await refused(door.people.EnrolPerson(enrolment([waiting.upload_id]), metadata=door.auth()))
    assert (early.reason, early.metadata) == ("UPLOAD_INCOMPLETE", {"upload_id": waiting.upload_id})
    abort = upload_pb2.AbortUploadRequest(upload_id=waiting.upload_id, request_id="a")
    await door.uploads.AbortUpload(abort, metadata=door.auth())
    closed = await refused(door.people.EnrolPerson(enrolment([waiting.upload_id]), metadata=door.auth()))
    assert (closed.code, closed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_CLOSED")
    (swept,) = await uploaded(door, photo(RED))
    await door.objects.purge(f"t/team/u/{swept}/")
    gone = await refused(door.people.EnrolPerson(enrolment([swept]), metadata=door.auth()))
    assert gone.reason == "UPLOAD_CLOSED"


async def test_a_video_is_no_photo(door: Door) -> None:
    upload_ids = [*await uploaded(door, photo(RED)), (await door.upload(b"film")).upload.upload_id]
    wrong = await refused(door.people.EnrolPerson(enrolment(upload_ids), metadata=door.auth()))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == ["upload_ids[1]"]


async def test_a_photo_serves_one_enrolment(door: Door) -> None:
    upload_ids = await uploaded(door, photo(RED))
    await door.people.EnrolPerson(enrolment(upload_ids), metadata=door.auth())
    twice = await refused(door.people.EnrolPerson(enrolment(upload_ids, request_id="another"), metadata=door.auth()))
    assert (twice.reason, twice.metadata) == ("UPLOAD_CLOSED", {"upload_id": upload_ids[0]})


async def test_without_the_reader_of_photos_enrolment_is_to_be_tried_again(door: Door) -> None:
    request = enrolment(await uploaded(door, photo(RED)))
    door.photos.error = DependencyUnavailable("inference", "is away")
    away = await refused(door.people.EnrolPerson(request, metadata=door.auth()))
    assert (away.code, away.metadata) == (grpc.StatusCode.UNAVAILABLE, {"dependency": "inference"})
    assert "RetryInfo" in away.details
    door.photos.error = None
    assert (await door.people.EnrolPerson(request, metadata=door.auth())).person.person_id


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"display_name": ""}, "display_name"),
        ({"display_name": "  "}, "display_name"),
        ({"display_name": "가" * 101}, "display_name"),
        ({"display_name": "민\x07지"}, "display_name"),
        ({"aliases": ["a"] * 21}, "aliases"),
        ({"aliases": ["a", ""]}, "aliases[1]"),
        ({"upload_ids": []}, "upload_ids"),
        ({"upload_ids": ["vid_00000000000000000000000000"]}, "upload_ids[0]"),
        ({"upload_ids": [f"upl_{n:026d}" for n in range(21)]}, "upload_ids"),
        ({"request_id": ""}, "request_id"),
    ],
)
async def test_enrolments_that_cannot_be_asked_for(door: Door, fields: dict[str, Any], path: str) -> None:
    request = enrolment(**{"upload_ids": ["upl_00000000000000000000000000"]} | fields)
    wrong = await refused(door.people.EnrolPerson(request, metadata=door.auth()))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == [path]


async def test_names_are_composed_and_each_is_kept_once(door: Door) -> None:
    decomposed = unicodedata.normalize("NFD", "민지")
    person = await enrol(door, photo(RED), display_name=f" {decomposed} ", aliases=["민지", "Minji", "Minji"])
    assert (person.display_name, list(person.aliases)) == ("민지", ["Minji"])


async def test_people_are_listed_by_name_in_pages(door: Door) -> None:
    for number, name in enumerate(("지우", "민지", "Ann", "민지", "하나")):
        await enrol(door, photo(RED), display_name=name, request_id=str(number))
    assert [person.display_name for person in await listed(door)] == ["Ann", "민지", "민지", "지우", "하나"]
    seen: list[str] = []
    token = ""
    while True:
        page = await door.people.ListPeople(pb.ListPeopleRequest(page_size=2, page_token=token), metadata=door.auth())
        seen += [person.person_id for person in page.people]
        token = page.next_page_token
        if not token:
            break
    assert len(set(seen)) == len(seen) == 5
    first = await door.people.ListPeople(pb.ListPeopleRequest(page_size=2), metadata=door.auth())
    for fields, who in (
        ({"page_size": -1}, "ann"),
        ({"page_size": 201}, "ann"),
        ({"page_token": "x"}, "ann"),
        ({"page_token": first.next_page_token}, "bob"),
    ):
        wrong = await refused(door.people.ListPeople(pb.ListPeopleRequest(**fields), metadata=door.auth(user=who)))
        assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_somebody_erased_is_gone_with_the_photos(door: Door) -> None:
    person = await enrol(door, photo(RED), photo(BLUE))
    assert len([info async for info in door.objects.list("t/team/u/")]) == 2
    await erase(door, person.person_id)
    await erase(door, person.person_id)  # a replay
    assert [info async for info in door.objects.list("t/team/")] == []
    assert (await refused(get(door, person.person_id))).code is grpc.StatusCode.NOT_FOUND
    assert await listed(door) == []
    enrolled, deleted = await events(door)
    assert isinstance(enrolled, events_pb2.PersonEnrolled)
    assert isinstance(deleted, events_pb2.PersonDeleted)
    assert (deleted.person_id, deleted.gallery_version) == (person.person_id, 2)
    again = await refused(erase(door, person.person_id, "another"))
    assert (again.code, again.details["ResourceInfo"].resource_name) == (grpc.StatusCode.NOT_FOUND, person.person_id)


async def test_photos_that_could_not_be_purged_are_swept_later(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await enrol(door, photo(RED))

    async def away(prefix: str) -> int:
        raise DependencyUnavailable("objects", "is away")

    with monkeypatch.context() as broken:
        broken.setattr(door.objects, "purge", away)
        await erase(door, person.person_id)
    now_ms = time.time_ns() // 1_000_000
    due = await door.catalog.expire_uploads(now_ms + QUARTER_MS + 60_000)
    assert [upload.upload_id for upload in due] == [person.photos[0].upload_id]


async def test_photos_of_somebody_enrolled_stay_and_refused_ones_go_after_a_day(door: Door) -> None:
    person = await enrol(door, photo(RED), photo())
    due = await door.catalog.expire_uploads(time.time_ns() // 1_000_000 + 2 * DAY_MS)
    assert [upload.upload_id for upload in due] == [person.photos[1].upload_id]


@pytest.mark.parametrize("person_id", ["", "x", "vid_00000000000000000000000000", "per_../../etc/passwd"])
async def test_ids_that_are_none(door: Door, person_id: str) -> None:
    calls: list[Callable[[], Awaitable[Any]]] = [lambda: get(door, person_id), lambda: erase(door, person_id)]
    for call in calls:
        wrong = await refused(call())
        assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def get(door: Door, person_id: str) -> pb.Person:
    request = pb.GetPersonRequest(person_id=person_id)
    person: pb.Person = (await door.people.GetPerson(request, metadata=door.auth())).person
    return person


async def listed(door: Door) -> list[pb.Person]:
    return list((await door.people.ListPeople(pb.ListPeopleRequest(), metadata=door.auth())).people)
