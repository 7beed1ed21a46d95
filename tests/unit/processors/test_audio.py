"""Audio: a track with its beginning on the video's clock, or that there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.ports import Progress
from processors.audio import artifact
from processors.audio.stage import Track, extract_track


@pytest.mark.parametrize(
    ("start_s", "track"), [(None, None), (0.0, Track(5000, 0)), (1.2345, Track(5000, 1234)), (-0.02, Track(5000, -20))]
)
def test_the_track_is_as_long_as_the_video(start_s: float | None, track: Track | None) -> None:
    asked: list[tuple[Path, Path, float]] = []

    def extract(path: Path, wav: Path, *, duration_s: float, progress: Progress) -> float | None:
        asked.append((path, wav, duration_s))
        return start_s

    made = extract_track(Path("in"), Path("out"), duration_ms=5000, extract=extract, progress=lambda _: None)
    assert made == track
    assert asked == [(Path("in"), Path("out"), 5.0)]
    if made is not None:
        assert artifact.decode(artifact.encode(made)) == made
