"""Media: what the media adapters say of a file -> values that stages decide on. Times are seconds from video start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from contracts.ports import UInt8


class Container(Enum):
    """A container that is taken; the value is its media type."""

    MP4 = "video/mp4"
    MOV = "video/quicktime"
    AVI = "video/x-msvideo"
    MATROSKA = "video/x-matroska"
    WEBM = "video/webm"


@dataclass(frozen=True, slots=True)
class Span:
    """A scene: position from 0, half-open [start_ms, end_ms) from video start; never empty."""

    index: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What a video file holds, read from its packets rather than believed from its header.

    Attributes:
        claimed_s: length by the header; 0 when it says nothing.
        picture_end_s: end of the last frame that decodes; 0 when none does.
        sound_end_s: end of the last audio packet; 0 without audio.
        width_px: as stored, before the turn.
        height_px: as stored, before the turn.
        rotation_deg: clockwise turn that makes the picture upright: 0, 90, 180 or 270.
        frame_rate_hz: mean; 0 when there is one frame.
        audio_codec: empty without audio.
        damaged_tail: packets or frames are missing at the end.
    """

    container: Container
    claimed_s: float
    picture_end_s: float
    sound_end_s: float
    width_px: int
    height_px: int
    rotation_deg: int
    frame_rate_hz: float
    variable_frame_rate: bool
    video_codec: str
    pixel_format: str
    audio_codec: str
    damaged_tail: bool


@dataclass(frozen=True, slots=True)
class Look:
    """How a frame looks, measured on its luma at 320 px width.

    Attributes:
        mean_luma: [0, 255].
        contrast: standard deviation of luma, >= 0.
        sharpness: variance of the Laplacian, >= 0, low is blurred.
    """

    mean_luma: float
    contrast: float
    sharpness: float


class Frame(Protocol):
    """A decoded frame, upright; pixels are made only when asked for."""

    @property
    def at_s(self) -> float:
        """When it is first shown."""
        ...

    def look(self) -> Look:
        """Measure it."""
        ...

    def picture(self, max_side_px: int) -> UInt8:
        """Return it as RGB uint8 (h, w, 3), scaled down so that no side is longer than ``max_side_px``."""
        ...
