"""Artifact of ``embeddings``: vectors <-> ``TextVectors``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from heimdex.events.v1 import artifact_pb2
from processors.embeddings.stage import SceneVector
from processors.messages import pack, parse, serialise, unpack


@dataclass(frozen=True, slots=True)
class Embedded:
    """Version of the encoder, length of its vectors, and the vectors in order of scenes."""

    model_version: str
    dim: int
    vectors: tuple[SceneVector, ...]


def encode(embedded: Embedded) -> bytes:
    """Return the artifact."""
    return serialise(
        artifact_pb2.TextVectors(
            model_version=embedded.model_version,
            dim=embedded.dim,
            vectors=[artifact_pb2.SceneVector(index=v.index, vector=pack(v.vector)) for v in embedded.vectors],
        )
    )


def decode(body: bytes) -> Embedded:
    """Return what an artifact says. Raises: BadArtifact (permanent)."""
    found = parse(artifact_pb2.TextVectors, body)
    vectors = tuple(SceneVector(v.index, unpack(v.vector, found.dim)) for v in found.vectors)
    return Embedded(found.model_version, found.dim, vectors)
