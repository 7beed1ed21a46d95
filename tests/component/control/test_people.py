"""Matching on memory objects and a real catalogue: earlier and later videos, people who come and go, in any order."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

import numpy as np
import pytest

from adapters.models.faces.fake import FakeFaceModel
from contracts import codec, facts, ids
from contracts.catalog import Catalog, Person, Photo
from contracts.endings import stage_event
from contracts.errors import BadArtifact, DependencyUnavailable
from contracts.ports import Objects, Record
from control.people.matcher import Matcher
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2, events_pb2
from indexer.commit.handler import CommitHandler
from tests.component.faults import Around, Failing
from tests.component.world import FACES_MODEL, TENANT, Ingest, World, sidecar, world

CUTS_MS = (0, 1000, 2500)
MODEL = FakeFaceModel()
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
Colour = tuple[float, float, float]


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as made:
        yield made


def matcher(w: World, replaced: Mapping[str, object] | None = None) -> Matcher:
    catalog, objects = ((replaced or {}).get(name, getattr(w, name)) for name in ("catalog", "objects"))
    return Matcher(cast("Catalog", catalog), cast("Objects", objects), MODEL, w.clock)


def face(colour: Colour) -> bytes:
    """Return the vector of the person of a colour."""
    vector = np.zeros(MODEL.dim, "<f4")
    vector[:3] = colour
    return bytes(vector.tobytes())


def tracks(*scenes: Sequence[Colour], model_version: str = FACES_MODEL) -> artifact_pb2.FaceTracks:
    """Return the faces of scenes: one frame a face."""
    made = artifact_pb2.FaceTracks(model_version=model_version, dim=MODEL.dim)
    for index, colours in enumerate(scenes):
        for number, colour in enumerate(colours):
            track = made.tracks.add(scene_index=index, track_index=number)
            track.sightings.add(frame=f"frame-{index}-{number}.jpg", score=0.9, vector=face(colour))
        if colours:
            made.face_frames[index] = len(colours)
    return made


def cuts() -> artifact_pb2.SceneCuts:
    made = artifact_pb2.SceneCuts()
    for index, start_ms in enumerate(CUTS_MS[:-1]):
        made.scenes.add(index=index, start_ms=start_ms, end_ms=CUTS_MS[index + 1])
    return made


async def faced(
    w: World, name: str = "one", faces: artifact_pb2.FaceTracks | None = None, *, told: bool = True
) -> Ingest:
    """Return a video in which red is in the first scene and blue in the second; ``told``: the tracker knows."""
    v = await w.ingest(name)
    await w.end(v, "scenes", cuts())
    await w.end(v, "faces", faces or tracks([RED], [BLUE]))
    if told:
        await w.tell(v, "faces")
    return v


async def indexed(w: World, name: str = "one", *, told: bool = True) -> Ingest:
    """Return a searchable video with faces that people has looked through; an empty outbox."""
    v = await faced(w, name, told=told)
    await matcher(w).handle(await fact(w, v, "faces"))
    await w.end(v, "sidecar", sidecar(v.video_id, CUTS_MS))
    commit = CommitHandler(
        w.catalog, w.objects, w.text_vectors, w.vision_vectors, w.text, producer=w.bus, clock=w.clock
    )
    await commit.run(await w.delivery(v, "commit"))
    [ended] = [record for record in await w.outbox() if record.topic == "heimdex-video-indexed-v1"]
    await matcher(w).handle(ended)
    await w.outbox()
    return v


async def fact(w: World, v: Ingest, noun: str) -> Record:
    """Return the fact of an ending that is there."""
    delivery = await w.delivery(v, "commit")
    return codec.encode_stage_event(stage_event(v.context, delivery.inputs[noun], v.manifest_key(noun), "00"))


async def enrol(
    w: World, name: str, *colours: Colour, tenant_id: str = TENANT, model_version: str = FACES_MODEL
) -> Record:
    """Enrol somebody by photos of these colours; return the fact."""
    person_id = ids.digest_id("per", name, tenant_id)
    photos = [
        Photo("", f"{n}.jpg", "ACCEPTED", ids.upload_key(tenant_id, f"{person_id}-{n}"), face(colour))
        for n, colour in enumerate(colours)
    ]
    refused = Photo("", "blurred.jpg", "BLURRED")
    who = Person(person_id, tenant_id, name, (), (*photos, refused), w.clock.now_ms(), model_version=model_version)
    await w.catalog.create_person(who, w.call("EnrolPerson"), [])
    event = events_pb2.PersonEnrolled(tenant_id=tenant_id, person_id=person_id, event_time=facts.timestamp(5))
    return codec.encode(event, key=person_id, event_id="e", tenant_id=tenant_id, time=event.event_time)


async def erase(w: World, name: str) -> Record:
    """Erase somebody; return the fact."""
    person_id = ids.digest_id("per", name, TENANT)
    await w.catalog.delete_person(TENANT, person_id, w.call("DeletePerson"), [])
    event = events_pb2.PersonDeleted(tenant_id=TENANT, person_id=person_id, event_time=facts.timestamp(5))
    return codec.encode(event, key=person_id, event_id="e", tenant_id=TENANT, time=event.event_time)


async def shown(w: World, v: Ingest) -> list[list[str]]:
    """Return who is in each scene."""
    scenes = await w.catalog.list_scenes(TENANT, v.video_id, limit=9)
    return [[person.display_name for person in scene.people] for scene in scenes]


def told(records: Sequence[Record]) -> dict[str, list[str]]:
    """Return scene id -> who is in it, by the last facts of scenes."""
    events = {record.key: codec.decode(record) for record in records if record.topic == facts.SCENE_TOPIC}
    return {
        key: [person.display_name for person in event.scene.people]
        for key, event in events.items()
        if isinstance(event, events_pb2.SceneFact)
    }


def scene_ids(v: Ingest) -> list[str]:
    return [ids.scene_id(v.video_id, start, end) for start, end in itertools.pairwise(CUTS_MS)]


async def test_a_later_video_is_matched_with_its_faces(w: World) -> None:
    await enrol(w, "민지", RED)
    v = await indexed(w)
    assert await shown(w, v) == [["민지"], []]


async def test_an_earlier_video_is_found_by_an_enrolment_and_its_facts_are_told_again(w: World) -> None:
    v = await indexed(w)
    asked = await enrol(w, "민지", RED)
    await matcher(w).handle(asked)
    assert await shown(w, v) == [["민지"], []]
    first, _ = scene_ids(v)
    assert told(await w.outbox()) == {first: ["민지"]}
    person = await w.catalog.get_person(TENANT, asked.key)
    assert (person.matched, person.scene_count) == (True, 1)


async def test_a_repetition_changes_nothing_and_tells_nothing(w: World) -> None:
    v = await indexed(w)
    asked = await enrol(w, "민지", RED)
    for record in (asked, asked, await fact(w, v, "faces")):
        await matcher(w).handle(record)
    assert len(told(await w.outbox())) == 1
    await matcher(w).handle(asked)
    assert await w.outbox() == []


async def test_whoever_is_enrolled_first_each_is_found(w: World) -> None:
    await enrol(w, "민지", RED)
    v = await indexed(w)
    await matcher(w).handle(await enrol(w, "준호", BLUE))
    assert await shown(w, v) == [["민지"], ["준호"]]


async def test_several_photos_are_all_compared(w: World) -> None:
    v = await indexed(w)
    await matcher(w).handle(await enrol(w, "민지", (0.0, 1.0, 0.0), BLUE))
    assert await shown(w, v) == [[], ["민지"]]


async def test_every_earlier_video_is_looked_through(w: World) -> None:
    videos = [await indexed(w, f"video {n}") for n in range(3)]
    await matcher(w).handle(await enrol(w, "민지", RED))
    assert [await shown(w, v) for v in videos] == [[["민지"], []]] * 3


async def test_a_video_whose_artifacts_are_broken_does_not_stop_the_others(w: World) -> None:
    broken, good = await indexed(w, "broken"), await indexed(w, "good")
    delivery = await w.delivery(broken, "commit")
    await w.objects.put(delivery.inputs["faces"].blobs[0].key, b"something else")
    asked = await enrol(w, "민지", RED)
    await matcher(w).handle(asked)
    assert await shown(w, good) == [["민지"], []]
    assert (await w.catalog.get_person(TENANT, asked.key)).matched


async def test_somebody_erased_is_in_no_scene_and_in_no_fact(w: World) -> None:
    await enrol(w, "준호", BLUE)
    await enrol(w, "민지", RED)
    v = await indexed(w)
    await matcher(w).handle(await erase(w, "민지"))
    assert await shown(w, v) == [[], ["준호"]]
    first, _ = scene_ids(v)
    assert told(await w.outbox()) == {first: []}


async def test_somebody_erased_meanwhile_does_not_come_back(w: World) -> None:
    await enrol(w, "민지", RED)
    v = await indexed(w)

    async def erase_now() -> None:
        await matcher(w).handle(await erase(w, "민지"))

    slow = Around(w.catalog, "write_matches", erase_now)
    await matcher(w, {"catalog": slow}).handle(await fact(w, v, "faces"))
    assert await shown(w, v) == [[], []]
    assert await w.catalog.scenes_of_people(TENANT, [ids.digest_id("per", "민지", TENANT)]) == {}


async def test_somebody_enrolled_while_a_video_is_matched_is_found_in_it(w: World) -> None:
    v = await faced(w, told=False)
    enrolled: list[Record] = []

    async def enrol_now() -> None:
        enrolled.append(await enrol(w, "민지", RED))
        await matcher(w).handle(enrolled[0])  # knows of no video yet

    await matcher(w, {"catalog": Around(w.catalog, "gallery", enrol_now, after=True)}).handle(await fact(w, v, "faces"))
    found = await w.catalog.get_person(TENANT, enrolled[0].key)
    await w.end(v, "sidecar", sidecar(v.video_id, CUTS_MS))
    commit = CommitHandler(
        w.catalog, w.objects, w.text_vectors, w.vision_vectors, w.text, producer=w.bus, clock=w.clock
    )
    await commit.run(await w.delivery(v, "commit"))
    assert await shown(w, v) == [["민지"], []]
    assert found.matched


async def test_a_tracker_that_is_behind_does_not_hide_a_video_from_an_enrolment(w: World) -> None:
    v = await indexed(w, told=False)
    await matcher(w).handle(await enrol(w, "민지", RED))
    assert await shown(w, v) == [["민지"], []]


async def test_faces_that_are_switched_off_match_nobody(w: World) -> None:
    await enrol(w, "민지", RED)
    v = await w.ingest(faces=False)
    await w.end(v, "scenes", cuts())
    await w.end(v, "faces", outcome=common_pb2.OUTCOME_DISABLED)
    await w.outbox()
    await matcher(w).handle(await fact(w, v, "faces"))
    assert await w.outbox() == []


async def test_a_video_without_faces_is_no_trouble(w: World) -> None:
    await enrol(w, "민지", RED)
    v = await faced(w, faces=artifact_pb2.FaceTracks(model_version=FACES_MODEL))
    await matcher(w).handle(await fact(w, v, "faces"))


async def test_photos_of_another_model_say_nothing(w: World) -> None:
    v = await indexed(w)
    await matcher(w).handle(await enrol(w, "민지", RED, model_version="dlib.1"))
    assert await shown(w, v) == [[], []]


async def test_people_of_another_tenant_are_nobody(w: World) -> None:
    v = await indexed(w)
    await matcher(w).handle(await enrol(w, "민지", RED, tenant_id="globex"))
    await matcher(w).handle(await fact(w, v, "faces"))
    assert await shown(w, v) == [[], []]


async def test_a_video_that_is_being_erased_is_left_alone(w: World) -> None:
    await enrol(w, "민지", RED)
    v = await indexed(w)
    asked = await fact(w, v, "faces")
    await w.objects.put(ids.gate_key(v.video_id), b"")
    await w.objects.purge(ids.video_prefix(TENANT, v.video_id))
    await matcher(w).handle(asked)
    assert await w.outbox() == []


async def test_a_plan_that_is_gone_without_an_erasure_is_a_defect(w: World) -> None:
    v = await faced(w)
    asked = await fact(w, v, "faces")
    await w.objects.purge(ids.video_prefix(TENANT, v.video_id))
    with pytest.raises(BadArtifact):
        await matcher(w).handle(asked)


@pytest.mark.parametrize(("part", "method"), [("objects", "get"), ("catalog", "gallery"), ("catalog", "write_matches")])
async def test_a_store_that_is_away_is_waited_for(w: World, part: str, method: str) -> None:
    v = await indexed(w)
    asked = await enrol(w, "민지", RED)
    away = Failing(getattr(w, part), method, DependencyUnavailable(part, "away"), times=4)
    await matcher(w, {part: away}).handle(asked)
    assert away.left == 0
    assert await shown(w, v) == [["민지"], []]


@pytest.mark.parametrize(
    "broken",
    [
        tracks([], [], [], [RED]),
        artifact_pb2.FaceTracks(model_version=FACES_MODEL, dim=8, tracks=tracks([RED]).tracks),
    ],
    ids=["unknown scene", "another length"],
)
async def test_faces_that_make_no_sense_are_refused(w: World, broken: artifact_pb2.FaceTracks) -> None:
    await enrol(w, "민지", RED)
    v = await faced(w, faces=broken)
    with pytest.raises(BadArtifact):
        await matcher(w).handle(await fact(w, v, "faces"))


async def test_what_is_no_fact_for_people_is_refused(w: World) -> None:
    with pytest.raises(BadArtifact):
        await matcher(w).handle(facts.deletion_requested(TENANT, "vid_1", 5))
