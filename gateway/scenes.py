"""Scenes: ``contracts.catalog.SceneRow`` -> ``heimdex.scene.v1.Scene``. Pure but for signing."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from contracts.catalog import ScenePerson, SceneRow
from contracts.errors import Internal
from contracts.ports import Objects
from heimdex.scene.v1 import scene_pb2

URL_LIFE_S = 3600
"""How long the signed URL of a keyframe works."""


def to_proto(row: SceneRow) -> scene_pb2.Scene:
    """Return a scene with the people that SQL knows in it. Raises Internal (permanent) when its body is no scene."""
    scene = scene_pb2.Scene()
    put(row, scene)
    return scene


def put(row: SceneRow, scene: scene_pb2.Scene) -> None:
    """Write a scene into an empty message, as ``to_proto``."""
    try:
        scene.MergeFromString(row.body)
    except DecodeError as error:
        raise Internal("a scene row's body is no scene") from error
    scene.ClearField("people")
    scene.people.extend(person(who) for who in row.people)


def person(who: ScenePerson) -> scene_pb2.ScenePerson:
    """Return somebody in a scene."""
    return scene_pb2.ScenePerson(person_id=who.person_id, display_name=who.display_name, confidence=who.confidence)


class KeyframeUrls:
    """Signs the keyframes of one answer, each once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._urls: dict[str, str] = {}

    async def add(self, scenes: Iterable[scene_pb2.Scene]) -> None:
        """Put a URL into each scene that has a keyframe."""
        for scene in scenes:
            key = scene.keyframe.object_key
            if not key:
                continue
            if key not in self._urls:
                self._urls[key] = (await self._objects.sign_get(key, ttl_s=URL_LIFE_S)).url
            scene.keyframe.url = self._urls[key]
