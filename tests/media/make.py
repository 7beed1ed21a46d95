"""Make: pictures, colours, frames and sound -> video files of every container and every defect the tests need."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

Rgb = tuple[int, int, int]
Image = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]
Source = Rgb | Path | Image | Sequence[Image] | Callable[[float], Image]
"""A colour card, a picture file, a picture, frames one by one, or a function of the scene's time in seconds."""

RATE_HZ = 16_000
"""Of every sound array here."""

_VIDEO_CODEC = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".webm": "libvpx"}
_AUDIO_CODEC = {".mp4": "aac", ".mov": "aac", ".mkv": "aac", ".avi": "libmp3lame", ".webm": "libopus"}
_CODEC_HZ = {"libopus": 48_000, "libmp3lame": 44_100, "aac": 44_100}
_FORMAT = {".mkv": "matroska"}


def make_video(
    path: Path,
    scenes: Sequence[tuple[Source, float]],
    *,
    audio: Path | Samples | None = None,
    audio_start_s: float = 0.0,
    fps: int = 25,
    size: tuple[int, int] = (320, 240),
    rotation: int = 0,
    vfr: bool = False,
    gop: int = 50,
    video_codec: str | None = None,
    faststart: bool = True,
) -> Path:
    """Write a video of hard cuts and return its path; the container is told by the suffix.

    Args:
        scenes: source and length in seconds of each.
        audio: sound file or mono float32 at 16 kHz; None makes a video without audio track.
        audio_start_s: where the sound begins; earlier there is no audio packet at all.
        size: stored width and height; odd ones are stored in 4:4:4.
        rotation: clockwise turn that players apply: 0, 90, 180 or 270 (MP4 and MOV).
        vfr: every other half second keeps one frame in three.
        gop: frames between key frames.
        faststart: moov before mdat (MP4 and MOV).
    """
    suffix = path.suffix.lower()
    options = {"movflags": "+faststart"} if faststart and suffix in {".mp4", ".mov"} else {}
    with av.open(str(path), "w", format=_FORMAT.get(suffix), options=options) as file:
        codec = video_codec or _VIDEO_CODEC[suffix]
        picture: Any = file.add_stream(codec, rate=fps, options=_speed(codec))
        picture.width, picture.height = size
        picture.pix_fmt = "yuv444p" if (size[0] | size[1]) % 2 and codec == "libx264" else "yuv420p"
        picture.gop_size = gop
        tick = 1 if suffix == ".avi" else 100  # AVI keeps no finer time than its frame rate
        picture.time_base = picture.codec_context.time_base = Fraction(1, fps * tick)
        sound: Any = None
        if audio is not None:
            name = _AUDIO_CODEC[suffix]
            sound = file.add_stream(name, rate=_CODEC_HZ[name], layout="mono")
        for number, image in _pictures(scenes, fps, size):
            if vfr and (2 * number // fps) % 2 and number % 3:
                continue
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number * tick, Fraction(1, fps * tick)
            file.mux(picture.encode(frame))
        file.mux(picture.encode(None))
        if sound is not None:
            samples = read_sound(audio) if isinstance(audio, Path) else np.asarray(audio, np.float32)
            _mux_sound(file, sound, samples, audio_start_s)
    if rotation:
        _rotate(path, rotation)
    return path


def colour(red: int, green: int, blue: int) -> Rgb:
    """Return a colour card."""
    return red, green, blue


def card(seed: int, size: tuple[int, int] = (320, 240)) -> Image:
    """Return a picture of coloured blocks, another for each seed: sharp, and unlike any other."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(blocks, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def tone(seconds: float, hz: float = 440.0, level: float = 0.3) -> Samples:
    """Return a sine at 16 kHz."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (level * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def music(seconds: float) -> Samples:
    """Return chords that change twice a second: sound without a voice."""
    parts = [sum(tone(0.5, hz * 2 ** (step / 12), 0.1) for hz in (220.0, 277.2, 329.6)) for step in (0, 5, 7, 5)]
    once = np.concatenate([np.asarray(part, np.float32) for part in parts])
    return np.resize(once, round(seconds * RATE_HZ)).astype(np.float32)


def silence(seconds: float) -> Samples:
    """Return nothing to hear at 16 kHz."""
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def read_sound(path: Path) -> Samples:
    """Return a sound file as mono float32 at 16 kHz."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        blocks = [b.to_ndarray()[0] for f in file.decode(audio=0) for b in resampler.resample(f)]
        blocks += [b.to_ndarray()[0] for b in resampler.resample(None)]
    return np.concatenate(blocks).astype(np.float32)


# ------------------------------------------------------------------------------------------- bad ones


def zero_bytes(path: Path) -> Path:
    """Write an empty file."""
    path.write_bytes(b"")
    return path


def text_file(path: Path) -> Path:
    """Write a text, whatever the suffix says."""
    path.write_text("이것은 영상이 아닙니다. This is no video.\n" * 50)
    return path


def truncated(path: Path, *, seconds: float = 4.0) -> Path:
    """Write an MP4 that ends before its moov, as when a recording was cut off."""
    whole = make_video(path.with_name(f"whole-{path.name}"), [(card(1), seconds)], faststart=False)
    body = whole.read_bytes()
    path.write_bytes(body[: body.rindex(b"moov") - 4])
    return path


def cut_off(path: Path, source: Path, *, keep: float) -> Path:
    """Write the first ``keep`` share of a file's bytes."""
    body = source.read_bytes()
    path.write_bytes(body[: int(len(body) * keep)])
    return path


def corrupt_tail(path: Path, source: Path, *, keep: float) -> Path:
    """Write a file whose bytes after the first ``keep`` share are noise; the size stays."""
    body = source.read_bytes()
    whole = int(len(body) * keep)
    path.write_bytes(body[:whole] + np.random.default_rng(0).bytes(len(body) - whole))
    return path


def audio_only(path: Path, *, seconds: float = 3.0) -> Path:
    """Write an MP4 or MKV with sound and no picture."""
    suffix = path.suffix.lower()
    with av.open(str(path), "w", format=_FORMAT.get(suffix)) as file:
        name = _AUDIO_CODEC[suffix]
        _mux_sound(file, file.add_stream(name, rate=_CODEC_HZ[name], layout="mono"), tone(seconds), 0.0)
    return path


def one_frame(path: Path) -> Path:
    """Write a video of a single frame."""
    return make_video(path, [([card(3)], 1 / 25)])


# --------------------------------------------------------------------------------------------- inside


def _speed(codec: str) -> dict[str, str]:
    if codec == "libx264":
        return {"preset": "ultrafast", "crf": "20", "tune": "fastdecode", "bf": "2"}
    return {"deadline": "realtime", "cpu-used": "8", "b": "2M"} if codec.startswith("libvpx") else {"b": "2M"}


def _pictures(scenes: Sequence[tuple[Source, float]], fps: int, size: tuple[int, int]) -> Iterator[tuple[int, Image]]:
    number, at_s = 0, 0.0
    for source, seconds in scenes:
        at_s += seconds
        first, end = number, round(at_s * fps)
        show = _shower(source, size)
        for number in range(first, end):
            yield number, show(number - first, (number - first) / fps)
        number = end


def _shower(source: Source, size: tuple[int, int]) -> Callable[[int, float], Image]:
    if isinstance(source, Path):
        loaded = cv2.imread(str(source), cv2.IMREAD_COLOR)
        if loaded is None:
            raise FileNotFoundError(source)
        source = np.asarray(cv2.cvtColor(loaded, cv2.COLOR_BGR2RGB), np.uint8)
    if isinstance(source, np.ndarray):
        still = _fit(source, size)
        return lambda _number, _time_s: still
    if callable(source):
        draw = source
        return lambda _number, time_s: _fit(draw(time_s), size)
    if isinstance(source, tuple) and isinstance(source[0], int):
        plain = np.full((size[1], size[0], 3), source, np.uint8)
        return lambda _number, _time_s: plain
    frames: Sequence[Image] = source  # type: ignore[assignment]
    return lambda number, _time_s: _fit(frames[min(number, len(frames) - 1)], size)


def _fit(image: Image, size: tuple[int, int]) -> Image:
    """Scale into ``size`` on black, keeping the shape."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    inner = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - inner.shape[0]) // 2, (size[0] - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


def _mux_sound(file: Any, stream: Any, samples: Samples, start_s: float) -> None:
    rate_hz = stream.rate
    resampler = av.AudioResampler("fltp", "mono", rate_hz)
    block = av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
    block.sample_rate, block.pts, block.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
    resampled = np.concatenate([f.to_ndarray()[0] for b in (block, None) for f in resampler.resample(b)])
    sample_format = {"libopus": "flt"}.get(stream.codec.name, "fltp")
    step = 960 if stream.codec.name == "libopus" else 1152 if stream.codec.name == "libmp3lame" else 1024
    for begin in range(0, resampled.size, step):
        part = np.ascontiguousarray(resampled[None, begin : begin + step], np.float32)
        frame = av.AudioFrame.from_ndarray(part, format=sample_format, layout="mono")
        frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
        frame.pts = begin + round(start_s * rate_hz)
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def _rotate(path: Path, degrees: int) -> None:
    """Write the matrix of a clockwise turn into the header of the first track with a picture."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    body = bytearray(path.read_bytes())
    at = body.index(b"tkhd") + 4 + 4 + 20 + 16  # version and flags, times and ids, reserved to volume
    one = 1 << 16
    matrix = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    body[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(bytes(body))
