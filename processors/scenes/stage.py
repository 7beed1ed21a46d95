"""Scenes: cuts of a video -> scenes that cover it, none too short, none too long. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from contracts.media import Span


def to_spans(cuts_s: Iterable[float], duration_ms: int, *, min_ms: int, max_ms: int) -> tuple[Span, ...]:
    """Return scenes that partition [0, duration_ms), in order.

    Every scene is at least ``min_ms`` long (or is the only one) and at most ``max_ms``.

    Args:
        cuts_s: seconds from video start, in any order; those outside the video are ignored.
        duration_ms: >= 1.
        min_ms: a cut that comes sooner after another is a flash or a fast edit, and starts no scene.
        max_ms: >= 2 * min_ms; a longer take is split evenly, so that a hit in a lecture points somewhere. Dissolves,
            which no detector here finds, end up in here too.
    """
    edges = [0]
    for cut_ms in sorted(round(cut * 1000) for cut in cuts_s):
        if cut_ms - edges[-1] >= min_ms and duration_ms - cut_ms >= min_ms:
            edges.append(cut_ms)
    edges.append(duration_ms)
    pieces = [edges[0]]
    for start, end in pairwise(edges):
        count = -(-(end - start) // max_ms)
        pieces += [start + (end - start) * n // count for n in range(1, count + 1)]
    return tuple(Span(i, start, end) for i, (start, end) in enumerate(pairwise(pieces)))
