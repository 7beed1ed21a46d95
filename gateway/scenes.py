"""Scenes: ``contracts.catalog.SceneRow`` and ``Footage`` -> messages of ``heimdex.scene.v1``. Pure but for signing."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from contracts.catalog import Footage, ScenePerson, SceneRow
from contracts.errors import Internal
from contracts.facts import timestamp
from contracts.ports import Objects, SignedUrl
from gateway.videos import playback_s
from heimdex.scene.v1 import scene_pb2
from heimdex.scene.v1 import scene_service_pb2 as pb

URL_LIFE_S = 3600
"""How long the signed URL of a keyframe works."""


def to_proto(row: SceneRow) -> scene_pb2.Scene:
    """Return a scene with the people that SQL knows in it. Raises Internal (permanent) when its body is no scene."""
    scene = scene_pb2.Scene()
    put(row, scene)
    return scene


def put(row: SceneRow, scene: scene_pb2.Scene) -> None:
    """Write a scene into an empty message, as ``to_proto``."""
    _parse(row.body, scene)
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


class MediaUrls:
    """Signs what shows the scenes of one answer, each object once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._signed: dict[str, SignedUrl] = {}

    async def of(self, footage: Footage) -> pb.SceneMedia:
        """Return what shows a scene. Raises Internal (permanent) when its body is no scene."""
        scene = scene_pb2.Scene()
        _parse(footage.body, scene)
        video = await self._sign(footage.source_key, playback_s(footage.video_ms), footage.content_type or None)
        media = pb.SceneMedia(
            scene_id=footage.scene_id,
            playback_url=f"{video.url}#t={_fragment_s(footage.start_ms)},{_fragment_s(footage.end_ms)}",
            content_type=footage.content_type,
            browser_playable=footage.browser_playable,
        )
        expires_at_ms = video.expires_at_ms
        if scene.keyframe.object_key:
            keyframe = await self._sign(scene.keyframe.object_key, URL_LIFE_S)
            media.keyframe_url = keyframe.url
            expires_at_ms = min(expires_at_ms, keyframe.expires_at_ms)
        media.expire_time.CopyFrom(timestamp(expires_at_ms))
        return media

    async def _sign(self, key: str, life_s: int, content_type: str | None = None) -> SignedUrl:
        if key not in self._signed:
            self._signed[key] = await self._objects.sign_get(key, ttl_s=life_s, content_type=content_type)
        return self._signed[key]


def _parse(body: bytes, scene: scene_pb2.Scene) -> None:
    try:
        scene.MergeFromString(body)
    except DecodeError as error:
        raise Internal("a scene row's body is no scene") from error


def _fragment_s(ms: int) -> str:
    """Return seconds of a media fragment, ``12.5`` for 12,500. Source: W3C Media Fragments URI 1.0, 4.2.1."""
    return f"{ms // 1000}.{ms % 1000:03d}".rstrip("0").rstrip(".")
