"""Probe: a video file -> what it holds, by its packets and by decoding its head and tail, not by its header alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream

from adapters.media.source import (
    Drain,
    decoded,
    frame_time_s,
    open_source,
    origin_s,
    packet_time_s,
    packets,
    picture_stream,
    rotation_deg,
    sniff,
    sound_stream,
)
from contracts.errors import Rejected
from contracts.media import Probe

_MISSING_S = 0.5  # a tail that lacks less than this is not worth a word
_LONGEST_GROUP_S = 60.0  # a last group longer than this is believed: decoding it would be decoding the film
_DEFAULT_FRAME_S = 0.04  # of a single frame whose length is not stored
_HEADER_SLACK = 0.02  # headers round, and audio may outlast the picture
_UNEVEN_SHARE = 0.01  # of frame intervals; one dropped frame does not make the rate variable
_UNEVEN_BY = 0.2  # of the median interval


@dataclass(slots=True)
class _Track:
    """Times of one stream's packets in file order, and which begin a group of pictures."""

    times_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    keys: list[float] = field(default_factory=list)

    def add(self, packet: Any, origin: float) -> None:
        time_s = packet_time_s(packet, origin)
        if time_s is None or not packet.size or packet.is_discard:
            return
        self.times_s.append(time_s)
        self.ends_s.append(time_s + float((packet.duration or 0) * packet.time_base))
        if packet.is_keyframe:
            self.keys.append(time_s)


def probe(path: Path, *, threads: int = 1) -> Probe:
    """Return what a file holds. Reads all packets; decodes the first frame and the last group of pictures only.

    Raises: Rejected (permanent): EMPTY_FILE, NOT_A_VIDEO, NO_VIDEO_STREAM, CORRUPT_VIDEO, UNSUPPORTED_CODEC.
    """
    container_type = sniff(path)
    with open_source(path) as container:
        film, sound = picture_stream(container, threads=threads), sound_stream(container)
        picture, audio = _read(container, film, sound)
        claimed_s = _claimed_s(container, film)
        codec, audio_codec = film.codec_context.name, _codec_name(sound)
    first = _first_frame(path, threads=threads)
    rate_hz = _mean_rate_hz(picture.times_s)
    end_s, broken = _good_end(path, picture, 1 / rate_hz if rate_hz else _DEFAULT_FRAME_S, threads=threads)
    sound_end_s = max(audio.ends_s, default=0.0)
    short = max(end_s, sound_end_s) + max(_MISSING_S, _HEADER_SLACK * claimed_s) < claimed_s
    return Probe(
        container=container_type,
        claimed_s=claimed_s,
        picture_end_s=end_s,
        sound_end_s=sound_end_s,
        width_px=first.width,
        height_px=first.height,
        rotation_deg=rotation_deg(first),
        frame_rate_hz=rate_hz,
        variable_frame_rate=_uneven(picture.times_s),
        video_codec=codec,
        pixel_format=first.format.name,
        audio_codec=audio_codec,
        damaged_tail=broken or short,
    )


def _read(container: Any, film: VideoStream, sound: Any) -> tuple[_Track, _Track]:
    origin = origin_s(film)
    picture, audio = _Track(), _Track()
    for packet in packets(container, *(s for s in (film, sound) if s is not None)):
        (picture if packet.stream_index == film.index else audio).add(packet, origin)
    return picture, audio


def _codec_name(stream: Any) -> str:
    if stream is None:
        return ""
    return "unknown" if stream.codec_context is None else str(stream.codec_context.name)


def _claimed_s(container: Any, film: VideoStream) -> float:
    if film.duration is not None and film.time_base is not None:
        return float(film.duration * film.time_base)
    return float(container.duration / av.time_base) if container.duration else 0.0


def _first_frame(path: Path, *, threads: int) -> Any:
    with open_source(path) as container:
        film = picture_stream(container, threads=threads)
        for packet in packets(container, film):
            for frame in decoded(packet):
                return frame
    raise Rejected("CORRUPT_VIDEO", "the file is damaged: no frame of it can be decoded")


def _good_end(path: Path, picture: _Track, step_s: float, *, threads: int) -> tuple[float, bool]:
    """Return the end of the last frame that decodes, and whether later packets are damaged.

    Decodes the last group of pictures; when nothing of it is good, the one before, and so on.
    """
    last_s, stored_end_s = max(picture.times_s, default=0.0), max(picture.ends_s, default=0.0)
    end_s = stored_end_s if stored_end_s > last_s else last_s + step_s
    groups_s = sorted({0.0, *(key for key in picture.keys if key > 0)}, reverse=True)
    if last_s - groups_s[0] > _LONGEST_GROUP_S:
        return end_s, False
    until_s = float("inf")
    with open_source(path) as container:
        film = picture_stream(container, threads=threads)
        for from_s in groups_s:
            good_s = _last_good_s(container, film, from_s, until_s)
            if good_s is not None:
                broken = last_s - good_s > max(_MISSING_S, 3 * step_s)
                return (good_s + step_s if broken else end_s), broken
            until_s = from_s
    return step_s, True  # only the first frame decodes


def _last_good_s(container: Any, film: VideoStream, from_s: float, until_s: float) -> float | None:
    """Return the time of the last good frame in [from_s, until_s); None without one."""
    origin = origin_s(film)
    try:
        container.seek(round((from_s + origin) / (film.time_base or 1)), stream=film)
    except av.error.FFmpegError:
        return None
    film.codec_context.flush_buffers()
    last: float | None = None
    for packet in _group(container, film, origin, until_s):
        for frame in decoded(packet):
            time_s = frame_time_s(frame, origin)
            if time_s is not None and from_s <= time_s < until_s:
                last = time_s if last is None else max(last, time_s)
    return last


def _group(container: Any, film: VideoStream, origin: float, until_s: float) -> Iterator[Any]:
    for packet in packets(container, film):
        at_s = packet_time_s(packet, origin)
        if packet.is_keyframe and at_s is not None and at_s >= until_s:
            yield Drain(film)
            return
        yield packet


def _mean_rate_hz(times_s: list[float]) -> float:
    span_s = max(times_s, default=0.0) - min(times_s, default=0.0)
    return (len(times_s) - 1) / span_s if span_s > 0 else 0.0


def _uneven(times_s: list[float]) -> bool:
    steps = np.diff(np.unique(np.asarray(times_s, np.float64)))
    if steps.size < 2:  # noqa: PLR2004  # two intervals are the least that can differ
        return False
    median = float(np.median(steps))
    return bool(np.mean(np.abs(steps - median) > max(_UNEVEN_BY * median, 0.002)) > _UNEVEN_SHARE)
