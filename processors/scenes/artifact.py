"""Artifact of ``scenes``: spans <-> ``SceneCuts``. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.media import Span
from heimdex.events.v1 import artifact_pb2
from processors.messages import parse, serialise


def encode(spans: Sequence[Span]) -> bytes:
    """Return the artifact."""
    scenes = [artifact_pb2.SceneSpan(index=s.index, start_ms=s.start_ms, end_ms=s.end_ms) for s in spans]
    return serialise(artifact_pb2.SceneCuts(scenes=scenes))


def decode(body: bytes) -> tuple[Span, ...]:
    """Return what an artifact says, in order. Raises: BadArtifact (permanent)."""
    scenes = parse(artifact_pb2.SceneCuts, body).scenes
    return tuple(Span(scene.index, scene.start_ms, scene.end_ms) for scene in scenes)
