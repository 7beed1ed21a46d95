"""Artifact of ``vision``: sights <-> ``VisionVectors``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from heimdex.events.v1 import artifact_pb2
from heimdex.scene.v1 import scene_pb2
from processors.messages import from_tag, pack, parse, serialise, to_tag, unpack
from processors.vision.stage import Sight, View


@dataclass(frozen=True, slots=True)
class Seen:
    """Version of the encoder, length of its vectors, and what is seen in order of scenes."""

    model_version: str
    dim: int
    sights: tuple[Sight, ...]


def encode(seen: Seen) -> bytes:
    """Return the artifact."""
    return serialise(
        artifact_pb2.VisionVectors(
            model_version=seen.model_version,
            dim=seen.dim,
            scenes=[
                artifact_pb2.SceneSight(
                    index=sight.index,
                    views=[artifact_pb2.SceneView(vector=pack(view.vector), at_ms=view.at_ms) for view in sight.views],
                    tags=[to_tag(tag, scene_pb2.TAG_KIND_VISION) for tag in sight.tags],
                )
                for sight in seen.sights
            ],
        )
    )


def decode(body: bytes) -> Seen:
    """Return what an artifact says. Raises: BadArtifact (permanent)."""
    found = parse(artifact_pb2.VisionVectors, body)
    sights = tuple(
        Sight(
            scene.index,
            tuple(View(unpack(view.vector, found.dim), view.at_ms) for view in scene.views),
            tuple(from_tag(tag) for tag in scene.tags),
        )
        for scene in found.scenes
    )
    return Seen(found.model_version, found.dim, sights)
