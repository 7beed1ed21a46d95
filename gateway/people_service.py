"""People service: EnrolPerson, GetPerson, ListPeople, DeletePerson."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import structlog

from contracts import facts, ids
from contracts.catalog import Catalog, Person, Photo, Upload
from contracts.errors import HeimdexError, InvalidRequest, PreconditionFailed
from contracts.ports import Clock, FaceModel, Objects, PhotoReader
from gateway import identity, people, validation
from gateway.images import PERSON_PHOTO, Images
from gateway.pages import PageTokens
from gateway.people import ACCEPTED, NOT_AN_IMAGE
from gateway.requests import idempotency
from heimdex.people.v1 import people_service_pb2 as pb
from heimdex.people.v1.people_service_pb2_grpc import PeopleServiceServicer

MAX_PHOTOS: Final = 20
_SCOPE: Final = "ListPeople"

_log = structlog.get_logger()


class PeopleService(PeopleServiceServicer):
    """The tenant's enrolled people."""

    def __init__(
        self,
        catalog: Catalog,
        objects: Objects,
        pages: PageTokens,
        clock: Clock,
        *,
        photos: PhotoReader,
        faces: FaceModel,
    ) -> None:
        """Wire; ``faces`` says what a photo must be like to be compared, and loads nothing."""
        self._catalog = catalog
        self._objects = objects
        self._images = Images(catalog, objects)
        self._photos = photos
        self._faces = faces
        self._pages = pages
        self._clock = clock

    async def EnrolPerson(self, request: pb.EnrolPersonRequest, context: Any) -> pb.EnrolPersonResponse:
        """Look at the photos and enrol whom they show, or find whom this ``request_id`` has enrolled before.

        Nothing is written before the one transaction that enrols, so there is nothing to take back.
        """
        who = identity.principal()
        call = idempotency(who, "EnrolPerson", request)
        name, aliases = people.names(request.display_name, request.aliases)
        if not request.upload_ids:
            raise validation.invalid("upload_ids", "is required")
        upload_ids = validation.resource_ids(request.upload_ids, "upload_ids", "upl", most=MAX_PHOTOS)
        known = await self._catalog.replay(call)
        if known is not None:
            return pb.EnrolPersonResponse(person=people.to_proto(await self._catalog.get_person(who.tenant_id, known)))
        tenant = await self._catalog.tenant(who.tenant_id)
        if not tenant.faces_enabled:
            raise PreconditionFailed("faces are switched off for this tenant", reason="FACES_DISABLED")
        uploads = [
            await self._images.completed(who.tenant_id, upload_id, PERSON_PHOTO, f"upload_ids[{index}]")
            for index, upload_id in enumerate(upload_ids)
        ]
        photos = [await self._look(upload) for upload in uploads]  # one by one: so does the process that reads them
        if not any(photo.verdict == ACCEPTED for photo in photos):
            verdicts = {photo.upload_id: photo.verdict for photo in photos}
            raise PreconditionFailed("no photo shows one clear face", reason="NO_PHOTO_ACCEPTED", metadata=verdicts)
        person_id, now_ms = ids.new_id("per"), self._clock.now_ms()
        wanted = Person(
            person_id=person_id,
            tenant_id=who.tenant_id,
            display_name=name,
            aliases=aliases,
            photos=tuple(photos),
            create_ms=now_ms,
            model_version=self._faces.version,
        )
        record = facts.person_enrolled(who.tenant_id, person_id, tenant.gallery_version + 1, now_ms)
        enrolled = await self._catalog.create_person(wanted, call, [record])
        return pb.EnrolPersonResponse(person=people.to_proto(enrolled))

    async def GetPerson(self, request: pb.GetPersonRequest, context: Any) -> pb.GetPersonResponse:
        """Return one person."""
        person_id = validation.resource_id(request.person_id, "person_id", "per")
        person = await self._catalog.get_person(identity.principal().tenant_id, person_id)
        return pb.GetPersonResponse(person=people.to_proto(person))

    async def ListPeople(self, request: pb.ListPeopleRequest, context: Any) -> pb.ListPeopleResponse:
        """Return a page of people by display name."""
        who = identity.principal()
        size = validation.page_size(request.page_size)
        now_ms = self._clock.now_ms()
        after = None
        if request.page_token:
            name, person_id = json.loads(self._pages.open(who, _SCOPE, request.page_token, now_ms=now_ms))
            after = (name, person_id)
        found = await self._catalog.list_people(who.tenant_id, limit=size + 1, after=after)
        page = found[:size]
        token = ""
        if len(found) > size:
            cursor = json.dumps((page[-1].display_name, page[-1].person_id)).encode()
            token = self._pages.seal(who, _SCOPE, cursor, now_ms=now_ms)
        return pb.ListPeopleResponse(people=[people.to_proto(person) for person in page], next_page_token=token)

    async def DeletePerson(self, request: pb.DeletePersonRequest, context: Any) -> pb.DeletePersonResponse:
        """Erase a person from what is shown, then the bytes of the photos."""
        who = identity.principal()
        call = idempotency(who, "DeletePerson", request)
        person_id = validation.resource_id(request.person_id, "person_id", "per")
        tenant = await self._catalog.tenant(who.tenant_id)
        record = facts.person_deleted(who.tenant_id, person_id, tenant.gallery_version + 1, self._clock.now_ms())
        keys = await self._catalog.delete_person(who.tenant_id, person_id, call, [record])
        await self._purge(person_id, keys)
        return pb.DeletePersonResponse()

    # ---- photos ---------------------------------------------------------------------------------------

    async def _look(self, upload: Upload) -> Photo:
        """Return a photo with its verdict, and where it is accepted with its vector."""
        image = await self._images.read(upload)
        try:
            found = await self._photos.faces(image)
        except InvalidRequest:
            return Photo(upload.upload_id, upload.file_name, NOT_AN_IMAGE)
        verdict, face = people.judge(
            [face for face, _, _ in found],
            min_face_px=self._faces.min_face_px,
            min_sharpness=self._faces.min_sharpness,
        )
        if face is None:
            return Photo(upload.upload_id, upload.file_name, verdict)
        vector = np.asarray(face.vector, "<f4").tobytes()
        return Photo(upload.upload_id, upload.file_name, verdict, upload.object_key, vector)

    async def _purge(self, person_id: str, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                await self._objects.purge(key)
            except HeimdexError as error:
                # Their uploads are closed in the same transaction as the person: the reconciler sweeps what is left.
                _log.warning("bytes of a photo left", person_id=person_id, reason=error.reason)
