"""Frames: a video file and rising times -> the frame shown at each, decoding only the stretches that hold one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from adapters.media.source import (
    decoded,
    frame_time_s,
    open_source,
    origin_s,
    packet_time_s,
    packets,
    picture_stream,
    rotation_deg,
)
from contracts.media import Frame, Look
from contracts.ports import UInt8

_LOOK_WIDTH_PX = 320
_ROTATE = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame of a file; see ``contracts.media.Frame``."""

    at_s: float
    frame: VideoFrame
    scale: VideoReformatter

    def look(self) -> Look:
        """Measure luma, contrast and sharpness at 320 px width."""
        width = min(_LOOK_WIDTH_PX, self.frame.width)
        luma = self._pixels(width, max(1, round(self.frame.height * width / self.frame.width)), "gray")
        mean, deviation = cv2.meanStdDev(luma)
        return Look(
            mean_luma=float(mean[0, 0]),
            contrast=float(deviation[0, 0]),
            sharpness=float(cv2.Laplacian(luma, cv2.CV_32F).var()),
        )

    def picture(self, max_side_px: int) -> UInt8:
        """Return it upright as RGB uint8 (h, w, 3), no side longer than ``max_side_px``; never scaled up."""
        width, height = self.frame.width, self.frame.height
        share = min(1.0, max_side_px / max(width, height))
        pixels = self._pixels(max(1, round(width * share)), max(1, round(height * share)), "rgb24")
        turn = rotation_deg(self.frame)
        return np.ascontiguousarray(cv2.rotate(pixels, _ROTATE[turn]) if turn else pixels, np.uint8)

    def _pixels(self, width: int, height: int, pixel_format: str) -> UInt8:
        scaled = self.scale.reformat(self.frame, width, height, pixel_format, interpolation="AREA")
        return np.asarray(scaled.to_ndarray(), np.uint8)


def shown_at(path: Path, times_s: Sequence[float], *, threads: int = 1) -> Iterator[Frame]:
    """Yield, for each time, the good frame on screen then: the last that began by it, else the first one after it.

    One pass over the file; groups of pictures without a wanted time are read but not decoded. Frames that no other
    builds on are skipped (they cost 40 % of the decoding), so a frame may be a few frames old.

    Args:
        times_s: seconds from video start, rising or equal.

    Raises: Rejected CORRUPT_VIDEO (permanent) when the file cannot be opened. Yields fewer frames than times only when
        nothing decodes at all.
    """
    if not times_s:
        return
    scale = VideoReformatter()
    wanted = iter(times_s)
    time_s = next(wanted, None)
    before: DecodedFrame | None = None
    with open_source(path) as container:
        stream = picture_stream(container, threads=threads)
        stream.codec_context.skip_frame = "NONREF"
        for frame in _Passes(container, stream, times_s, scale):
            while time_s is not None and frame.at_s > time_s:
                yield before or frame
                time_s = next(wanted, None)
            before = frame
            if time_s is None:
                return
    while time_s is not None and before is not None:
        yield before
        time_s = next(wanted, None)


class _Passes:
    """Decodes, in order, every frame that can be the one on screen at a wanted time."""

    def __init__(self, container: Any, stream: Any, times_s: Sequence[float], scale: VideoReformatter) -> None:
        self._container, self._stream, self._scale = container, stream, scale
        self._times_s = times_s
        self._origin = origin_s(stream)

    def __iter__(self) -> Iterator[DecodedFrame]:
        """Yield frames in rising order of time."""
        held: list[Any] = []  # packets since the last key frame, or since the last wanted time, not decoded yet
        fresh = False  # what is held starts a new group: the decoder must forget the old one
        index, last_s = 0, float("-inf")
        for packet in packets(self._container, self._stream):
            at_s = packet_time_s(packet, self._origin)
            if packet.size and at_s is not None and packet.is_keyframe and at_s <= self._time(index):
                held, fresh = [], True
            held.append(packet)
            if packet.size and at_s is not None and at_s < self._time(index):
                continue
            if fresh:
                self._stream.codec_context.flush_buffers()
                fresh = False
            for part in held:
                for frame in decoded(part):
                    time_s = frame_time_s(frame, self._origin)
                    time_s = last_s + 1e-3 if time_s is None else time_s
                    if time_s > last_s:
                        last_s = time_s
                        yield DecodedFrame(time_s, frame, self._scale)
            held = []
            while self._time(index) < last_s:
                index += 1
            if index == len(self._times_s):
                return

    def _time(self, index: int) -> float:
        return self._times_s[index] if index < len(self._times_s) else float("inf")
