"""Artifact of ``audio``: ``Track`` <-> ``AudioTrack``. Pure."""

from __future__ import annotations

from heimdex.events.v1 import artifact_pb2
from processors.audio.stage import RATE_HZ, Track
from processors.messages import parse, serialise


def encode(track: Track) -> bytes:
    """Return the artifact."""
    return serialise(artifact_pb2.AudioTrack(duration_ms=track.duration_ms, start_ms=track.start_ms, rate_hz=RATE_HZ))


def decode(body: bytes) -> Track:
    """Return what an artifact says. Raises: BadArtifact (permanent)."""
    track = parse(artifact_pb2.AudioTrack, body)
    return Track(track.duration_ms, track.start_ms)
