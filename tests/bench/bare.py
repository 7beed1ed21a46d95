"""Bare: a film and what was found in it -> seconds of each model and decode call, one after another, and no more.

Run as a program of its own, ``python -m tests.bench.bare``, with the environment of the stack's processes: the task
comes in as JSON, the calls go out as JSON. Each stream is decoded once, which no set of independent stages can do.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from adapters.models import profiles
from adapters.models.profiles import Profile
from adapters.models.settings import ModelSettings
from contracts import plan
from contracts.ports import Float32, UInt8

Made = TypeVar("Made")

_CUTS_WIDTH_PX = 256  # as ``adapters.media.cuts`` scales
LOAD = "load"
"""First word of the calls that a warm process does not make."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done to a film.

    Attributes:
        film: path.
        frames_s: seconds at which the stages look at a frame, rising.
        passages: what is said, a scene or a part of one each.
        models_dir: folder of the small profile's models.
        faces_model: YuNet's file; empty for none.
        speech_threads: threads of the speech model.
        threads: threads of everything else.
    """

    film: str
    frames_s: tuple[float, ...]
    passages: tuple[str, ...]
    models_dir: str
    faces_model: str
    speech_threads: int
    threads: int


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of call: how often, and the seconds of all of them."""

    name: str
    times: int
    seconds: float


class _Watch:
    """Adds up the seconds of named calls."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def of(self, name: str, call: Callable[..., Made], *arguments: Any) -> Made:
        """Return what the call returns, noting its time."""
        begin = time.perf_counter()
        made = call(*arguments)
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - begin
        self._times[name] = self._times.get(name, 0) + 1
        return made

    def calls(self) -> list[Call]:
        """Return the calls in the order of their first time."""
        return [Call(name, self._times[name], seconds) for name, seconds in self._seconds.items()]


def measure(task: Task) -> list[Call]:
    """Make every call once and return how long each took."""
    watch = _Watch()
    samples = watch.of("decode and resample the sound", _sound, task.film)
    pictures = _pictures(task, watch)
    _speech(task, samples, watch)
    _texts(task, watch)
    _sight(task, pictures, watch)
    _faces(task, pictures, watch)
    return watch.calls()


def _sound(film: str) -> Float32:
    import av

    with av.open(film) as file:
        resampler = av.AudioResampler("s16", "mono", 16_000)
        blocks = [b.to_ndarray()[0] for f in file.decode(audio=0) for b in resampler.resample(f)]
        blocks += [b.to_ndarray()[0] for b in resampler.resample(None)]
    return np.concatenate(blocks).astype(np.float32) / 32768.0


def _pictures(task: Task, watch: _Watch) -> list[UInt8]:
    """Decode every frame, look for cuts, and keep the frames that are looked at."""
    import av
    from av.video.reformatter import VideoReformatter
    from scenedetect import AdaptiveDetector, FrameTimecode

    detector = AdaptiveDetector(adaptive_threshold=plan.SCENE_THRESHOLD, min_scene_len=0)
    scale = VideoReformatter()
    wanted = iter([*task.frames_s, float("inf")])
    at_s = next(wanted)
    kept: list[UInt8] = []
    with av.open(task.film) as file:
        stream = file.streams.video[0]
        stream.codec_context.thread_count = task.threads
        decoding: Iterator[Any] = file.decode(stream)
        number = 0
        while (frame := watch.of("decode the picture", next, decoding, None)) is not None:
            small = watch.of("scale it for the cuts", _small_picture, scale, frame)
            watch.of("AdaptiveDetector", detector.process_frame, FrameTimecode(number, fps=25.0), small)
            while frame.time >= at_s:
                kept.append(watch.of("keep the sampled frames", _picture, frame))
                at_s = next(wanted)
            number += 1
    return kept


def _small_picture(scale: Any, frame: Any) -> UInt8:
    height = max(1, round(frame.height * _CUTS_WIDTH_PX / frame.width))
    scaled = scale.reformat(frame, _CUTS_WIDTH_PX, height, "bgr24", interpolation="FAST_BILINEAR")
    return np.asarray(scaled.to_ndarray(), np.uint8)


def _picture(frame: Any) -> UInt8:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _speech(task: Task, samples: Float32, watch: _Watch) -> None:
    from adapters.models.speech import faster_whisper as whisper

    speech: Any = _small().speech.make(_settings(task, task.speech_threads))
    model = watch.of(f"{LOAD} Whisper", speech._load)

    def transcribe() -> int:
        segments, _ = model.transcribe(
            samples,
            beam_size=whisper._BEAM,
            condition_on_previous_text=False,
            vad_filter=True,
            word_timestamps=True,
            no_speech_threshold=whisper._NO_SPEECH,
            log_prob_threshold=whisper._LOG_PROBABILITY,
            compression_ratio_threshold=whisper._COMPRESSION_RATIO,
        )
        return sum(1 for _ in segments)

    watch.of("faster-whisper transcribe", transcribe)


def _texts(task: Task, watch: _Watch) -> None:
    encoder: Any = _small().text.make(_settings(task, task.threads))
    watch.of(f"{LOAD} the text encoder", encoder.encode_passages, ["먼저"])
    for batch in _batches(task.passages):
        watch.of("encode the texts", encoder.encode_passages, batch)


def _sight(task: Task, pictures: Sequence[UInt8], watch: _Watch) -> None:
    from adapters.models.vision.efficientnet import EfficientNetLite0
    from adapters.models.vision.label_bridge import NET_FILE

    path = Path(task.models_dir) / NET_FILE
    net = watch.of(f"{LOAD} EfficientNet", partial(EfficientNetLite0, path, threads=task.threads))
    for picture in pictures:
        watch.of("EfficientNet", net.probabilities, picture)


def _faces(task: Task, pictures: Sequence[UInt8], watch: _Watch) -> None:
    faces: Any = _small().faces.make(_settings(task, task.threads))
    affect: Any = _small().affect.make(_settings(task, task.threads))
    watch.of(f"{LOAD} the face models", faces._load)
    watch.of(f"{LOAD} the expression model", affect._load)
    for picture in pictures:
        found = watch.of("find faces and their vectors", faces.find, picture)
        boxes = [face.box for face in found]
        if boxes:
            watch.of("read expressions", affect.read, picture, boxes)


def _small() -> Profile:
    return profiles.profile("small")


def _settings(task: Task, threads: int) -> ModelSettings:
    faces_model = Path(task.faces_model) if task.faces_model else None
    return ModelSettings(Path(task.models_dir), faces_model, threads)


def _batches(texts: Sequence[str], size: int = 16) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def main() -> None:
    """Read a task, measure, write the calls."""
    task = Task(**json.load(sys.stdin))
    json.dump([asdict(call) for call in measure(task)], sys.stdout)


if __name__ == "__main__":
    main()
