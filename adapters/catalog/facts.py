"""Facts: a scene and who is in it -> the record that says so on the scene topic. Pure."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from contracts import codec
from contracts.catalog import SceneRow
from contracts.ports import Record
from heimdex.events.v1 import events_pb2
from heimdex.scene.v1 import scene_pb2

SCENE_TOPIC = "heimdex-scene-v1"


def scene_fact(scene: SceneRow, *, gallery_version: int, now_ms: int) -> Record:
    """Return the complete fact of a searchable scene, people included, key ``scene_id``.

    Args:
        gallery_version: of the gallery that found the people; enters the event id, for people come and go.
    """
    body = scene_pb2.Scene.FromString(scene.body)
    del body.people[:]
    body.people.extend(
        scene_pb2.ScenePerson(person_id=p.person_id, display_name=p.display_name, confidence=p.confidence)
        for p in scene.people
    )
    time = Timestamp()
    time.FromMilliseconds(now_ms)
    return codec.encode(
        events_pb2.SceneFact(tenant_id=scene.tenant_id, scene=body, event_time=time),
        key=scene.scene_id,
        event_id=f"{scene.scene_id}:{scene.revision}:people:{gallery_version}",
        tenant_id=scene.tenant_id,
        time=time,
        topic=SCENE_TOPIC,
    )
