"""Align: every word is in exactly one scene, in the order it was said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.media import Span
from processors.align import artifact
from processors.align.artifact import Aligned
from processors.align.stage import align
from processors.asr.stage import SpokenUtterance, SpokenWord

SPANS = (Span(0, 0, 1000), Span(1, 1000, 2000), Span(2, 2000, 3000))


def _said(*words: tuple[int, int, str]) -> SpokenUtterance:
    spoken = tuple(SpokenWord(start, end, text, 0.5) for start, end, text in words)
    text = " ".join("".join(word.text for word in spoken).split())
    return SpokenUtterance(spoken[0].start_ms, max(word.end_ms for word in spoken), text, 0.5, spoken)


@st.composite
def _speech(draw: st.DrawFn) -> list[SpokenUtterance]:
    speech = []
    for _ in range(draw(st.integers(0, 5))):
        at_ms, words = draw(st.integers(0, 2800)), []
        for _ in range(draw(st.integers(1, 6))):
            length = draw(st.integers(1, 400))
            words.append((at_ms, at_ms + length, f" {draw(st.sampled_from('가나다라마'))}"))
            at_ms += draw(st.integers(0, 500))
        speech.append(_said(*words))
    return speech


def test_an_utterance_over_a_cut_becomes_two_lines() -> None:
    lines = align([_said((800, 950, " 하늘이"), (960, 1100, " 참"), (1100, 1300, " 푸르다"))], SPANS)
    assert [[line.text for line in scene] for scene in lines] == [["하늘이"], ["참 푸르다"], []]
    assert (lines[0][0].start_ms, lines[0][0].end_ms) == (800, 950)
    assert (lines[1][0].start_ms, lines[1][0].end_ms) == (1000, 1300), "clipped to its scene"


def test_a_whole_line_keeps_the_recognisers_text() -> None:
    utterance = SpokenUtterance(100, 500, "3.14는 파이다", 0.5, (SpokenWord(100, 500, " 3.14는파이다", 0.5),))
    ((line,), _, _) = align([utterance], SPANS)
    assert line.text == "3.14는 파이다"


def test_silence_gives_empty_scenes() -> None:
    assert align([], SPANS) == ((), (), ())


def test_words_past_the_end_are_in_the_last_scene() -> None:
    lines = align([_said((2900, 3400, " 끝"))], SPANS)
    assert [(line.start_ms, line.end_ms) for line in lines[2]] == [(2900, 3000)]


@given(_speech())
def test_no_word_is_lost_or_said_twice(speech: list[SpokenUtterance]) -> None:
    lines = align(speech, SPANS)
    assert len(lines) == len(SPANS)
    said = sorted(word.text for utterance in speech for word in utterance.words)
    assert sorted(word.text for scene in lines for line in scene for word in line.words) == said
    for span, scene in zip(SPANS, lines, strict=True):
        assert [line.start_ms for line in scene] == sorted(line.start_ms for line in scene)
        for line in scene:
            assert line.text
            assert span.start_ms <= line.start_ms < line.end_ms <= span.end_ms
            assert all(line.start_ms <= word.start_ms < word.end_ms <= line.end_ms for word in line.words)
    aligned = Aligned("ko", lines)
    assert artifact.decode(artifact.encode(aligned)) == aligned
