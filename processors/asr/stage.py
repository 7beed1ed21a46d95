"""ASR: mono 16 kHz audio -> timed speech on whole milliseconds. Pure; the model comes in as a port."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from contracts.ports import Float32, Progress, SpeechModel, Utterance, Word

RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word: half-open milliseconds, text NFC with its leading space, probability in [0, 1]."""

    start_ms: int
    end_ms: int
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class SpokenUtterance:
    """A stretch of speech: half-open milliseconds, text NFC and never blank; at least one word, in order of start."""

    start_ms: int
    end_ms: int
    text: str
    confidence: float
    words: tuple[SpokenWord, ...]


@dataclass(frozen=True, slots=True)
class Speech:
    """All speech of a track; ``language`` is BCP-47, empty when nothing is said."""

    language: str
    utterances: tuple[SpokenUtterance, ...]


def transcribe(samples: Float32, speech: SpeechModel, *, language: str | None, progress: Progress) -> Speech:
    """Return what is said, in order of start; empty for silence and music.

    Args:
        samples: float32, shape (n,), 16 kHz, in [-1, 1].
        language: BCP-47, or None to let the model tell.

    Raises: ModelUnavailable (transient).
    """
    transcript = speech.recognise(samples, language=language, progress=progress)
    length_ms = len(samples) * 1000 // RATE_HZ
    made = (to_utterance(utterance, length_ms) for utterance in transcript.utterances)
    utterances = tuple(sorted((u for u in made if u is not None), key=lambda u: (u.start_ms, u.end_ms)))
    return Speech(transcript.language if utterances else "", utterances)


def to_utterance(utterance: Utterance, length_ms: int) -> SpokenUtterance | None:
    """Return an utterance within [0, length_ms); None when it is blank.

    One without words becomes one word, so that whoever goes by words loses nothing.
    """
    text = " ".join(unicodedata.normalize("NFC", utterance.text).split())
    if not text or length_ms < 1:
        return None
    whole = Word(utterance.start_s, utterance.end_s, text, utterance.confidence)
    words = tuple(_to_word(word, length_ms) for word in utterance.words if word.text.strip())
    words = words or (_to_word(whole, length_ms),)
    words = tuple(sorted(words, key=lambda word: word.start_ms))
    return SpokenUtterance(
        start_ms=words[0].start_ms,
        end_ms=max(word.end_ms for word in words),
        text=text,
        confidence=_unit(utterance.confidence),
        words=words,
    )


def _to_word(word: Word, length_ms: int) -> SpokenWord:
    start_ms = min(max(0, round(word.start_s * 1000)), length_ms - 1)
    end_ms = min(max(start_ms + 1, round(word.end_s * 1000)), length_ms)
    return SpokenWord(start_ms, end_ms, unicodedata.normalize("NFC", word.text), _unit(word.probability))


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
