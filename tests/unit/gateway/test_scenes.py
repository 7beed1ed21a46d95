"""Scenes: rows to messages, keyframes signed once."""

from __future__ import annotations

import pytest

from adapters.objects.memory import MemoryObjects
from contracts.catalog import ScenePerson, SceneRow
from contracts.errors import Internal
from gateway import scenes
from heimdex.scene.v1 import scene_pb2


def row(body: bytes, *people: ScenePerson) -> SceneRow:
    return SceneRow("scn_1", "team", "vid_1", 1, 0, 0, 1000, body, people)


def test_people_are_those_that_sql_knows() -> None:
    stale = scene_pb2.Scene(scene_id="scn_1", people=[scene_pb2.ScenePerson(person_id="per_gone")])
    message = scenes.to_proto(row(stale.SerializeToString(), ScenePerson("per_1", "민지", 0.5)))
    assert [(p.person_id, p.display_name, p.confidence) for p in message.people] == [("per_1", "민지", 0.5)]


def test_a_body_that_is_no_scene_is_our_fault() -> None:
    with pytest.raises(Internal):
        scenes.to_proto(row(b"\xff\xff"))


async def test_the_same_keyframe_has_the_same_url_in_every_frame() -> None:
    urls = scenes.KeyframeUrls(MemoryObjects())
    first, again, none = (scene_pb2.Scene(keyframe=scene_pb2.Keyframe(object_key=key)) for key in ("k", "k", ""))
    await urls.add([first, none])
    await urls.add([again])
    assert first.keyframe.url == again.keyframe.url != ""
    assert not none.keyframe.url
