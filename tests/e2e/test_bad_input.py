"""Bad input through the SDK on the real stack: each file ends in its clear typed outcome, never a stuck video."""

from __future__ import annotations

import itertools
import unicodedata
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heimdex.cli.library import error_info
from heimdex.client import Client, InvalidArgument, NotFound, Unauthenticated, errors
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from heimdex.video.v1 import video_pb2
from tests.e2e.conftest import SPEECH
from tests.media import make
from tests.stack import Stack, finished, ingest, outcomes, search

pytestmark = pytest.mark.e2e


_REJECTED: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "zero bytes": (make.zero_bytes, "empty.mp4", "EMPTY_FILE"),
    "text": (make.text_file, "letter.mp4", "NOT_A_VIDEO"),
    "no moov": (make.truncated, "cut.mp4", "CORRUPT_VIDEO"),
    "audio only": (make.audio_only, "sound.mp4", "NO_VIDEO_STREAM"),
    "too long": (
        lambda path: make.make_video(path, [(make.colour(9, 9, 90), 660.0)], fps=1, size=(64, 48)),
        "long.mp4",
        "TOO_LONG",
    ),
}


@pytest.mark.parametrize("case", _REJECTED)
def test_rejected(client: Client, tmp_path: Path, case: str) -> None:
    build, name, reason = _REJECTED[case]
    video = ingest(client, build(tmp_path / name), timeout_s=120)
    assert video.state == video_pb2.VIDEO_STATE_FAILED
    assert error_info(video).reason == reason
    if reason == "TOO_LONG":
        assert dict(error_info(video).metadata) == {"duration_s": "660.000", "limit_s": "600"}
    assert outcomes(video)["validate"] == "rejected"
    assert video.error.message


def _story(path: Path, **options: object) -> Path:
    speech = SPEECH / "speech-en-cat.ogg"
    return make.make_video(path, [(make.card(1), 3.0), (make.card(2), 3.0)], audio=speech, **options)  # type: ignore[arg-type]


_ODD: dict[str, Callable[[Path], Path]] = {
    "rotated.mp4": lambda p: _story(p, rotation=90),
    "variable.mp4": lambda p: _story(p, vfr=True),
    "odd.mp4": lambda p: _story(p, size=(321, 241)),
    "one-frame.mp4": make.one_frame,
    "film.mkv": _story,
    "film.webm": _story,
    "film.avi": _story,
    "film.mov": _story,
    "tail.mkv": lambda p: make.cut_off(p, _story(p.with_name("whole.mkv")), keep=0.9),
}


@pytest.mark.parametrize("name", _ODD)
def test_odd_but_fine(client: Client, tmp_path: Path, name: str) -> None:
    video = ingest(client, _ODD[name](tmp_path / name))
    assert video.state == video_pb2.VIDEO_STATE_INDEXED, video.error.message
    scenes = list(client.list_scenes(video.video_id))
    assert scenes
    assert scenes[0].start_offset.ToMilliseconds() == 0
    for before, after in itertools.pairwise(scenes):
        assert before.end_offset == after.start_offset
    if name == "rotated.mp4":
        assert (video.width_px, video.height_px) == (240, 320)


@pytest.mark.parametrize("kind", ["silence", "music"])
def test_no_speech_is_an_outcome(client: Client, tmp_path: Path, kind: str) -> None:
    sound = np.concatenate([make.silence(4.0), make.music(4.0) if kind == "music" else make.silence(4.0)])
    film = make.make_video(tmp_path / f"{kind}.mp4", [(make.card(5), 4.0), (make.card(6), 4.0)], audio=sound)
    video = ingest(client, film)
    assert video.state == video_pb2.VIDEO_STATE_INDEXED
    assert outcomes(video)["asr"] == "no speech"
    assert not any(scene.transcript for scene in client.list_scenes(video.video_id)), "no hallucinated text"


def test_video_without_audio_track(client: Client, tmp_path: Path) -> None:
    video = ingest(client, make.make_video(tmp_path / "mute.mp4", [(make.card(7), 3.0)]))
    assert video.state == video_pb2.VIDEO_STATE_INDEXED
    assert outcomes(video)["audio"] == "no audio track"


@pytest.mark.parametrize("name", [unicodedata.normalize("NFD", "한글 이름.mp4"), "🎬 고양이 👩‍👩‍👧.mp4"])
def test_file_names_are_kept_normalised(client: Client, tmp_path: Path, name: str) -> None:
    film = make.make_video(tmp_path / "film.mp4", [(make.card(hash(name) % 1000), 1.0)])
    video_id = client.upload(film, file_name=name).video_id
    assert finished(client, video_id).file_name == unicodedata.normalize("NFC", name)


