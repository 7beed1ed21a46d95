"""Artifact of ``frames``: sampled frames <-> ``FrameSamples``. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from heimdex.events.v1 import artifact_pb2
from processors.frames.stage import SampledFrame
from processors.messages import parse, serialise


def encode(frames: Sequence[SampledFrame]) -> bytes:
    """Return the artifact."""
    return serialise(
        artifact_pb2.FrameSamples(
            frames=[
                artifact_pb2.SampledFrame(
                    blob=frame.blob,
                    scene_index=frame.scene_index,
                    at_ms=frame.at_ms,
                    width_px=frame.width_px,
                    height_px=frame.height_px,
                    keyframe=frame.keyframe,
                    sharpness=frame.sharpness,
                )
                for frame in frames
            ]
        )
    )


def decode(body: bytes) -> tuple[SampledFrame, ...]:
    """Return what an artifact says, in order of time. Raises: BadArtifact (permanent)."""
    return tuple(
        SampledFrame(
            blob=frame.blob,
            scene_index=frame.scene_index,
            at_ms=frame.at_ms,
            width_px=frame.width_px,
            height_px=frame.height_px,
            keyframe=frame.keyframe,
            sharpness=frame.sharpness,
        )
        for frame in parse(artifact_pb2.FrameSamples, body).frames
    )
