"""Audio: a video's sound -> a mono 16 kHz WAV on the video's own clock. Pure but for the file it is told to write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.ports import Progress

RATE_HZ = 16_000

WAV = "audio.wav"
"""Name of the blob."""


class Extract(Protocol):
    """Writes the sound of a file as WAV of exactly ``duration_s``; returns where it begins, None without a track."""

    def __call__(self, path: Path, wav: Path, *, duration_s: float, progress: Progress) -> float | None:
        """Extract; ``adapters.media.sound.extract``."""
        ...


@dataclass(frozen=True, slots=True)
class Track:
    """An extracted track: ``start_ms`` is where the sound began in the video; the WAV itself begins at 0."""

    duration_ms: int
    start_ms: int


def extract_track(source: Path, wav: Path, *, duration_ms: int, extract: Extract, progress: Progress) -> Track | None:
    """Write the sound of ``source`` to ``wav``; None when it has no audio track.

    Raises: Rejected (permanent): the track cannot be decoded.
    """
    start_s = extract(source, wav, duration_s=duration_ms / 1000, progress=progress)
    return None if start_s is None else Track(duration_ms, round(start_s * 1000))
