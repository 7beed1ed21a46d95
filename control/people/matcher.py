"""Matcher: new faces, new videos, new people and erased people -> who is in which scene, in the catalogue.

It works on whatever is true when it looks, so the order of events and repetitions do not matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import structlog
from google.protobuf.message import DecodeError, Message

from contracts import codec, ids, plan
from contracts.catalog import Catalog, Match, Person
from contracts.errors import BadArtifact, HeimdexError, NotFound
from contracts.ports import Clock, FaceModel, Float32, Objects, Record
from contracts.work import has_result, read_artifact
from control.guard import insist
from control.people.match import Known, Seen, find_people
from heimdex.events.v1 import artifact_pb2, context_pb2, events_pb2, manifest_pb2

Parsed = TypeVar("Parsed", bound=Message)

_log = structlog.get_logger()


class Matcher:
    """Handler of control ``people``."""

    def __init__(self, catalog: Catalog, objects: Objects, faces: FaceModel, clock: Clock) -> None:
        """Wire; ``faces`` compares vectors only and loads nothing."""
        self._catalog = catalog
        self._objects = objects
        self._faces = faces
        self._clock = clock

    async def handle(self, record: Record) -> None:
        """Take one record. Raises BadArtifact and other permanent errors; what time heals is waited for."""
        message = codec.decode(record)
        match message:
            case events_pb2.FacesEmbedded() | events_pb2.VideoIndexed():
                await insist(lambda: self._look(message.context), self._clock, what="people")
            case events_pb2.PersonEnrolled():
                await self._enrolled(message)
            case events_pb2.PersonDeleted():
                await self._deleted(message)
            case _:
                raise BadArtifact(f"no fact for people: {message.DESCRIPTOR.full_name}")

    async def _look(self, context: context_pb2.EventContext) -> None:
        await self._match(context.tenant_id, context.video_id, context.revision)

    async def _enrolled(self, event: events_pb2.PersonEnrolled) -> None:
        """Look through every video that is there; what comes later is looked through with its own events."""
        async for video, _ in self._catalog.videos_with_faces(event.tenant_id):
            tenant_id, video_id, revision = event.tenant_id, video.video_id, video.revision
            try:
                await self._insist_on(tenant_id, video_id, revision)
            except HeimdexError as error:  # this video's artifacts are at fault: the others are not to wait for it
                _log.error(
                    "not matched", video_id=video_id, revision=revision, reason=error.reason, error=error.message
                )
        await insist(
            lambda: self._catalog.mark_matched(event.tenant_id, event.person_id), self._clock, what="catalogue"
        )
        _log.info("person matched", tenant_id=event.tenant_id, person_id=event.person_id)

    async def _insist_on(self, tenant_id: str, video_id: str, revision: int) -> None:
        await insist(lambda: self._match(tenant_id, video_id, revision), self._clock, what="people")

    async def _deleted(self, event: events_pb2.PersonDeleted) -> None:
        """Forget the matches of somebody who was erased; the photos' uploads are closed, which sweeps them."""

        async def forget() -> Sequence[str]:
            return await self._catalog.forget_person(event.tenant_id, event.person_id, self._clock.now_ms())

        while await insist(forget, self._clock, what="catalogue"):
            pass
        _log.info("person forgotten", tenant_id=event.tenant_id, person_id=event.person_id)

    # -------------------------------------------------------------------------------------------- one video

    async def _match(self, tenant_id: str, video_id: str, revision: int) -> None:
        """Match one revision with the gallery of now. A video that is going, or has no faces yet, has no matches."""
        try:
            found = await self._artifacts(tenant_id, video_id, revision)
        except HeimdexError:
            if await self._objects.head(ids.gate_key(video_id)) is not None:
                return  # its artifacts are on their way out
            raise
        if found is None:
            return
        tracks, cuts = found
        while True:
            version, people = await self._catalog.gallery(tenant_id)
            changed = await self._catalog.write_matches(
                tenant_id,
                video_id,
                revision,
                gallery_version=version,
                matches=await asyncio.to_thread(_matches, tracks, cuts, video_id, people, self._faces),
                now_ms=self._clock.now_ms(),
            )
            _log.info("matched", tenant_id=tenant_id, video_id=video_id, revision=revision, changed=len(changed))
            if (await self._catalog.tenant(tenant_id)).gallery_version == version:
                return  # who is enrolled from now on is looked for by that enrolment, which finds this video matched

    async def _artifacts(
        self, tenant_id: str, video_id: str, revision: int
    ) -> tuple[artifact_pb2.FaceTracks, artifact_pb2.SceneCuts] | None:
        """Return faces and scenes of a revision; None while there are none, or where faces are off."""
        try:
            body, _ = await self._objects.get(ids.plan_key(tenant_id, video_id, revision))
        except NotFound as error:
            raise BadArtifact(f"no plan for {video_id} revision {revision}") from error
        planned = plan.planned_specs(_parse(manifest_pb2.Plan(), body))
        faces = await self._manifest(tenant_id, video_id, "faces", plan.spec_of(planned, "faces", 0))
        scenes = await self._manifest(tenant_id, video_id, "scenes", plan.spec_of(planned, "scenes", 0))
        if faces is None or scenes is None or not has_result(faces) or not has_result(scenes):
            return None
        tracks = _parse(artifact_pb2.FaceTracks(), await read_artifact(self._objects, faces))
        cuts = _parse(artifact_pb2.SceneCuts(), await read_artifact(self._objects, scenes))
        return tracks, cuts

    async def _manifest(self, tenant_id: str, video_id: str, noun: str, spec: str) -> manifest_pb2.Manifest | None:
        try:
            body, _ = await self._objects.get(ids.manifest_key(tenant_id, video_id, noun, spec))
        except NotFound:
            return None
        return _parse(manifest_pb2.Manifest(), body)


