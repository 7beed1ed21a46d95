"""Validate: what a file holds -> a video that is taken, or the reason why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import Rejected
from contracts.media import Container, Probe

MIN_SIDE_PX, MAX_SIDE_PX = 16, 8192
OVERTIME_S = 1.0
"""A video may be longer than the limit by this: encoders pad the last frame and the last block of sound."""

MIN_SALVAGE_S = 3.0
"""A damaged video is taken when this much of it, or half of what it claims to be, decodes."""

_SOUND_OUTLASTS_S = 1.0
_PLAYABLE_MP4 = {"h264", "av1", "libdav1d", "vp9"}
_PLAYABLE_WEBM = {"vp8", "vp9", "av1", "libdav1d"}
_PLAYABLE_MP4_SOUND = {"", "aac", "mp3", "mp3float", "opus"}
_PLAYABLE_WEBM_SOUND = {"", "opus", "vorbis"}
_CODEC_NAMES = {"libdav1d": "av1", "mp3float": "mp3"}  # decoders that carry another name than the codec


@dataclass(frozen=True, slots=True)
class Media:
    """A video that is taken; the fields are those of ``MediaInfo``."""

    content_type: str
    duration_ms: int
    width_px: int
    height_px: int
    rotation_deg: int
    frame_rate_hz: float
    variable_frame_rate: bool
    video_codec: str
    audio_codec: str
    browser_playable: bool
    damaged_tail: bool


def check_size(size_bytes: int, *, max_bytes: int) -> None:
    """Refuse a file by its declared size. Raises: Rejected TOO_LARGE (permanent)."""
    if size_bytes > max_bytes:
        raise Rejected(
            "TOO_LARGE",
            f"the file has {size_bytes} bytes, {max_bytes} are allowed",
            metadata={"size_bytes": str(size_bytes), "limit_bytes": str(max_bytes)},
        )


def check_source(size_bytes: int, sha256: str, *, declared_bytes: int, declared_sha256: str) -> None:
    """Compare a downloaded file with what its uploader declared.

    Raises: Rejected (permanent): EMPTY_FILE, SIZE_MISMATCH, DIGEST_MISMATCH.
    """
    if size_bytes == 0:
        raise Rejected("EMPTY_FILE", "the file has no bytes")
    if size_bytes != declared_bytes:
        raise Rejected(
            "SIZE_MISMATCH",
            f"the file has {size_bytes} bytes, {declared_bytes} were declared",
            metadata={"declared_bytes": str(declared_bytes), "actual_bytes": str(size_bytes)},
        )
    if declared_sha256 and sha256 != declared_sha256:
        raise Rejected("DIGEST_MISMATCH", "the SHA-256 of the file differs from the declared one")


def judge(probe: Probe, *, max_duration_s: float) -> Media:
    """Return the video that a probed file is.

    Args:
        max_duration_s: longest video taken; 0 is no limit.

    Raises: Rejected (permanent): UNSUPPORTED_DIMENSIONS, CORRUPT_VIDEO, TOO_LONG.
    """
    _check_dimensions(probe)
    if probe.damaged_tail and probe.picture_end_s < min(MIN_SALVAGE_S, probe.claimed_s / 2):
        raise Rejected("CORRUPT_VIDEO", f"the file is damaged: only {probe.picture_end_s:.1f} s of it decode")
    length_s = duration_s(probe)
    if 0 < max_duration_s < length_s - OVERTIME_S:
        raise Rejected(
            "TOO_LONG",
            f"the video is {length_s:.0f} s long, {max_duration_s:.0f} s are allowed",
            metadata={"duration_s": f"{length_s:.3f}", "limit_s": f"{max_duration_s:g}"},
        )
    sideways = probe.rotation_deg in {90, 270}
    return Media(
        content_type=probe.container.value,
        duration_ms=max(1, round(length_s * 1000)),
        width_px=probe.height_px if sideways else probe.width_px,
        height_px=probe.width_px if sideways else probe.height_px,
        rotation_deg=probe.rotation_deg,
        frame_rate_hz=round(probe.frame_rate_hz, 3),
        variable_frame_rate=probe.variable_frame_rate,
        video_codec=_CODEC_NAMES.get(probe.video_codec, probe.video_codec),
        audio_codec=_CODEC_NAMES.get(probe.audio_codec, probe.audio_codec),
        browser_playable=_browser_playable(probe),
        damaged_tail=probe.damaged_tail,
    )


def duration_s(probe: Probe) -> float:
    """Return the length of the video: its picture's, or its sound's when a picture stands still under a talk."""
    if not probe.damaged_tail and probe.sound_end_s > probe.picture_end_s + _SOUND_OUTLASTS_S:
        return probe.sound_end_s
    return probe.picture_end_s


def _check_dimensions(probe: Probe) -> None:
    sides = (probe.width_px, probe.height_px)
    if min(sides) < MIN_SIDE_PX or max(sides) > MAX_SIDE_PX:
        raise Rejected(
            "UNSUPPORTED_DIMENSIONS",
            f"the picture is {sides[0]} x {sides[1]} px; each side must be {MIN_SIDE_PX} to {MAX_SIDE_PX} px",
            metadata={"width_px": str(sides[0]), "height_px": str(sides[1])},
        )


def _browser_playable(probe: Probe) -> bool:
    """Return whether Chrome, Firefox and Safari of today play it: 8 bit 4:2:0 in MP4 or WebM."""
    if probe.pixel_format not in {"yuv420p", "yuvj420p"}:
        return False
    if probe.container is Container.MP4:
        return probe.video_codec in _PLAYABLE_MP4 and probe.audio_codec in _PLAYABLE_MP4_SOUND
    if probe.container is Container.WEBM:
        return probe.video_codec in _PLAYABLE_WEBM and probe.audio_codec in _PLAYABLE_WEBM_SOUND
    return False
