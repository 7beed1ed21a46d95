"""What is believed of a decoded segment, and how it becomes utterances."""

from __future__ import annotations

import pytest

from adapters.models.speech.faster_whisper import BASE, TURBO, compute_type, is_speech, split
from contracts.ports import Word


@pytest.mark.parametrize(
    ("text", "log_probability", "no_speech", "compression", "believed"),
    [
        ("오늘 회의를 시작하겠습니다", -0.3, 0.05, 1.2, True),
        ("오늘 회의를 시작하겠습니다", -0.9, 0.55, 1.2, True),
        ("오늘 회의를 시작하겠습니다", -1.2, 0.7, 1.2, False),  # Whisper's own rule for silence: both
        ("오늘 회의를 시작하겠습니다", -1.2, 0.5, 1.2, True),
        ("오늘 회의를 시작하겠습니다", -0.8, 0.7, 1.2, True),
        ("네 네 네 네 네 네 네 네 네 네", -0.7, 0.1, 3.0, False),  # a loop
        ("네 네 네 네 네 네 네 네 네 네", -0.2, 0.1, 3.0, True),  # said that often, and clearly
        ("시청해 주셔서 감사합니다.", -0.2, 0.05, 1.0, True),  # people do say it
        ("시청해 주셔서 감사합니다.", -0.7, 0.05, 1.0, False),
        ("시청해주셔서 감사합니다!", -0.2, 0.5, 1.0, False),
        ("Thank you for watching.", -0.8, 0.5, 1.0, False),
        ("시청해 주셔서 감사합니다 그리고 다음은", -0.7, 0.05, 1.0, True),
        (" ... ", -0.1, 0.0, 1.0, False),
        ("♪♪", -0.1, 0.0, 1.0, False),
        ("", -0.1, 0.0, 1.0, False),
    ],
)
def test_what_is_believed(
    text: str, log_probability: float, no_speech: float, compression: float, *, believed: bool
) -> None:
    assert is_speech(text, log_probability, no_speech, compression) is believed


def test_utterances_are_cut_at_pauses_and_timed_by_words() -> None:
    words = [
        Word(29.7, 30.4, " 난", 0.9),
        Word(30.5, 30.9, " 오늘", 0.8),
        Word(54.0, 54.9, " 갔어", 0.7),
    ]
    first, second = split(words, -0.5, 0.1)
    assert (first.start_s, first.end_s, first.text) == (29.7, 30.9, "난 오늘")
    assert (second.start_s, second.end_s, second.text) == (54.0, 54.9, "갔어")
    assert first.confidence == pytest.approx(0.6065, abs=1e-3)
    assert first.words == tuple(words[:2])


def test_no_words_or_blank_words_give_nothing() -> None:
    assert list(split([], -0.1, 0.0)) == []
    assert list(split([Word(1.0, 1.2, "  ", 0.5)], -0.1, 0.0)) == []


def test_a_word_without_length_still_has_one() -> None:
    (utterance,) = split([Word(3.0, 3.0, "아", 0.5)], -0.1, 0.0)
    assert utterance.end_s > utterance.start_s


def test_versions_name_precision() -> None:
    assert BASE.version(compute_type("cpu")) == "whisper-base-int8-beam5-vad-words.2"
    assert TURBO.version(compute_type("cuda")) == "whisper-large-v3-turbo-float16-beam5-vad-words.2"
