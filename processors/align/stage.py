"""Align: timed words and scenes -> the lines spoken in each scene. Pure.

A word belongs to the scene that holds its middle, so each word is in exactly one scene; an utterance that runs over a
cut becomes a line in each scene, cut between words.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from contracts.media import Span
from processors.asr.stage import SpokenUtterance, SpokenWord


def align(utterances: Sequence[SpokenUtterance], spans: Sequence[Span]) -> tuple[tuple[SpokenUtterance, ...], ...]:
    """Return the lines of every scene, silent ones included, in order of ``spans``; lines in order of start.

    Lines and words lie within their scene.

    Args:
        spans: at least one; they partition the video.
    """
    starts = [span.start_ms for span in spans]
    lines: list[list[SpokenUtterance]] = [[] for _ in spans]
    for utterance in utterances:
        # Times may overlap a little, but what is said keeps its order within a scene.
        placed = sorted(((_scene_of(word, starts), word) for word in utterance.words), key=lambda pair: pair[0])
        for index, group in groupby(placed, key=lambda pair: pair[0]):
            line = _line(utterance, [word for _, word in group], spans[index])
            if line is not None:
                lines[index].append(line)
    return tuple(tuple(sorted(scene, key=lambda line: (line.start_ms, line.end_ms))) for scene in lines)


def _scene_of(word: SpokenWord, starts: Sequence[int]) -> int:
    return max(0, bisect_right(starts, (word.start_ms + word.end_ms) // 2) - 1)


def _line(utterance: SpokenUtterance, words: Sequence[SpokenWord], span: Span) -> SpokenUtterance | None:
    whole = len(words) == len(utterance.words)
    text = utterance.text if whole else " ".join("".join(word.text for word in words).split())
    if not text:
        return None
    clipped = tuple(_clip(word, span) for word in words)
    return SpokenUtterance(
        start_ms=min(word.start_ms for word in clipped),
        end_ms=max(word.end_ms for word in clipped),
        text=unicodedata.normalize("NFC", text),
        confidence=utterance.confidence,
        words=clipped,
    )


def _clip(word: SpokenWord, span: Span) -> SpokenWord:
    start_ms = min(max(word.start_ms, span.start_ms), span.end_ms - 1)
    return replace(word, start_ms=start_ms, end_ms=max(start_ms + 1, min(word.end_ms, span.end_ms)))
