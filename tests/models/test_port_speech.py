"""Conformance of SpeechModel on every profile."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.settings import ModelSettings
from adapters.models.speech import fake
from adapters.models.speech.faster_whisper import BASE, TURBO
from contracts.errors import ModelUnavailable
from contracts.ports import Float32, SpeechModel, Transcript
from tests.models.checkpoints import SENTENCE
from tests.models.conftest import RATE_HZ, ROOT, Clip, Subject, damaged

FOLDERS = {"small": BASE.folder, "production": TURBO.folder}


@pytest.fixture(scope="module")
def speech(subject: Subject) -> SpeechModel:
    return profiles.speech(subject.profile, subject.settings)


@pytest.fixture(scope="module")
def clip(subject: Subject) -> Clip:
    """Sound, and a word that the model is to hear in it."""
    if subject.profile == "fake":
        silence = np.zeros(RATE_HZ, np.float32)
        return Clip(np.concatenate([silence, fake.speak("고양이가 소파에서 잔다"), silence]), "소파에서")
    from faster_whisper import decode_audio

    samples = decode_audio(str(ROOT / "deploy/demo/speech/speech-en-cat.ogg"), sampling_rate=RATE_HZ)
    return Clip(samples, "sofa" if subject.profile == "small" else SENTENCE)


def _hear(model: SpeechModel, samples: Float32, language: str | None = None) -> Transcript:
    shares: list[float] = []
    transcript = model.recognise(samples, language=language, progress=shares.append)
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    assert shares[0] >= 0
    return transcript


def test_version_names_it(speech: SpeechModel, subject: Subject) -> None:
    assert speech.version == profiles.versions(subject.profile, subject.settings)["asr"]


def test_speech_becomes_utterances_in_order(speech: SpeechModel, clip: Clip) -> None:
    transcript = _hear(speech, clip.samples)
    assert clip.text in " ".join(utterance.text for utterance in transcript.utterances)
    assert len(transcript.language) == 2
    assert 0 < transcript.language_probability <= 1
    starts = [utterance.start_s for utterance in transcript.utterances]
    assert starts == sorted(starts)
    for utterance in transcript.utterances:
        assert 0 <= utterance.start_s < utterance.end_s <= len(clip.samples) / RATE_HZ + 0.5
        assert utterance.text.strip() == utterance.text
        assert unicodedata.is_normalized("NFC", utterance.text)
        assert 0 <= utterance.confidence <= 1
        assert 0 <= utterance.no_speech_probability <= 1
        assert "".join("".join(word.text for word in utterance.words).split()) == "".join(utterance.text.split())
        begins = [word.start_s for word in utterance.words]
        assert begins == sorted(begins)
        for word in utterance.words:
            assert utterance.start_s - 0.01 <= word.start_s <= word.end_s <= utterance.end_s + 0.05
            assert 0 <= word.probability <= 1


def test_the_same_sound_gives_the_same_transcript(speech: SpeechModel, clip: Clip) -> None:
    assert _hear(speech, clip.samples) == _hear(speech, clip.samples)


def test_a_given_language_is_kept(speech: SpeechModel, clip: Clip) -> None:
    transcript = _hear(speech, clip.samples, "en")
    assert transcript.language == "en"
    assert transcript.utterances


@pytest.mark.parametrize(
    "sound",
    [
        lambda: np.zeros(0, np.float32),
        lambda: np.zeros(RATE_HZ // 50, np.float32),
        lambda: np.zeros(3 * RATE_HZ, np.float32),
        lambda: np.random.default_rng(0).normal(0, 0.1, 3 * RATE_HZ).astype(np.float32),
        lambda: np.sin(np.arange(3 * RATE_HZ) * (2 * np.pi * 440 / RATE_HZ)).astype(np.float32),
    ],
    ids=["nothing", "20 ms", "silence", "noise", "tone"],
)
def test_what_is_no_speech_gives_nothing(speech: SpeechModel, sound: Callable[[], Float32]) -> None:
    assert _hear(speech, sound()) == Transcript("", 0.0, ())


def test_missing_weights_are_named_with_what_makes_them(subject: Subject, clip: Clip, tmp_path: Path) -> None:
    if subject.profile == "fake":
        return
    model = profiles.profile(subject.profile).speech.make(ModelSettings(models_dir=tmp_path))
    with pytest.raises(ModelUnavailable, match=rf"is missing: run `python -m adapters\.models\.\w+ {tmp_path}`"):
        _hear(model, clip.samples)


def test_damaged_weights_are_a_typed_error(subject: Subject, clip: Clip, tmp_path: Path) -> None:
    if subject.profile == "fake":
        return
    refused = 0
    for settings in damaged(subject.settings.models_dir, FOLDERS[subject.profile], tmp_path):
        model = profiles.profile(subject.profile).speech.make(settings)
        try:
            _hear(model, clip.samples)
        except ModelUnavailable:
            refused += 1
    assert refused >= 3
