"""Files of every kind through the line: each ends in its one typed ending, and what is taken comes through whole."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from heimdex.events.v1 import artifact_pb2
from tests.component.processors.line import NOUNS, Line
from tests.media import make

Build = Callable[[Path], Path]


def _story(path: Path, **options: object) -> Path:
    scenes = [(make.card(1), 2.0), (make.card(2), 2.0)]
    return make.make_video(path, scenes, audio=make.tone(4.0), **options)  # type: ignore[arg-type]


def _long(path: Path) -> Path:
    return make.make_video(path, [(make.colour(9, 9, 90), 660.0)], fps=1, size=(64, 48), gop=600)


def _sound_alone(path: Path) -> Path:
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(64))
    return path


def _patched(path: Path, old: bytes, new: bytes) -> Path:
    """Return a story in which some bytes are others."""
    body = _story(path).read_bytes()
    assert old in body
    path.write_bytes(body.replace(old, new))
    return path


def _head(path: Path, size_bytes: int) -> Path:
    path.write_bytes(make.make_video(path, [(make.card(1), 2.0)]).read_bytes()[:size_bytes])
    return path


def _without_decoder(path: Path) -> Path:
    return _patched(path, b"avc1", b"zzzz")


_REJECTED: dict[str, tuple[Build, str]] = {
    "empty.mp4": (make.zero_bytes, "EMPTY_FILE"),
    "text.mp4": (make.text_file, "NOT_A_VIDEO"),
    "no-moov.mp4": (make.truncated, "CORRUPT_VIDEO"),
    "head-alone.mp4": (lambda path: _head(path, 100), "CORRUPT_VIDEO"),
    "half-an-index.mp4": (lambda path: _head(path, 200), "CORRUPT_VIDEO"),
    "sound.mp4": (make.audio_only, "NO_VIDEO_STREAM"),
    "sound.mkv": (make.audio_only, "NO_VIDEO_STREAM"),
    "sound.wav": (_sound_alone, "NO_VIDEO_STREAM"),
    "eleven-minutes.mp4": (_long, "TOO_LONG"),
    "no-decoder.mp4": (_without_decoder, "UNSUPPORTED_CODEC"),
    "tiny.mp4": (lambda path: make.make_video(path, [(make.card(1), 0.4)], size=(8, 8)), "UNSUPPORTED_DIMENSIONS"),
}


@pytest.mark.parametrize("name", _REJECTED)
async def test_what_is_no_video_of_ours_is_rejected(tmp_path: Path, name: str) -> None:
    build, reason = _REJECTED[name]
    line = await Line(build(tmp_path / name).read_bytes()).run()
    assert line.outcomes() == {"validate": "REJECTED"}, "nothing else is begun"
    assert line.reason("validate") == reason
    assert line.endings["validate"].message
    assert not line.dead


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"sha256": "00" * 32}, "DIGEST_MISMATCH"),
        ({"size_bytes": 1}, "SIZE_MISMATCH"),
        ({"etag": "another"}, "SOURCE_GONE"),
        ({"key": "t/acme/v/none/source/original"}, "SOURCE_GONE"),
    ],
    ids=["digest", "size", "changed", "gone"],
)
async def test_a_file_that_is_not_the_declared_one(tmp_path: Path, declared: dict[str, object], reason: str) -> None:
    line = await Line(_story(tmp_path / "film.mp4").read_bytes()).run(**declared)
    assert line.outcomes() == {"validate": "REJECTED"}
    assert line.reason("validate") == reason
    assert not line.dead


async def test_a_file_that_is_too_large_is_not_even_fetched(tmp_path: Path) -> None:
    line = Line(_story(tmp_path / "film.mp4").read_bytes(), max_bytes=1000)
    await line.run(key="t/acme/v/none/source/original")
    assert (line.outcomes(), line.reason("validate")) == ({"validate": "REJECTED"}, "TOO_LARGE")


async def test_a_raised_limit_takes_a_longer_video(tmp_path: Path) -> None:
    line = await Line(_long(tmp_path / "long.mp4").read_bytes(), max_duration_s=3600.0).run()
    assert line.outcomes()["sidecar"] == "OK"
    spans = [(r.scene.start_offset.seconds, r.scene.end_offset.seconds) for r in (await line.sidecar()).scenes]
    assert spans == [(minute * 60, minute * 60 + 60) for minute in range(11)], "no scene is longer than a minute"


_TAKEN: dict[str, Build] = {
    "film.mp4": _story,
    "film.mov": _story,
    "film.mkv": _story,
    "film.webm": _story,
    "film.avi": _story,
    "looks-like-text.txt": lambda path: _story(path.with_suffix(".mp4")),
    "rotated.mp4": lambda path: _story(path, rotation=90),
    "variable.mp4": lambda path: _story(path, vfr=True),
    "odd.mp4": lambda path: _story(path, size=(321, 241)),
    "one-frame.mp4": make.one_frame,
    "cut-off.mkv": lambda path: make.cut_off(path, _story(path.with_name("whole.mkv")), keep=0.8),
    "corrupt-tail.mp4": lambda path: make.corrupt_tail(path, _story(path.with_name("whole.mp4")), keep=0.8),
    "title-in-cp949.avi": lambda path: _patched(path, b"Lavf", "한글".encode("cp949")),
    "title-in-cp949.mkv": lambda path: _patched(path, b"Lavf", "한글".encode("cp949")),
    "late-sound.mp4": lambda path: _story(path, audio_start_s=1.0),
}


@pytest.mark.parametrize("name", _TAKEN)
async def test_what_is_odd_but_fine_comes_through(tmp_path: Path, name: str) -> None:
    line = await Line(_TAKEN[name](tmp_path / name).read_bytes()).run()
    assert set(line.outcomes()) == set(NOUNS)
    assert set(line.outcomes().values()) <= {"OK", "NO_AUDIO_TRACK", "NO_SPEECH", "DISABLED"}, line.outcomes()
    info = artifact_pb2.MediaInfo.FromString(await line.artifact("validate"))
    scenes = [record.scene for record in (await line.sidecar()).scenes]
    edges = [(s.start_offset.ToMilliseconds(), s.end_offset.ToMilliseconds()) for s in scenes]
    assert edges[0][0] == 0
    assert edges[-1][1] == info.duration_ms == line.counts("validate")["duration_ms"]
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    assert len(scenes) == (1 if name == "one-frame.mp4" else 2)
    assert all(scene.keyframe.object_key for scene in scenes)
    assert info.damaged_tail is (name in {"cut-off.mkv", "corrupt-tail.mp4"})
    if name in {"film.mp4", "variable.mp4"}:
        assert info.variable_frame_rate is (name == "variable.mp4")
    if name == "rotated.mp4":
        assert (info.width_px, info.height_px, info.rotation_deg) == (240, 320, 90)
        assert (scenes[0].keyframe.width_px, scenes[0].keyframe.height_px) == (240, 320)
    if line.outcomes()["audio"] == "OK":
        wav = next(blob for blob in (await line.manifest("audio")).blobs if blob.name == "audio.wav")
        assert wav.size_bytes == 44 + 2 * 16 * info.duration_ms, "the sound is as long as the video"


_MEDIA_TYPE = {
    "film.mp4": ("video/mp4", "true"),
    "film.mov": ("video/quicktime", "false"),
    "film.mkv": ("video/x-matroska", "false"),
    "film.webm": ("video/webm", "true"),
    "film.avi": ("video/x-msvideo", "false"),
}


@pytest.mark.parametrize("name", _MEDIA_TYPE)
async def test_the_media_type_goes_by_content(tmp_path: Path, name: str) -> None:
    line = await Line(_story(tmp_path / name).read_bytes()).run()
    labels = line.endings["validate"].labels
    assert (labels["content_type"], labels["browser_playable"]) == _MEDIA_TYPE[name]
