"""Whisper by faster-whisper: 16 kHz audio -> utterances with word times; nothing for silence, noise and music."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.weights import Maker, in_folder, loading, running
from contracts.ports import Float32, Progress, Transcript, Utterance, Word

RATE_HZ = 16_000
DECODING = "beam5-vad-words.2"
"""Names the settings below; raise it when one of them changes."""

_BEAM = 5
_NO_SPEECH = 0.6  # Source: Whisper's own rule: no-speech above it *and* a mean log probability below -1 is silence
_LOG_PROBABILITY = -1.0
_COMPRESSION_RATIO = 2.4  # Source: Whisper: text that compresses better than this is a loop
_SPLIT_GAP_S = 1.0  # words further apart than this are two utterances, so none spans a pause or a cut
_DOUBTFUL_LOG_PROBABILITY = -0.5
_DOUBTFUL_NO_SPEECH = 0.3
_MIN_SAMPLES = RATE_HZ // 10
_VOICE_PIECE = 60 * RATE_HZ
_FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")

_PHANTOMS = frozenset(
    {
        "시청해주셔서감사합니다",
        "시청해주셔서고맙습니다",
        "끝까지시청해주셔서감사합니다",
        "오늘도시청해주셔서감사합니다",
        "영상시청해주셔서감사합니다",
        "구독과좋아요부탁드립니다",
        "구독좋아요알림설정부탁드립니다",
        "다음영상에서만나요",
        "다음시간에만나요",
        "자막제공",
        "한글자막",
        "한국어자막",
        "자막",
        "음악",
        "박수",
        "웃음",
        "mbc뉴스이덕영입니다",
        "mbc뉴스",
        "이시각세계였습니다",
        "thankyouforwatching",
        "thanksforwatching",
        "pleasesubscribe",
        "subtitlesbytheamaraorgcommunity",
        "music",
        "applause",
        "you",
        "ご視聴ありがとうございました",
        "谢谢观看",
    }
)
"""What Whisper says on sound that is no speech: captions it was trained on. Dropped only on weak evidence."""

_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Weights:
    """Whisper weights in CTranslate2 form: name, folder under the models folder, and what makes it."""

    name: str
    folder: str
    maker: Maker

    def version(self, compute_type: str) -> str:
        """Return what names the result: weights, precision, decoding."""
        return f"{self.name}-{compute_type}-{DECODING}"


BASE = Weights("whisper-base", "whisper-base", "assets")
TURBO = Weights("whisper-large-v3-turbo", "whisper-large-v3-turbo", "pull")


class FasterWhisper:
    """Speech model on CTranslate2. Load is lazy; used from one thread."""

    def __init__(self, weights: Weights, models_dir: Path, *, device: str, threads: int) -> None:
        self._weights = weights
        self._models_dir = models_dir
        self._device = device
        self._compute_type = compute_type(device)
        self._threads = threads
        self._model: Any = None

    @property
    def version(self) -> str:
        """Name weights, precision and decoding."""
        return self._weights.version(self._compute_type)

    def recognise(self, samples: Float32, *, language: str | None, progress: Progress) -> Transcript:
        """Transcribe mono 16 kHz float32 samples in [-1, 1], shape (n,); empty for silence or music.

        ``condition_on_previous_text`` is off: with word times on, it loses whole 30 s windows.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        if len(samples) < _MIN_SAMPLES:
            progress(1.0)
            return Transcript("", 0.0, ())
        with running("speech"):
            return self._recognise(samples, language, progress)

    def _recognise(self, samples: Float32, language: str | None, progress: Progress) -> Transcript:
        if not _has_voice(samples):  # so a film without speech never loads the model
            progress(1.0)
            return Transcript("", 0.0, ())
        segments, info = self._load().transcribe(
            samples,
            language=language,
            multilingual=language is None,  # asked for again every 30 s: an English opening is not to cost the Korean
            beam_size=_BEAM,
            condition_on_previous_text=False,
            vad_filter=True,
            word_timestamps=True,
            no_speech_threshold=_NO_SPEECH,
            log_prob_threshold=_LOG_PROBABILITY,
            compression_ratio_threshold=_COMPRESSION_RATIO,
        )
        duration_s = len(samples) / RATE_HZ
        utterances: list[Utterance] = []
        for segment in segments:
            if is_speech(segment.text, segment.avg_logprob, segment.no_speech_prob, segment.compression_ratio):
                utterances.extend(split(_words(segment.words), segment.avg_logprob, segment.no_speech_prob))
            progress(min(1.0, float(segment.end) / duration_s))
        progress(1.0)
        if not utterances:
            return Transcript("", 0.0, ())
        utterances.sort(key=lambda utterance: utterance.start_s)
        return Transcript(info.language, float(info.language_probability), tuple(utterances))

    def _load(self) -> Any:
        if self._model is None:
            for name in _FILES:  # the library would look for a missing one on a hub
                in_folder(self._models_dir, self._weights.folder, name, maker=self._weights.maker)
            with loading("speech"):
                from faster_whisper import WhisperModel

                model: Any = WhisperModel(
                    str(self._models_dir / self._weights.folder),
                    device=self._device,
                    compute_type=self._compute_type,
                    cpu_threads=self._threads,
                    local_files_only=True,
                )
                bands = model.feature_extractor.mel_filters.shape[0]
                if bands != model.model.n_mels:  # the library takes 80 when it cannot read their file
                    raise ValueError(f"preprocessor_config.json gives {bands} mel bands, not {model.model.n_mels}")
            self._model = model
        return self._model


