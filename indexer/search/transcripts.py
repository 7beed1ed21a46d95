"""Transcripts: a scene's stored body and matched ranges -> runs to show. The one place here that reads a message.

Of a scene a query may match what is said, and the names of what was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from contracts.errors import Internal
from contracts.ids import tag_name
from heimdex.scene.v1 import scene_pb2
from indexer.search.types import Run

_BETWEEN = " "


class Line(NamedTuple):
    """A spoken line: milliseconds from the beginning of the video, ``end_ms`` exclusive."""

    start_ms: int
    end_ms: int
    text: str


class Told(NamedTuple):
    """What words of a query may match in a scene: the spoken lines, and of each tag its names, as indexed."""

    lines: tuple[Line, ...]
    tags: tuple[tuple[str, ...], ...]


def scene_of(body: bytes) -> scene_pb2.Scene:
    """Return what is stored of a scene. Raises: Internal (permanent) when it is no ``heimdex.scene.v1.Scene``."""
    try:
        return scene_pb2.Scene.FromString(body)
    except DecodeError as error:
        raise Internal("a scene row's body is no scene") from error


def told(body: bytes) -> Told:
    """Return what a serialised scene tells; errors as ``scene_of``."""
    scene = scene_of(body)
    return Told(
        tuple(Line(_ms(line.start_offset), _ms(line.end_offset), line.text) for line in scene.transcript),
        tuple((*tag.names, tag_name(tag.tag)) for tag in scene.tags),
    )


def joined(spoken: Sequence[Line]) -> str:
    """Return the transcript, as ``runs`` counts it."""
    return _BETWEEN.join(line.text for line in spoken)


def runs(spoken: Sequence[Line], ranges: Sequence[tuple[int, int]] = ()) -> tuple[Run, ...]:
    """Cut the lines at marks; the runs joined are ``joined(spoken)``.

    Args:
        ranges: half-open ranges of code points of ``joined(spoken)``, ascending, apart.
    """
    out: list[Run] = []
    start = 0
    last_line = len(spoken) - 1
    for index, (start_ms, end_ms, said) in enumerate(spoken):
        text = said if index == last_line else said + _BETWEEN
        end = start + len(text)
        at = start
        for first, last in ranges:
            low, high = max(first, at), min(last, end)
            if low < high:
                if at < low:
                    out.append(Run(text[at - start : low - start], False, start_ms, end_ms))
                out.append(Run(text[low - start : high - start], True, start_ms, end_ms))
                at = high
        if at < end:
            out.append(Run(text[at - start :], False, start_ms, end_ms))
        start = end
    return tuple(out)


def _ms(duration: Duration) -> int:
    return duration.seconds * 1000 + duration.nanos // 1_000_000
