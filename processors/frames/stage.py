"""Frames: scenes -> times worth looking at; looks -> the frame to keep and the one that stands for its scene. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.media import Look, Span

EVERY_S = 2.0
"""Default distance between samples of a scene."""

MAX_SIDE_PX = 960
_MARGIN_S = 0.2  # next to a cut, encoders and dissolves smear
_NEAR_S = (-0.4, -0.2, 0.0, 0.2, 0.4)  # where a sharper frame than the wanted one is looked for
_BLANK_CONTRAST = 4.0  # of 255: nothing to see, black or any other colour
_BLACK_LUMA = 10.0  # of 255
_NEARLY = 0.8  # of the best sharpness: then nearness decides
_KEYFRAME_NEARLY = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame to take: its scene, the time wanted, and the times tried, rising; all in seconds, within the scene."""

    scene_index: int
    at_s: float
    candidates_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A candidate: when its frame was first shown, and how it looks."""

    at_s: float
    look: Look


def samples(spans: Sequence[Span], *, every_s: float = EVERY_S) -> tuple[Sample, ...]:
    """Return at least one sample a scene: its middle, and every ``every_s`` to both sides; rising in time."""
    return tuple(sample for span in spans for sample in _samples(span, every_s))


def choose(candidates: Sequence[Seen], wanted_s: float, span: Span) -> int:
    """Return which candidate to keep: of those that show something, in the scene, and are about as sharp as the best,
    the one nearest to ``wanted_s``; the earlier of two alike.
    """
    return _best([(c.at_s, c.look) for c in candidates], wanted_s, span, _NEARLY)


def keyframe(chosen: Sequence[Seen], span: Span) -> int:
    """Return which of a scene's kept frames stands for it: near the middle, not blank, not blurred."""
    middle_s = (span.start_ms + span.end_ms) / 2000
    return _best([(c.at_s, c.look) for c in chosen], middle_s, span, _KEYFRAME_NEARLY)


def is_blank(look: Look) -> bool:
    """Return whether a frame shows nothing: black, or one even colour."""
    return look.contrast < _BLANK_CONTRAST or look.mean_luma < _BLACK_LUMA


def at_ms(frame_s: float, span: Span) -> int:
    """Return the frame's time within its scene; one that stood there before the cut counts from the cut."""
    return min(max(round(frame_s * 1000), span.start_ms), span.end_ms - 1)


def _samples(span: Span, every_s: float) -> list[Sample]:
    start_s, end_s = span.start_ms / 1000, span.end_ms / 1000
    middle_s = (start_s + end_s) / 2
    steps = max(0, int(((end_s - start_s) / 2 - _MARGIN_S) / every_s))
    return [_sample(span, middle_s + step * every_s) for step in range(-steps, steps + 1)]


def _sample(span: Span, wanted_s: float) -> Sample:
    low_s, high_s = span.start_ms / 1000, (span.end_ms - 1) / 1000
    margin_s = min(_MARGIN_S, (high_s - low_s) / 4)
    tried = {min(max(wanted_s + offset, low_s + margin_s), high_s - margin_s) for offset in _NEAR_S}
    return Sample(span.index, wanted_s, tuple(sorted(tried)))


def _best(candidates: list[tuple[float, Look]], wanted_s: float, span: Span, nearly: float) -> int:
    order = range(len(candidates))
    inside = [i for i in order if span.start_ms <= round(candidates[i][0] * 1000) < span.end_ms] or list(order)
    shown = [i for i in inside if not is_blank(candidates[i][1])] or inside
    sharpest = max(candidates[i][1].sharpness for i in shown)
    sharp = [i for i in shown if candidates[i][1].sharpness >= nearly * sharpest]
    return min(sharp, key=lambda i: (round(abs(candidates[i][0] - wanted_s), 3), i))
