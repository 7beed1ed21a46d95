"""Validate: which files are taken, and the typed reason why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.errors import Rejected
from contracts.media import Container, Probe
from processors.validate import artifact
from processors.validate.stage import check_size, check_source, duration_s, judge

PROBE = Probe(
    container=Container.MP4,
    claimed_s=10.0,
    picture_end_s=10.0,
    sound_end_s=10.02,
    width_px=640,
    height_px=360,
    rotation_deg=0,
    frame_rate_hz=25.00004,
    variable_frame_rate=False,
    video_codec="h264",
    pixel_format="yuv420p",
    audio_codec="aac",
    damaged_tail=False,
)


def _reason(probe: Probe, max_duration_s: float = 600.0) -> str:
    with pytest.raises(Rejected) as caught:
        judge(probe, max_duration_s=max_duration_s)
    return caught.value.reason


def test_a_plain_video_is_taken() -> None:
    media = judge(PROBE, max_duration_s=600.0)
    assert (media.content_type, media.duration_ms, media.browser_playable) == ("video/mp4", 10_000, True)
    assert (media.width_px, media.height_px, media.frame_rate_hz) == (640, 360, 25.0)
    assert artifact.decode(artifact.encode(media)) == media


@pytest.mark.parametrize(
    ("rotation", "size"), [(0, (640, 360)), (90, (360, 640)), (180, (640, 360)), (270, (360, 640))]
)
def test_sides_are_those_of_the_upright_picture(rotation: int, size: tuple[int, int]) -> None:
    media = judge(replace(PROBE, rotation_deg=rotation), max_duration_s=600.0)
    assert (media.width_px, media.height_px) == size


@pytest.mark.parametrize(
    ("picture_s", "sound_s", "damaged", "length_s"),
    [
        (10.0, 10.5, False, 10.0),  # padding of the last block
        (10.0, 300.0, False, 300.0),  # a still picture under a talk
        (10.0, 300.0, True, 10.0),  # the picture is cut off
        (10.0, 0.0, False, 10.0),
    ],
)
def test_the_longer_track_counts_unless_the_picture_broke_off(
    picture_s: float, sound_s: float, length_s: float, *, damaged: bool
) -> None:
    probe = replace(PROBE, picture_end_s=picture_s, sound_end_s=sound_s, damaged_tail=damaged)
    assert duration_s(probe) == length_s


def test_a_limit_has_a_second_of_grace() -> None:
    assert judge(replace(PROBE, picture_end_s=600.9), max_duration_s=600.0).duration_ms == 600_900
    assert _reason(replace(PROBE, picture_end_s=601.1)) == "TOO_LONG"
    assert judge(replace(PROBE, picture_end_s=36_000.0), max_duration_s=0).duration_ms == 36_000_000


def test_a_frame_is_a_video() -> None:
    media = judge(replace(PROBE, picture_end_s=0.0, sound_end_s=0.0, frame_rate_hz=0.0), max_duration_s=600.0)
    assert media.duration_ms == 1


@pytest.mark.parametrize(("width", "height"), [(15, 360), (640, 8), (8193, 360)])
def test_dimensions_out_of_range(width: int, height: int) -> None:
    assert _reason(replace(PROBE, width_px=width, height_px=height)) == "UNSUPPORTED_DIMENSIONS"


@pytest.mark.parametrize(
    ("claimed_s", "left_s", "taken"), [(100.0, 3.0, True), (100.0, 2.9, False), (4.0, 2.0, True), (4.0, 1.9, False)]
)
def test_a_damaged_video_is_taken_for_what_is_left(claimed_s: float, left_s: float, *, taken: bool) -> None:
    probe = replace(PROBE, claimed_s=claimed_s, picture_end_s=left_s, damaged_tail=True)
    if taken:
        assert judge(probe, max_duration_s=600.0).damaged_tail
    else:
        assert _reason(probe) == "CORRUPT_VIDEO"


@pytest.mark.parametrize(
    ("container", "codec", "pixels", "sound", "playable"),
    [
        (Container.MP4, "h264", "yuv420p", "", True),
        (Container.MP4, "hevc", "yuv420p", "aac", False),
        (Container.MP4, "h264", "yuv444p", "aac", False),
        (Container.MP4, "h264", "yuv420p", "ac3", False),
        (Container.WEBM, "vp9", "yuv420p", "opus", True),
        (Container.WEBM, "libdav1d", "yuv420p", "vorbis", True),
        (Container.MATROSKA, "h264", "yuv420p", "aac", False),
        (Container.AVI, "mpeg4", "yuv420p", "mp3", False),
    ],
)
def test_what_browsers_play(container: Container, codec: str, pixels: str, sound: str, playable: object) -> None:
    probe = replace(PROBE, container=container, video_codec=codec, pixel_format=pixels, audio_codec=sound)
    assert judge(probe, max_duration_s=600.0).browser_playable is playable


def test_codecs_go_by_their_own_names() -> None:
    media = judge(replace(PROBE, video_codec="libdav1d", audio_codec="mp3float"), max_duration_s=600.0)
    assert (media.video_codec, media.audio_codec) == ("av1", "mp3")


@pytest.mark.parametrize(
    ("size", "digest", "reason"), [(0, "aa", "EMPTY_FILE"), (6, "aa", "SIZE_MISMATCH"), (7, "bb", "DIGEST_MISMATCH")]
)
def test_a_file_that_is_not_the_declared_one(size: int, digest: str, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        check_source(size, digest, declared_bytes=7, declared_sha256="aa")
    assert caught.value.reason == reason


def test_a_file_that_is_the_declared_one() -> None:
    check_source(7, "aa", declared_bytes=7, declared_sha256="aa")
    check_source(7, "aa", declared_bytes=7, declared_sha256="")


def test_size_has_a_limit() -> None:
    check_size(7, max_bytes=7)
    with pytest.raises(Rejected) as caught:
        check_size(8, max_bytes=7)
    assert (caught.value.reason, caught.value.metadata) == ("TOO_LARGE", {"size_bytes": "8", "limit_bytes": "7"})