def compute_type(device: str) -> str:
    """Return the precision used on ``device``."""
    return "float16" if device == "cuda" else "int8"


def is_speech(text: str, log_probability: float, no_speech_probability: float, compression_ratio: float) -> bool:
    """Return whether a decoded segment is to be believed.

    Args:
        log_probability: mean over its tokens, <= 0.
        no_speech_probability: [0, 1], of its window.
        compression_ratio: of its text; high when it repeats itself.
    """
    letters = _NOT_LETTERS.sub("", unicodedata.normalize("NFC", text).casefold())
    if not letters:
        return False
    if no_speech_probability > _NO_SPEECH and log_probability < _LOG_PROBABILITY:
        return False
    if compression_ratio > _COMPRESSION_RATIO and log_probability < _DOUBTFUL_LOG_PROBABILITY:
        return False
    doubtful = log_probability < _DOUBTFUL_LOG_PROBABILITY or no_speech_probability > _DOUBTFUL_NO_SPEECH
    return not (doubtful and letters in _PHANTOMS)


def split(words: Sequence[Word], log_probability: float, no_speech_probability: float) -> Iterator[Utterance]:
    """Yield utterances from the words of a segment, cut at pauses; times are those of the words."""
    run: list[Word] = []
    for word in words:
        if run and word.start_s - run[-1].end_s > _SPLIT_GAP_S:
            yield from _utterance(run, log_probability, no_speech_probability)
            run = []
        run.append(word)
    yield from _utterance(run, log_probability, no_speech_probability)


def _utterance(words: Sequence[Word], log_probability: float, no_speech_probability: float) -> Iterator[Utterance]:
    text = "".join(word.text for word in words).strip()
    if text:
        end_s = max(words[-1].end_s, words[0].start_s + 0.01)
        confidence = float(np.clip(math.exp(log_probability), 0.0, 1.0))
        no_speech = float(np.clip(no_speech_probability, 0.0, 1.0))
        yield Utterance(words[0].start_s, end_s, text, confidence, no_speech, tuple(words))


def _words(words: Iterable[Any] | None) -> list[Word]:
    return [
        Word(float(w.start), float(w.end), unicodedata.normalize("NFC", w.word), float(np.clip(w.probability, 0, 1)))
        for w in words or ()
    ]


def _has_voice(samples: Float32) -> bool:
    """Return whether silero, bundled with faster-whisper, hears a voice; it reads on only until it does."""
    from faster_whisper.vad import get_speech_timestamps

    starts = range(0, len(samples), _VOICE_PIECE)
    return any(get_speech_timestamps(samples[start : start + _VOICE_PIECE]) for start in starts)