def test_same_file_twice(client: Client, tmp_path: Path) -> None:
    film = make.make_video(tmp_path / "twice.mp4", [(make.card(8), 1.5)])
    first = ingest(client, film)
    again = client.upload(film)
    assert again.already_there
    assert again.video_id == first.video_id
    other_name = client.upload(film, file_name="another name.mp4")
    assert other_name.already_there
    assert other_name.video_id == first.video_id
    duplicate = client.upload(film, allow_duplicate=True)
    assert duplicate.video_id != first.video_id
    assert finished(client, duplicate.video_id).state == video_pb2.VIDEO_STATE_INDEXED


def test_unknown_ids(client: Client) -> None:
    for call in (
        lambda: client.get_video("vid_0000000000000000000000000000"),
        lambda: client.get_scene("scn_0000000000000000000000000000"),
        lambda: client.get_person("per_0000000000000000000000000000"),
        lambda: client.delete_video("vid_0000000000000000000000000000"),
        lambda: client.playback_url("vid_0000000000000000000000000000"),
    ):
        with pytest.raises(NotFound):
            call()


@pytest.mark.parametrize("query", ["", "가" * 10_000, "bell\a", "   "])
def test_queries_that_make_no_sense(client: Client, query: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        search(client, query)
    assert caught.value.violations[0].field == "query"


@pytest.mark.parametrize("limit", [-1, 1_000_000])
def test_limits_out_of_range(client: Client, limit: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        search(client, "고양이", limit=limit)
    assert caught.value.violations[0].field == "page_size"


def test_limit_zero_is_the_default(client: Client) -> None:
    assert not search(client, "고양이", limit=0).hits


def test_tokens(stack: Stack) -> None:
    good = stack.token("tokens")
    head, body, signature = good.split(".")
    tampered = ".".join((head, body[:-4] + ("A" if body[-4] != "A" else "B") + body[-3:], signature))
    for token, reason in (
        ("", "INVALID_TOKEN"),
        ("nonsense", "INVALID_TOKEN"),
        (tampered, "INVALID_TOKEN"),
        (stack.token("tokens", ttl_s=-60), "TOKEN_EXPIRED"),
    ):
        with Client(stack.endpoint, token or " ", insecure=True) as client, pytest.raises(Unauthenticated) as caught:
            list(client.list_videos())
        assert caught.value.reason == reason


def test_another_tenants_ids(stack: Stack, client: Client, tmp_path: Path) -> None:
    mine = ingest(client, make.make_video(tmp_path / "mine.mp4", [(make.card(11), 1.5)]))
    scene = next(iter(client.list_scenes(mine.video_id)))
    with stack.client(f"t-{uuid.uuid4().hex[:12]}") as stranger:
        for call in (
            lambda: stranger.get_video(mine.video_id),
            lambda: next(iter(stranger.watch_video(mine.video_id))),
            lambda: stranger.playback_url(mine.video_id),
            lambda: stranger.delete_video(mine.video_id),
            lambda: stranger.get_scene(scene.scene_id),
            lambda: list(stranger.list_scenes(mine.video_id)),
        ):
            with pytest.raises(NotFound):
                call()
    assert client.get_video(mine.video_id).state == video_pb2.VIDEO_STATE_INDEXED


def test_cancelled_stream_harms_nobody(client: Client) -> None:
    for _ in range(20):
        frames = client.search("고양이")
        next(iter(frames), None)
        frames.close()
    assert search(client, "고양이").kind


def test_photos_that_make_no_face(stack: Stack, client: Client, tenant: str, tmp_path: Path) -> None:
    photo = tmp_path / "note.jpg"
    make.text_file(photo)
    with pytest.raises(errors.FailedPrecondition) as caught:
        client.enrol_person("아무개", [photo])
    assert caught.value.reason == "FACES_DISABLED"
    stack.enable_faces(tenant)
    with pytest.raises(errors.FailedPrecondition) as caught:
        client.enrol_person("아무개", [photo])
    assert caught.value.reason == "NO_PHOTO_ACCEPTED"
    upload = client.upload(photo, purpose=upload_pb2.UPLOAD_PURPOSE_PERSON_PHOTO)
    assert upload.upload_id