def _parse(message: Parsed, body: bytes) -> Parsed:
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise BadArtifact(f"unreadable {message.DESCRIPTOR.name}") from error
    return message


def _matches(
    tracks: artifact_pb2.FaceTracks,
    cuts: artifact_pb2.SceneCuts,
    video_id: str,
    people: Sequence[Person],
    model: FaceModel,
) -> tuple[Match, ...]:
    seen, face_frames = _seen(tracks, cuts, video_id)
    return find_people(seen, face_frames, _known(people, tracks), model) if seen else ()


def _seen(
    tracks: artifact_pb2.FaceTracks, cuts: artifact_pb2.SceneCuts, video_id: str
) -> tuple[list[Seen], dict[str, int]]:
    """Return every face with its scene, and how many frames with faces each scene has."""
    scene_ids = {span.index: ids.scene_id(video_id, span.start_ms, span.end_ms) for span in cuts.scenes}
    try:
        seen = [
            Seen(scene_ids[track.scene_index], sighting.frame, _vectors([sighting.vector], tracks.dim)[0])
            for track in tracks.tracks
            for sighting in track.sightings
        ]
        return seen, {scene_ids[index]: frames for index, frames in tracks.face_frames.items()}
    except KeyError as error:
        raise BadArtifact(f"faces of {video_id} are in a scene that is not there") from error


def _known(people: Sequence[Person], tracks: artifact_pb2.FaceTracks) -> list[Known]:
    """Return those whose photos were read by the model that read the video: other vectors say nothing."""
    comparable = [person for person in people if person.model_version == tracks.model_version]
    if len(comparable) < len(people):
        _log.warning("enrolled with another face model", people=len(people) - len(comparable))
    return [
        Known(person.person_id, _vectors([photo.vector for photo in person.photos], tracks.dim))
        for person in comparable
    ]


def _vectors(packed: Sequence[bytes], dim: int) -> Float32:
    if any(len(vector) != 4 * dim for vector in packed):
        raise BadArtifact(f"a face vector is not of length {dim}")
    return np.stack([np.frombuffer(vector, "<f4") for vector in packed]).astype(np.float32)
