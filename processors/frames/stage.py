"""Frames: scenes and their decoded frames -> the frames to keep, and the one that stands for each scene.

Pure but for the pictures it hands out to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from contracts.errors import Rejected
from contracts.media import Frame, Look, Span
from contracts.ports import Progress, UInt8

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


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """A frame that was kept; ``blob`` names its JPEG, ``sharpness`` is its look's."""

    blob: str
    scene_index: int
    at_ms: int
    width_px: int
    height_px: int
    keyframe: bool
    sharpness: float


def samples(spans: Sequence[Span], *, every_s: float, max_per_scene: int) -> tuple[Sample, ...]:
    """Return at least one sample a scene: its middle, and others at even steps to both sides; rising in time.

    Args:
        every_s: distance between samples, > 0.8 so that their candidates do not mix.
        max_per_scene: >= 1; in a scene that would have more, the steps grow.
    """
    return tuple(sample for span in spans for sample in _samples(span, every_s, max_per_scene))


def keep(
    frames: Iterator[Frame],
    planned: Sequence[Sample],
    spans: Sequence[Span],
    write: Callable[[str, UInt8], None],
    progress: Progress,
) -> tuple[SampledFrame, ...]:
    """Return what is kept, in order of time: for each sample its best candidate, but no frame twice in a scene.

    Args:
        frames: the frame on screen at each candidate of each sample, in order.
        planned: ``samples(spans)``.
        write: takes the name and the RGB uint8 (h, w, 3) picture of a kept frame; one picture at a time is in memory.

    Raises: Rejected CORRUPT_VIDEO (permanent) when nothing decodes.
    """
    kept: list[SampledFrame] = []
    done = 0
    for index, group in groupby(planned, key=lambda sample: sample.scene_index):
        span = spans[index]
        scene: list[SampledFrame] = []
        seen: list[Seen] = []
        for sample in group:
            frame, best = _best_of(frames, sample, span)
            done += 1
            progress(done / len(planned))
            if seen and best.at_s == seen[-1].at_s:
                continue  # a picture that stands still is stored as one long frame
            name = f"frame-{len(kept) + len(scene):06d}.jpg"
            picture = frame.picture(MAX_SIDE_PX)
            write(name, picture)
            seen.append(best)
            scene.append(
                SampledFrame(
                    blob=name,
                    scene_index=index,
                    at_ms=at_ms(best.at_s, span),
                    width_px=picture.shape[1],
                    height_px=picture.shape[0],
                    keyframe=False,
                    sharpness=best.look.sharpness,
                )
            )
        key = keyframe(seen, span)
        kept += [replace(frame, keyframe=number == key) for number, frame in enumerate(scene)]
    return tuple(kept)


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


def _best_of(frames: Iterator[Frame], sample: Sample, span: Span) -> tuple[Frame, Seen]:
    candidates = [frame for _, frame in zip(sample.candidates_s, frames, strict=False)]
    if len(candidates) < len(sample.candidates_s):
        raise Rejected("CORRUPT_VIDEO", "the file is damaged: no frame of it can be decoded")
    seen = [Seen(frame.at_s, frame.look()) for frame in candidates]
    best = choose(seen, sample.at_s, span)
    return candidates[best], seen[best]


def _samples(span: Span, every_s: float, max_per_scene: int) -> list[Sample]:
    start_s, end_s = span.start_ms / 1000, span.end_ms / 1000
    middle_s = (start_s + end_s) / 2
    wanted = max(0, int(((end_s - start_s) / 2 - _MARGIN_S) / every_s))
    steps = min(wanted, (max_per_scene - 1) // 2)
    step_s = every_s if steps == wanted else (end_s - start_s) / (2 * steps + 1)
    return [_sample(span, middle_s + step * step_s) for step in range(-steps, steps + 1)]


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
