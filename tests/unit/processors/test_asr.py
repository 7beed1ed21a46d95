"""ASR: what a model hears -> speech on whole milliseconds within the track, nothing blank, nothing lost."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.ports import Float32, Progress, Transcript, Utterance, Word
from processors.asr import artifact
from processors.asr.stage import Speech, to_utterance, transcribe

SECOND = np.zeros(16_000, np.float32)
_seconds = st.floats(-5, 70, allow_nan=False)
_word = st.builds(Word, _seconds, _seconds, st.sampled_from([" 고양이", " 잔다", " ", "", "가"]), st.floats(-1, 2))
_utterance = st.builds(
    Utterance,
    _seconds,
    _seconds,
    st.sampled_from(["고양이가 잔다", "  ", "", "x"]),
    st.floats(-1, 2),
    st.just(0.0),
    st.lists(_word, max_size=4).map(tuple),
)


@dataclass
class Hears:
    """A model that always hears the same."""

    transcript: Transcript
    asked: str | None = "nothing"

    @property
    def version(self) -> str:
        return "hears"

    def recognise(self, samples: Float32, *, language: str | None, progress: Progress) -> Transcript:
        self.asked = language
        progress(1.0)
        return self.transcript


def _said(text: str, start_s: float, end_s: float, *words: Word) -> Utterance:
    return Utterance(start_s, end_s, text, 0.9, 0.1, words)


def test_speech_is_in_order_and_normalised() -> None:
    decomposed = unicodedata.normalize("NFD", "고양이")
    model = Hears(
        Transcript(
            "ko",
            0.9,
            (_said("뒤", 0.8, 0.9, Word(0.8, 0.9, " 뒤", 0.5)), _said(f" {decomposed}  야 ", 0.1, 0.5)),
        )
    )
    speech = transcribe(SECOND, model, language="ko", progress=lambda _: None)
    assert model.asked == "ko"
    assert speech.language == "ko"
    assert [u.text for u in speech.utterances] == ["고양이 야", "뒤"]
    assert [(w.start_ms, w.end_ms, w.text) for w in speech.utterances[0].words] == [(100, 500, "고양이 야")]


def test_silence_has_no_language() -> None:
    speech = transcribe(
        SECOND, Hears(Transcript("ko", 0.9, (_said(" ", 0, 1),))), language=None, progress=lambda _: None
    )
    assert speech == Speech("", ())


@given(_utterance, st.integers(1, 60_000))
def test_an_utterance_lies_within_its_track(utterance: Utterance, length_ms: int) -> None:
    made = to_utterance(utterance, length_ms)
    assert (made is None) is (not utterance.text.strip())
    if made is None:
        return
    assert 0 <= made.start_ms < made.end_ms <= length_ms
    assert 0 <= made.confidence <= 1
    assert made.words
    assert [word.start_ms for word in made.words] == sorted(word.start_ms for word in made.words)
    assert made.start_ms == made.words[0].start_ms
    assert made.end_ms == max(word.end_ms for word in made.words)
    for word in made.words:
        assert 0 <= word.start_ms < word.end_ms <= length_ms
        assert 0 <= word.probability <= 1
        assert word.text.strip()


def test_a_track_without_samples_has_no_utterance() -> None:
    assert to_utterance(_said("말", 0, 1), 0) is None


def test_speech_travels() -> None:
    model = Hears(
        Transcript("ko", 1.0, (_said("말 한다", 0.25, 0.75, Word(0.25, 0.5, " 말", 0.5), Word(0.5, 0.75, " 한다", 1)),))
    )
    speech = transcribe(SECOND, model, language=None, progress=lambda _: None)
    again = artifact.decode(artifact.encode(speech))
    assert [u.words for u in again.utterances] == [u.words for u in speech.utterances]
    assert artifact.encode(again) == artifact.encode(speech)
