"""A video's way through eleven stages, whatever is or is not in it, and whichever stage fails on the way."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from adapters.inference.child import ModelChild
from adapters.models.faces.fake import draw_face
from adapters.models.speech.fake import speak
from contracts import flow, ids
from contracts.errors import Rejected
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2
from heimdex.scene.v1 import scene_pb2
from tests.component.processors.line import NOUNS, VIDEO, InProcess, Line, failing
from tests.media import make

SAID = ("고양이가 소파에서 잔다", "그리고 하늘은 파랗다")


def _smiling() -> make.Image:
    image = np.full((240, 320, 3), (245, 245, 245), np.uint8)
    draw_face(image, (60, 30, 180, 180), (200, 160, 60), 255)
    return image


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Red for 3 s with a sentence, a smiling face for 6 s, blue for 4 s with a sentence that ends after the cut."""
    sound = np.zeros(13 * make.RATE_HZ, np.float32)
    for text, at_s in zip(SAID, (0.5, 8.45), strict=True):
        spoken = speak(text)
        begin = round(at_s * make.RATE_HZ)
        sound[begin : begin + spoken.size] = spoken
    scenes: list[tuple[make.Source, float]] = [
        (make.colour(220, 30, 30), 3.0), (_smiling(), 6.0), (make.colour(30, 60, 220), 4.0),
    ]  # fmt: skip
    return make.make_video(tmp_path_factory.mktemp("film") / "film.mp4", scenes, audio=sound).read_bytes()


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two scenes without an audio track."""
    scenes = [(make.card(1), 2.0), (make.card(2), 2.0)]
    return make.make_video(tmp_path_factory.mktemp("mute") / "mute.mp4", scenes).read_bytes()


async def test_everything_known_of_a_scene_comes_together(film: bytes) -> None:
    line = await Line(film, faces=True, child=InProcess(times=2)).run()  # twice: the same job, the same bytes
    assert line.outcomes() == dict.fromkeys(NOUNS, "OK")
    assert not line.dead
    sidecar = await line.sidecar()
    scenes = [record.scene for record in sidecar.scenes]
    assert [(s.index, s.start_offset.ToMilliseconds(), s.end_offset.ToMilliseconds()) for s in scenes] == [
        (0, 0, 3000), (1, 3000, 9000), (2, 9000, 13000),
    ]  # fmt: skip
    assert [s.scene_id for s in scenes] == [
        ids.scene_id(VIDEO, 0, 3000), ids.scene_id(VIDEO, 3000, 9000), ids.scene_id(VIDEO, 9000, 13000),
    ]  # fmt: skip
    assert {(s.video_id, s.revision, s.file_name) for s in scenes} == {(VIDEO, 0, "")}
    lines = [[entry.text for entry in scene.transcript] for scene in scenes]
    assert lines == [[SAID[0]], ["그리고"], ["하늘은 파랗다"]], "a sentence is cut between words where the scene is"
    for scene in scenes:
        for entry in scene.transcript:
            assert scene.start_offset.ToMilliseconds() <= entry.start_offset.ToMilliseconds()
            assert entry.start_offset.ToMilliseconds() < entry.end_offset.ToMilliseconds()
            assert entry.end_offset.ToMilliseconds() <= scene.end_offset.ToMilliseconds()
    assert [[(tag.tag, tag.kind) for tag in scene.tags] for scene in scenes] == [
        [("red", scene_pb2.TAG_KIND_VISION)],
        [("happy", scene_pb2.TAG_KIND_AFFECT), ("white", scene_pb2.TAG_KIND_VISION)],
        [("blue", scene_pb2.TAG_KIND_VISION)],
    ]
    assert "웃는 얼굴" in scenes[1].tags[0].names
    assert [scene.face_frame_count for scene in scenes] == [0, 3, 0]
    assert sidecar.language == "ko"
    assert not sidecar.degraded_stages
    assert [len(record.text_vector) // 4 for record in sidecar.scenes] == [256, 256, 256]
    assert [[len(vector) // 4 for vector in record.vision_vectors] for record in sidecar.scenes] == [[12]] * 3
    assert (sidecar.text_model_version, sidecar.vision_model_version) == ("fake-char-ngrams-256.1", "fake-colours.1")


async def test_each_keyframe_is_a_picture_of_its_scene(film: bytes) -> None:
    line = await Line(film).run()
    colours = []
    for record in (await line.sidecar()).scenes:
        keyframe = record.scene.keyframe
        assert record.scene.start_offset.ToMilliseconds() <= keyframe.offset.ToMilliseconds()
        assert keyframe.offset.ToMilliseconds() < record.scene.end_offset.ToMilliseconds()
        body, info = await line.objects.get(keyframe.object_key)
        assert info.content_type == "image/jpeg"
        picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (keyframe.height_px, keyframe.width_px, 3)
        colours.append(picture[5, 5, ::-1].astype(int))
    for found, wanted in zip(colours, ((220, 30, 30), (245, 245, 245), (30, 60, 220)), strict=True):
        assert np.abs(found - wanted).max() < 20


async def test_facts_count_what_they_promise(film: bytes) -> None:
    line = await Line(film, faces=True).run()
    assert {noun: line.counts(noun) for noun in NOUNS} == {
        "validate": {"duration_ms": 13000, "width_px": 320, "height_px": 240},
        "audio": {"duration_ms": 13000},
        "asr": {"utterances": 2, "words": 6},
        "scenes": {"scenes": 3},
        "align": {"scenes": 3, "words": 6},
        "embeddings": {"vectors": 3},
        "frames": {"frames": 5},
        "vision": {"vectors": 3, "tags": 3},
        "affect": {"tags": 1},
        "faces": {"faces": 3, "tracks": 1},
        "sidecar": {"scenes": 3},
    }
    assert dict(line.endings["validate"].labels) == {"content_type": "video/mp4", "browser_playable": "true"}
    assert line.endings["asr"].labels["language"] == "ko"
    assert (await line.manifest("vision")).model_version == "fake-colours.1"
    for noun in NOUNS:
        assert not any(said in str(line.endings[noun]) for said in SAID), "facts hold no text"


async def test_a_video_without_audio_track_goes_on(mute: bytes) -> None:
    child = InProcess()
    line = await Line(mute, child=child).run()
    named = {"audio": "NO_AUDIO_TRACK", "asr": "NO_AUDIO_TRACK", "embeddings": "NO_SPEECH", "faces": "DISABLED"}
    assert line.outcomes() == dict.fromkeys(NOUNS, "OK") | named
    assert set(child.jobs) == set(NOUNS) - set(named), "what has nothing to do starts no child"
    sidecar = await line.sidecar()
    assert len(sidecar.scenes) == 2
    assert not any(record.scene.transcript or record.text_vector for record in sidecar.scenes)
    assert all(record.vision_vectors and record.scene.keyframe.object_key for record in sidecar.scenes)
    assert not sidecar.degraded_stages, "nothing is missing that could be there"
    assert (sidecar.language, sidecar.text_model_version) == ("", "")


@pytest.mark.parametrize("sound", [make.silence(4.0), make.music(4.0)], ids=["silence", "music"])
async def test_sound_without_a_voice_is_no_speech(tmp_path: Path, sound: make.Samples) -> None:
    path = make.make_video(tmp_path / "still.mp4", [(make.card(1), 2.0), (make.card(2), 2.0)], audio=sound)
    line = await Line(path.read_bytes()).run()
    named = {"asr": "NO_SPEECH", "embeddings": "NO_SPEECH", "faces": "DISABLED"}
    assert line.outcomes() == dict.fromkeys(NOUNS, "OK") | named
    assert line.counts("align") == {"scenes": 2, "words": 0}
    assert not any(record.scene.transcript for record in (await line.sidecar()).scenes)


async def test_faces_that_are_off_are_not_looked_for(film: bytes) -> None:
    child = InProcess()
    line = await Line(film, faces=False, child=child).run()
    assert line.outcomes()["faces"] == "DISABLED"
    assert "faces" not in child.jobs
    assert not (await line.manifest("faces")).blobs
    sidecar = await line.sidecar()
    assert [record.scene.face_frame_count for record in sidecar.scenes] == [0, 0, 0]
    assert not sidecar.degraded_stages
    assert any(tag.tag == "happy" for tag in sidecar.scenes[1].scene.tags), "affect knows no identities and goes on"


_AFTERWARDS = {
    "audio": {"asr": "REJECTED", "embeddings": "REJECTED"},
    "asr": {"embeddings": "REJECTED"},
    "embeddings": {},
    "frames": {"vision": "REJECTED", "affect": "REJECTED", "faces": "REJECTED"},
    "vision": {},
    "affect": {},
    "faces": {},
}


@pytest.mark.parametrize("noun", _AFTERWARDS)
@pytest.mark.parametrize("outcome", ["FAILED", "REJECTED"])
async def test_a_stage_that_may_fail_leaves_a_degraded_video(film: bytes, noun: str, outcome: str) -> None:
    error = ZeroDivisionError("a defect") if outcome == "FAILED" else Rejected("UNSUPPORTED_CODEC", "no such codec")
    line = await Line(film, faces=True, child=InProcess(instead={noun: failing(error)})).run()
    changed = {noun: outcome, **_AFTERWARDS[noun]}
    assert line.outcomes() == dict.fromkeys(NOUNS, "OK") | changed
    assert [letter.consumer for letter in line.dead] == ([noun] if outcome == "FAILED" else [])
    sidecar = await line.sidecar()
    degraded = [name for name in NOUNS if changed.get(name) in {"FAILED", "REJECTED"}]
    assert list(sidecar.degraded_stages) == [flow.STAGES[name].number for name in degraded]
    for record in sidecar.scenes:
        assert list(record.scene.degraded_stages) == list(sidecar.degraded_stages)
        assert bool(record.vision_vectors) is not bool({"frames", "vision"} & set(degraded))
        assert bool(record.scene.keyframe.object_key) is (noun != "frames")
    spoken = noun not in {"audio", "asr"}
    assert any(record.scene.transcript for record in sidecar.scenes) is spoken
    assert [record.scene.index for record in sidecar.scenes] == [0, 1, 2]
    assert {line.reason(name) for name in degraded} == {line.reason(noun)}, "the cause is passed on"


@pytest.mark.parametrize("noun", ["scenes", "align", "sidecar"])
async def test_a_stage_that_may_not_fail_ends_the_line(film: bytes, noun: str) -> None:
    line = await Line(film, child=InProcess(instead={noun: failing(ZeroDivisionError("a defect"))})).run()
    assert line.outcomes()[noun] == "FAILED"
    assert "sidecar" not in set(line.outcomes()) - {noun}


async def test_a_picture_that_stands_still_is_kept_once_a_scene(tmp_path: Path) -> None:
    still = make.make_video(tmp_path / "slide.mp4", [(make.card(4), 20.0)], fps=1)
    frames = await Line(still.read_bytes()).run()
    sampled = artifact_pb2.FrameSamples.FromString(await frames.artifact("frames")).frames
    assert len({frame.at_ms for frame in sampled}) == len(sampled)
    assert [frame.keyframe for frame in sampled].count(True) == 1


async def test_the_work_is_done_in_a_real_child(film: bytes) -> None:
    child = ModelChild(idle_s=30)
    try:
        line = await Line(film, faces=True, child=child).run()
        assert line.outcomes() == dict.fromkeys(NOUNS, "OK")
        rejected = await Line(b"this is no video" * 100, child=child).run()
    finally:
        await child.close()
    assert rejected.endings["validate"].reason == common_pb2.ERROR_REASON_NOT_A_VIDEO
