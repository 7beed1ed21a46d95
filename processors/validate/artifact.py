"""Artifact of ``validate``: ``Media`` <-> ``MediaInfo``. Pure."""

from __future__ import annotations

from heimdex.events.v1 import artifact_pb2
from processors.messages import parse, serialise
from processors.validate.stage import Media


def encode(media: Media) -> bytes:
    """Return the artifact."""
    return serialise(
        artifact_pb2.MediaInfo(
            content_type=media.content_type,
            duration_ms=media.duration_ms,
            width_px=media.width_px,
            height_px=media.height_px,
            rotation_deg=media.rotation_deg,
            frame_rate_hz=media.frame_rate_hz,
            variable_frame_rate=media.variable_frame_rate,
            video_codec=media.video_codec,
            audio_codec=media.audio_codec,
            browser_playable=media.browser_playable,
            damaged_tail=media.damaged_tail,
        )
    )


def decode(body: bytes) -> Media:
    """Return what an artifact says. Raises: BadArtifact (permanent)."""
    info = parse(artifact_pb2.MediaInfo, body)
    return Media(
        content_type=info.content_type,
        duration_ms=info.duration_ms,
        width_px=info.width_px,
        height_px=info.height_px,
        rotation_deg=info.rotation_deg,
        frame_rate_hz=info.frame_rate_hz,
        variable_frame_rate=info.variable_frame_rate,
        video_codec=info.video_codec,
        audio_codec=info.audio_codec,
        browser_playable=info.browser_playable,
        damaged_tail=info.damaged_tail,
    )
