"""Artifact of ``align``: the lines of every scene <-> ``AlignedTranscript``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from heimdex.events.v1 import artifact_pb2
from processors.asr.artifact import from_message, to_message
from processors.asr.stage import SpokenUtterance
from processors.messages import parse, serialise


@dataclass(frozen=True, slots=True)
class Aligned:
    """Language, BCP-47, empty when nothing is said; the lines of every scene, silent ones included, in order."""

    language: str
    scenes: tuple[tuple[SpokenUtterance, ...], ...]


def encode(aligned: Aligned) -> bytes:
    """Return the artifact."""
    scenes = [
        artifact_pb2.SceneTranscript(index=index, lines=[to_message(line) for line in lines])
        for index, lines in enumerate(aligned.scenes)
    ]
    return serialise(artifact_pb2.AlignedTranscript(language=aligned.language, scenes=scenes))


def decode(body: bytes) -> Aligned:
    """Return what an artifact says. Raises: BadArtifact (permanent)."""
    transcript = parse(artifact_pb2.AlignedTranscript, body)
    return Aligned(
        transcript.language,
        tuple(tuple(from_message(line) for line in scene.lines) for scene in transcript.scenes),
    )
