"""Fakes mean something: what is alike is near, what was put in comes out, and always the same."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.models.affect.fake import FakeAffectModel
from adapters.models.affect.tags import EMOTIONS
from adapters.models.faces.fake import FakeFaceModel, draw_face
from adapters.models.speech.fake import RATE_HZ, FakeSpeechModel, speak
from adapters.models.text.fake import FakeTextEncoder
from adapters.models.vision.fake import FakeVisionEncoder
from contracts.ports import Float32, Transcript

SENTENCE = "고양이가 창가에서 낮잠을 잔다"


def _hear(samples: Float32, language: str | None = None) -> Transcript:
    return FakeSpeechModel().recognise(samples, language=language, progress=lambda _: None)


def _silence(seconds: float) -> Float32:
    return np.zeros(int(seconds * RATE_HZ), np.float32)


def test_speech_that_was_put_in_comes_out_with_its_times() -> None:
    first, second = speak(SENTENCE), speak("hello 세계")
    samples = np.concatenate([_silence(1.237), first, _silence(2.5), second, _silence(0.7)])
    transcript = _hear(samples)
    assert [u.text for u in transcript.utterances] == [SENTENCE, "hello 세계"]
    assert transcript.language == "ko"
    starts = [u.start_s for u in transcript.utterances]
    assert starts == pytest.approx([1.237, 1.237 + len(first) / RATE_HZ + 2.5], abs=0.02)
    for u in transcript.utterances:
        assert "".join(word.text for word in u.words) == u.text
        assert all(u.start_s <= word.start_s < word.end_s <= u.end_s + 0.05 for word in u.words)


def test_speech_survives_noise_gain_and_resampling() -> None:
    samples = np.concatenate([_silence(0.4), speak(SENTENCE), _silence(0.4)])
    noisy = samples * 0.5 + np.random.default_rng(0).normal(0, 0.02, len(samples)).astype(np.float32)
    at_48k = np.repeat(noisy, 3)
    shifted = at_48k[7::3].astype(np.float32)
    assert [u.text for u in _hear(shifted).utterances] == [SENTENCE]


@pytest.mark.parametrize(
    "sound", [_silence(3), _silence(0), np.random.default_rng(1).normal(0, 0.2, 48_000).astype(np.float32)]
)
def test_other_sound_is_no_speech(sound: Float32) -> None:
    assert _hear(sound) == Transcript("", 0.0, ())


def test_texts_that_cannot_be_spoken_are_refused() -> None:
    for text in ("", "  ", "가" * 90):
        with pytest.raises(ValueError, match="speak"):
            speak(text)


def test_related_texts_are_near() -> None:
    encoder = FakeTextEncoder()
    vectors = encoder.encode_passages([SENTENCE, "창가에서 낮잠 자는 고양이", "분기 매출이 늘었습니다", "", " "])
    assert vectors.shape == (5, encoder.dim)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.5
    assert far < 0.2
    assert (encoder.encode_queries([SENTENCE])[0] == vectors[0]).all()
    assert encoder.encode_queries([]).shape == (0, encoder.dim)


def test_colours_are_seen_and_searched() -> None:
    encoder = FakeVisionEncoder()
    red, half = np.zeros((90, 160, 3), np.uint8), np.zeros((90, 160, 3), np.uint8)
    red[:] = (220, 30, 30)
    half[:, :80], half[:, 80:] = (30, 60, 220), (245, 245, 245)
    vectors, tags = encoder.encode_images([red, half])
    assert [tag.tag for tag in tags[0]] == ["red"]
    assert "빨간" in tags[0][0].names
    assert {tag.tag for tag in tags[1]} == {"blue", "white"}
    scores = encoder.encode_queries(["빨간 자동차", "파란 하늘", "노란 꽃", "회의"]) @ vectors.T
    assert scores[0] == pytest.approx([1.0, 0.0], abs=0.01)
    assert scores[1] == pytest.approx([0.0, 0.707], abs=0.02)
    assert scores[2:].max() < 0.1


def test_faces_are_people_by_colour_and_moods_by_grey() -> None:
    model, affect = FakeFaceModel(), FakeAffectModel()
    image = np.full((360, 640, 3), 60, np.uint8)
    draw_face(image, (40, 40, 160, 160), (200, 160, 60), 255)
    draw_face(image, (300, 60, 96, 96), (40, 90, 200), 0)
    large, small = model.find(image)
    assert large.box == (40.0, 40.0, 160.0, 160.0)
    other = np.full((360, 640, 3), 200, np.uint8)
    draw_face(other, (100, 100, 80, 80), (205, 155, 66), 128)
    (same,) = model.find(other)
    similarity = model.similarity(np.stack([large.vector, small.vector]), same.vector[None])
    assert similarity[0, 0] >= 0.5 > similarity[1, 0]
    moods = [max(p, key=lambda name: p[name]) for p in affect.read(image, [large.box, small.box])]
    assert moods == ["happy", "sad"]
    (neutral,) = affect.read(other, [same.box])
    assert max(neutral, key=lambda name: neutral[name]) == "neutral"
    assert tuple(neutral) == EMOTIONS
    assert sum(neutral.values()) == pytest.approx(1.0)
    assert model.find(np.zeros((50, 50, 3), np.uint8)) == ()


def test_drawn_faces_survive_jpeg() -> None:
    import cv2

    image = np.full((360, 640, 3), 60, np.uint8)
    draw_face(image, (40, 40, 160, 160), (200, 160, 60), 255)
    _, body = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 70])
    decoded = cv2.imdecode(body, cv2.IMREAD_COLOR)
    assert decoded is not None
    again = np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
    (before,), (after,) = FakeFaceModel().find(image), FakeFaceModel().find(again)
    assert FakeFaceModel().similarity(before.vector[None], after.vector[None])[0, 0] > 0.8
    assert after.box == pytest.approx(before.box, abs=4)
