"""Whisper base on real sound: Korean is understood and timed, everything else is silence."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.settings import ModelSettings
from contracts.errors import ModelUnavailable
from contracts.ports import Float32, SpeechModel, Transcript

if TYPE_CHECKING:
    from tests.models.conftest import Clip

RATE_HZ = 16_000
GAP_S = 0.35


@pytest.fixture(scope="module")
def speech(models_dir: Path) -> SpeechModel:
    return profiles.speech("small", ModelSettings(models_dir=models_dir, threads=2))


def _join(clips: Sequence[Clip]) -> Float32:
    gap = np.zeros(int(GAP_S * RATE_HZ), np.float32)
    return np.concatenate([part for clip in clips for part in (clip.samples, gap)])


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", text))


def _character_error_rate(truth: str, heard: str) -> float:
    row = list(range(len(heard) + 1))
    for i, letter in enumerate(truth, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other)))
    return row[-1] / len(truth)


def _hear(speech: SpeechModel, samples: Float32, language: str | None = None) -> tuple[Transcript, list[float]]:
    shares: list[float] = []
    return speech.recognise(samples.astype(np.float32), language=language, progress=shares.append), shares


@pytest.mark.parametrize("speaker", ["003", "006"])
def test_korean_is_understood_timed_and_whole(speech: SpeechModel, korean: dict[str, list[Clip]], speaker: str) -> None:
    clips = korean[speaker]
    samples = _join(clips)
    transcript, shares = _hear(speech, samples)

    assert transcript.language == "ko"
    truth = _letters("".join(clip.text for clip in clips))
    heard = _letters("".join(utterance.text for utterance in transcript.utterances))
    assert _character_error_rate(truth, heard) < 0.35

    # Word times with conditioning on previous text once lost whole 30 s windows.
    spoken_s = sum(len(clip.samples) for clip in clips) / RATE_HZ
    covered_s = sum(u.end_s - u.start_s for u in transcript.utterances)
    assert covered_s > 0.85 * spoken_s

    duration_s = len(samples) / RATE_HZ
    starts = [u.start_s for u in transcript.utterances]
    assert starts == sorted(starts)
    for u in transcript.utterances:
        assert 0 <= u.start_s < u.end_s <= duration_s + 0.5
        assert unicodedata.is_normalized("NFC", u.text)
        assert u.text == "".join(word.text for word in u.words).strip()
        assert (u.start_s, u.end_s) == (u.words[0].start_s, max(u.words[-1].end_s, u.words[0].start_s + 0.01))
        assert 0 <= u.confidence <= 1
        assert 0 <= u.no_speech_probability <= 1
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 3


def test_speech_after_noise_and_pauses_has_its_own_times(speech: SpeechModel, korean: dict[str, list[Clip]]) -> None:
    noise = np.random.default_rng(1).normal(0, 0.02, 8 * RATE_HZ).astype(np.float32)
    first, second = korean["006"][1].samples, korean["006"][2].samples
    samples = np.concatenate([noise, first, np.zeros(6 * RATE_HZ, np.float32), second])
    transcript, _ = _hear(speech, samples, "ko")
    begins_s, ends_s = transcript.utterances[0].start_s, transcript.utterances[-1].end_s
    assert begins_s == pytest.approx(8.0, abs=0.6)
    assert ends_s == pytest.approx(len(samples) / RATE_HZ, abs=0.8)
    first_end_s = 8.0 + len(first) / RATE_HZ
    for u in transcript.utterances:  # none spans the pause
        assert not (u.start_s < first_end_s - 0.5 and u.end_s > first_end_s + 2.0)


def _silence() -> Float32:
    return np.zeros(12 * RATE_HZ, np.float32)


def _noise() -> Float32:
    return np.random.default_rng(0).normal(0, 0.1, 12 * RATE_HZ).astype(np.float32)


def _hum() -> Float32:
    return (0.2 * np.sin(2 * np.pi * 60 * np.arange(12 * RATE_HZ) / RATE_HZ)).astype(np.float32)


def _music() -> Float32:
    """A melody with overtones over chords and a beat."""
    rng = np.random.default_rng(0)
    note = np.arange(int(0.4 * RATE_HZ)) / RATE_HZ
    tune = [
        (np.sin(2 * np.pi * f * note) + 0.5 * np.sin(4 * np.pi * f * note)) * np.exp(-3 * note) * 0.25
        for f in rng.choice([262, 294, 330, 392, 440, 523, 587], 40)
    ]
    samples = np.concatenate(tune)
    time = np.arange(len(samples)) / RATE_HZ
    samples += sum(0.05 * np.sin(2 * np.pi * f * time) for f in (131, 165, 196))
    for start in range(0, len(samples) - 2000, RATE_HZ // 2):
        samples[start : start + 2000] += rng.normal(0, 0.3, 2000) * np.exp(-np.arange(2000) / 300)
    return samples.astype(np.float32)


@pytest.mark.parametrize("language", [None, "ko"])
@pytest.mark.parametrize("sound", [_silence, _noise, _hum, _music, lambda: np.zeros(0, np.float32)])
def test_what_is_no_speech_gives_no_text(speech: SpeechModel, sound: object, language: str | None) -> None:
    assert callable(sound)
    transcript, shares = _hear(speech, sound(), language)
    assert transcript == Transcript("", 0.0, ())
    assert shares[-1] == 1.0


def test_missing_weights_are_transient(tmp_path: Path, korean: dict[str, list[Clip]]) -> None:
    with pytest.raises(ModelUnavailable, match=r"adapters\.models\.assets"):
        _hear(profiles.speech("small", ModelSettings(models_dir=tmp_path)), korean["006"][0].samples)
