"""Film: shots (pictures or footage) and a voice-over -> an H.264/AAC MP4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

WIDTH_PX, HEIGHT_PX, RATE_HZ = 640, 360, 25
AUDIO_HZ = 44_100
_ZOOM = 0.12  # share of the picture that the camera moves in during a shot

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shot:
    """A stretch of the film.

    Attributes:
        source: picture (the camera moves in slowly) or footage (played from its start).
        seconds: length; footage may be shorter and then ends the shot.
        voice: sound files spoken one after another from the shot's start; empty keeps the footage's own sound.
    """

    source: Path
    seconds: float
    voice: tuple[Path, ...] = ()


def make(path: Path, shots: Sequence[Shot]) -> None:
    """Write a film of hard cuts; audio is padded with silence to the picture's length."""
    import av

    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        video = film.add_stream("libx264", rate=RATE_HZ, options={"preset": "veryfast", "crf": "24"})
        video.width, video.height, video.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        audio = film.add_stream("aac", rate=AUDIO_HZ, layout="mono")
        sound: list[npt.NDArray[np.float32]] = []
        count = 0
        for shot in shots:
            begin = count
            for picture in _pictures(shot):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = count, Fraction(1, RATE_HZ)
                film.mux(video.encode(frame))
                count += 1
            sound.append(_sound(shot, round((count - begin) / RATE_HZ * AUDIO_HZ)))
        film.mux(video.encode(None))
        samples = np.concatenate(sound)
        for start in range(0, samples.size, 1024):
            block = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = AUDIO_HZ, start, Fraction(1, AUDIO_HZ)
            film.mux(audio.encode(block))
        film.mux(audio.encode(None))
    part.replace(path)


def _pictures(shot: Shot) -> Iterator[Picture]:
    import av
    import cv2

    wanted = round(shot.seconds * RATE_HZ)
    if shot.source.suffix in (".mp4", ".avi"):
        with av.open(str(shot.source)) as footage:
            for number, frame in enumerate(footage.decode(video=0)):
                if number >= wanted:
                    return
                yield _fit(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))
        return
    loaded = cv2.imread(str(shot.source), cv2.IMREAD_COLOR)
    if loaded is None:
        raise FileNotFoundError(shot.source)
    still = np.asarray(cv2.cvtColor(loaded, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    for number in range(wanted):
        share = 1.0 - _ZOOM * number / max(wanted - 1, 1)
        height, width = (round(side * share) for side in still.shape[:2])
        top, left = (still.shape[0] - height) // 2, (still.shape[1] - width) // 2
        yield _fit(still[top : top + height, left : left + width])


def _fit(picture: Picture) -> Picture:
    """Scale into the frame, centred on a blurred copy of itself."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(WIDTH_PX / width, HEIGHT_PX / height)
    inner = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    canvas = cv2.blur(cv2.resize(picture, (WIDTH_PX, HEIGHT_PX)), (61, 61)) // 3
    top, left = (HEIGHT_PX - inner.shape[0]) // 2, (WIDTH_PX - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return np.asarray(canvas, dtype=np.uint8)


def _sound(shot: Shot, samples: int) -> npt.NDArray[np.float32]:
    out = np.zeros(samples, np.float32)
    at = round(0.3 * AUDIO_HZ)
    sources: tuple[Path, ...] = shot.voice
    if not sources and shot.source.suffix == ".mp4":
        sources, at = (shot.source,), 0
    for source in sources:
        spoken = decode(source)[: max(samples - at, 0)]
        out[at : at + spoken.size] = spoken
        at += spoken.size + round(0.25 * AUDIO_HZ)
    return out


def decode(path: Path) -> npt.NDArray[np.float32]:
    """Return a file's sound, mono at ``AUDIO_HZ``, float32 in [-1, 1], shape (n,); empty without a track."""
    import av

    with av.open(str(path)) as file:
        if not file.streams.audio:
            return np.zeros(0, np.float32)
        resampler = av.AudioResampler("flt", "mono", AUDIO_HZ)
        blocks = [b.to_ndarray()[0] for f in file.decode(audio=0) for b in resampler.resample(f)]
        blocks += [b.to_ndarray()[0] for b in resampler.resample(None)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
