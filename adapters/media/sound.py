"""Sound: a video's audio track -> a mono 16 kHz WAV whose sample 0 is the start of the picture; a WAV -> samples."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from adapters.media.source import decoded, open_source, origin_s, packets, picture_stream, sound_stream
from contracts.errors import Rejected
from contracts.ports import Float32, Progress

RATE_HZ = 16_000
_HOLE_S = 0.05  # a track that is further than this from where it should be has a hole, or an overlap
_BLOCK = RATE_HZ

Int16 = npt.NDArray[np.int16]


def extract(path: Path, wav: Path, *, duration_s: float, progress: Progress) -> float | None:
    """Write the best audio track as mono 16 kHz 16-bit WAV of exactly ``duration_s``.

    Holes in the track and its missing beginning or end are silence, so sample n is heard at n / 16000 s of the video.

    Returns: where the track begins, seconds from video start (negative when it begins earlier); None without a track.

    Raises: Rejected (permanent): UNSUPPORTED_CODEC when no decoder knows it, CORRUPT_VIDEO when nothing decodes.
    """
    total = round(duration_s * RATE_HZ)
    with open_source(path) as container:
        origin = origin_s(picture_stream(container))
        stream = sound_stream(container)
        if stream is None:
            return None
        context: Any = stream.codec_context
        if context is None:
            raise Rejected("UNSUPPORTED_CODEC", "the audio codec is not supported")
        start_s: float | None = None
        with wave.open(str(wav), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE_HZ)
            written = 0
            for time_s, samples in _resampled(container, stream, origin):
                start_s = time_s if start_s is None else start_s
                at = round(time_s * RATE_HZ)
                written += _silence(out, min(at, total) - written)
                part = samples[max(0, written - at) : max(0, total - at)]
                out.writeframes(part.tobytes())
                written += part.size
                if total:
                    progress(min(1.0, written / total))
            _silence(out, total - written)
    if start_s is None:
        raise Rejected("CORRUPT_VIDEO", "the audio track is damaged: nothing of it can be decoded")
    progress(1.0)
    return start_s


def read_wav(path: Path) -> Float32:
    """Return the samples of a mono 16-bit WAV as float32 in [-1, 1), shape (n,)."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    scaled: Float32 = np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)
    return scaled


class _Stretch:
    """A run of sound without hole and in one format, resampled as it comes."""

    def __init__(self, frame: Any, begin_s: float) -> None:
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        self._format = _format(frame)
        self._begin_s = begin_s
        self._taken_s = 0.0
        self._made = 0

    def goes_on_with(self, frame: Any, time_s: float | None) -> bool:
        """Return whether a frame belongs to this run."""
        late_s = 0.0 if time_s is None else time_s - self._begin_s - self._taken_s
        return _format(frame) == self._format and abs(late_s) <= _HOLE_S

    def add(self, frame: Any) -> Iterator[tuple[float, Int16]]:
        """Yield what a frame completes, with its time."""
        self._taken_s += frame.samples / frame.sample_rate
        frame.pts = None  # by itself the resampler would fill or drop samples
        yield from self._resample(frame)

    def end(self) -> Iterator[tuple[float, Int16]]:
        """Yield the rest that the resampler holds back."""
        yield from self._resample(None)

    def _resample(self, frame: Any) -> Iterator[tuple[float, Int16]]:
        for block in self._resampler.resample(frame):
            samples = np.asarray(block.to_ndarray()[0], np.int16)
            yield self._begin_s + self._made / RATE_HZ, samples
            self._made += samples.size


def _format(frame: Any) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name


def _resampled(container: Any, stream: Any, origin: float) -> Iterator[tuple[float, Int16]]:
    """Yield stretches of sound (start in seconds from video start, samples)."""
    stretch: _Stretch | None = None
    for packet in packets(container, stream):
        for frame in decoded(packet):
            time_s = None if frame.pts is None else float(frame.pts * frame.time_base) - origin
            if stretch is not None and not stretch.goes_on_with(frame, time_s):
                yield from stretch.end()
                stretch = None
            if stretch is None:
                stretch = _Stretch(frame, time_s or 0.0)
            yield from stretch.add(frame)
    if stretch is not None:
        yield from stretch.end()


def _silence(out: wave.Wave_write, samples: int) -> int:
    """Write silence; return how many samples were written, 0 for a negative number."""
    left = max(0, samples)
    while left:
        block = min(left, _BLOCK)
        out.writeframes(bytes(2 * block))
        left -= block
    return max(0, samples)
