"""Artifact of ``affect``: what scenes feel like <-> ``AffectTags``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from heimdex.events.v1 import artifact_pb2
from heimdex.scene.v1 import scene_pb2
from processors.affect.stage import Affect
from processors.messages import from_tag, parse, serialise, to_tag


@dataclass(frozen=True, slots=True)
class Felt:
    """Version of the model, and the scenes that have tags, in order."""

    model_version: str
    scenes: tuple[Affect, ...]


def encode(felt: Felt) -> bytes:
    """Return the artifact."""
    return serialise(
        artifact_pb2.AffectTags(
            model_version=felt.model_version,
            scenes=[
                artifact_pb2.SceneAffect(
                    index=scene.index, tags=[to_tag(tag, scene_pb2.TAG_KIND_AFFECT) for tag in scene.tags]
                )
                for scene in felt.scenes
            ],
        )
    )


def decode(body: bytes) -> Felt:
    """Return what an artifact says. Raises: BadArtifact (permanent)."""
    found = parse(artifact_pb2.AffectTags, body)
    scenes = tuple(Affect(scene.index, tuple(from_tag(tag) for tag in scene.tags)) for scene in found.scenes)
    return Felt(found.model_version, scenes)
