"""Source: a file's first bytes -> its container; a file -> open streams with one origin of time.

The demuxer is chosen by magic bytes and named to FFmpeg, so that a file which merely looks like a playlist or a script
is never followed anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from contracts.errors import Rejected
from contracts.media import Container

_HEAD_BYTES = 4096
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
_SOUND = (b"ID3", b"fLaC", b"FORM", b".snd")
_DEMUXER = {
    Container.MP4: "mov",
    Container.MOV: "mov",
    Container.AVI: "avi",
    Container.MATROSKA: "matroska",
    Container.WEBM: "matroska",
}


def sniff(path: Path) -> Container:
    """Return the container of a file by its first bytes.

    Raises: Rejected (permanent): EMPTY_FILE, NO_VIDEO_STREAM for sound formats, NOT_A_VIDEO for all else.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise Rejected("EMPTY_FILE", "the file has no bytes")
    if head[4:8] in _BOXES:
        brand = head[8:12] if head[4:8] == b"ftyp" else b""
        if brand in _STILL_BRANDS:
            raise Rejected("NOT_A_VIDEO", "the file is a still picture")
        return Container.MOV if brand in {b"qt  ", b""} else Container.MP4
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Container.AVI
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return Container.WEBM if b"webm" in head[:64] else Container.MATROSKA
    if head.startswith(_SOUND) or (head[:4] == b"RIFF" and head[8:12] == b"WAVE"):
        raise Rejected("NO_VIDEO_STREAM", "the file has sound but no picture")
    raise Rejected("NOT_A_VIDEO", "the file is not an MP4, MOV, AVI, MKV or WebM video")


@contextmanager
def open_source(path: Path) -> Iterator[InputContainer]:
    """Open a video file for reading; damage in it surfaces as Rejected CORRUPT_VIDEO (permanent)."""
    demuxer = _DEMUXER[sniff(path)]
    try:
        container = av.open(
            str(path),
            format=demuxer,
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",  # titles in CP949 and the like, which nobody reads
        )
    except av.error.FFmpegError as error:
        raise Rejected("CORRUPT_VIDEO", "the file is damaged or cut off: its index cannot be read") from error
    with container:
        yield container


def picture_stream(container: InputContainer, *, threads: int = 1) -> VideoStream:
    """Return the stream that is the film; cover art is none.

    Raises: Rejected (permanent): NO_VIDEO_STREAM, UNSUPPORTED_CODEC, CORRUPT_VIDEO.
    """
    films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not films and not container.streams.audio:
        raise Rejected("CORRUPT_VIDEO", "the file is damaged or cut off: it has neither picture nor sound")
    if not films:
        raise Rejected("NO_VIDEO_STREAM", "the file has sound but no picture")
    best = container.streams.best("video")
    stream = next((s for s in films if best is not None and s.index == best.index), films[0])
    context: Any = stream.codec_context  # None when no decoder is known
    if context is None:
        raise Rejected("UNSUPPORTED_CODEC", "the video codec is not supported")
    context.thread_type = "AUTO"
    context.thread_count = threads
    return stream


def sound_stream(container: InputContainer) -> AudioStream | None:
    """Return the audio stream that FFmpeg finds best, None without one."""
    sounds = container.streams.audio
    best = container.streams.best("audio")
    return next((s for s in sounds if best is not None and s.index == best.index), sounds[0] if sounds else None)


def origin_s(stream: VideoStream) -> float:
    """Return the time, on the file's clock, that counts as zero: the first frame of the picture."""
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def packet_time_s(packet: Any, origin: float) -> float | None:
    """Return when a packet is shown, from ``origin``; by decoding time where no other is stored; None for neither."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else float(ticks * packet.time_base) - origin


def frame_time_s(frame: VideoFrame, origin: float) -> float | None:
    """Return when a frame is shown, from ``origin``; None when the file does not say."""
    ticks = frame.pts if frame.pts is not None else frame.dts
    return None if ticks is None or frame.time_base is None else float(ticks * frame.time_base) - origin


@dataclass(frozen=True, slots=True)
class Drain:
    """A packet of nothing: gives what the decoder still holds."""

    stream: Any
    size: int = 0
    pts: int | None = None
    dts: int | None = None
    is_keyframe: bool = False

    @property
    def stream_index(self) -> int:
        """Of the stream that is drained."""
        return int(self.stream.index)

    def decode(self) -> list[Any]:
        """Return the last frames."""
        return list(self.stream.decode(None))


def packets(container: InputContainer, *streams: Any) -> Iterator[Any]:
    """Yield packets in file order, then an empty one a stream to drain its decoder, also where the file breaks off."""
    try:
        yield from container.demux(*streams)
    except av.error.FFmpegError:
        yield from (Drain(stream) for stream in streams)


def decoded(packet: Any) -> list[Any]:
    """Return the good frames that a packet completes; none for a damaged packet."""
    try:
        return [frame for frame in packet.decode() if not frame.is_corrupt]
    except av.error.FFmpegError:
        return []


def frames(container: InputContainer, stream: VideoStream) -> Iterator[tuple[float, VideoFrame]]:
    """Yield every good frame with its time in seconds from the origin, in strictly rising order of time."""
    origin, last_s = origin_s(stream), None
    step_s = float(1 / stream.average_rate) if stream.average_rate else 0.04
    for packet in packets(container, stream):
        for frame in decoded(packet):
            time_s = frame_time_s(frame, origin)
            if time_s is None:
                time_s = 0.0 if last_s is None else last_s + step_s
            if last_s is None or time_s > last_s:
                last_s = time_s
                yield time_s, frame


def rotation_deg(frame: VideoFrame) -> int:
    """Return the clockwise turn that makes a frame upright: 0, 90, 180 or 270."""
    return round(-frame.rotation / 90) * 90 % 360
