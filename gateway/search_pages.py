"""Search pages: what is left of an answer -> the bytes that its page token holds, and back. Pure.

Scores are quantised: 180 hits make a token of about 9 kB.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from operator import mul
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.ids import row_id, split_row_id
from indexer.search.types import Cause, Channel, Degraded, MatchQuality, Ranked

LIFE_S = 15 * 60
"""How long a list stays frozen. Source: ``heimdex.search.v1.SearchScenesResponse.next_page_token``."""

_FORMAT = 4
_CHANNELS, _CAUSES, _QUALITIES = tuple(Channel), tuple(Cause), tuple(MatchQuality)  # places are part of the format
_HEAD = struct.Struct(">BQII?BBBBBBIHHH")
_LEVEL = 1  # the slower ones gain a few per cent
_WINDOW, _MEMORY = 12, 5
"""Of zlib: 32 KB to set up for each token instead of 268. Source: 22 us instead of 72 for 2 kB, no byte longer."""
_WEIGHT, _REVISION, _SHARE, _RAW = ">f4", ">u4", ">u2", ">f2"
_STEPS = 0xFFFF  # of similarities and confidences in [0, 1]
_MAX_RAW = 65_504.0  # the largest half-precision number
_NO_VIEW = 0xFF


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is left of an answer, and what later pages say of all of it.

    Attributes:
        generation: number of the one that was read.
        first_rank: place of the first row of ``rest``, >= 1.
        rest: best first; every row has the measures of the same channels.
        people: ids of those whom the query names.
        marking: what to mark in transcripts.
    """

    query_id: str
    generation: int
    first_rank: int
    total_hits: int
    total_is_lower_bound: bool
    match_quality: MatchQuality
    answered: tuple[Channel, ...]
    degraded: tuple[Degraded, ...]
    ranking: str
    people: tuple[str, ...]
    marking: str
    rest: tuple[Ranked, ...]


def pack(frozen: Frozen) -> bytes:
    """Return the bytes of a list."""
    rest = frozen.rest
    channels = rest[0].channels if rest else ()
    scenes = [split_row_id(ranked.row_id) for ranked in rest]
    ids = ",".join(scene for scene, _ in scenes).encode()
    query, ranking, marking = frozen.query_id.encode(), frozen.ranking.encode(), frozen.marking.encode()
    people = ",".join(frozen.people).encode()
    parts = [
        _HEAD.pack(
            _FORMAT,
            frozen.generation,
            frozen.first_rank,
            frozen.total_hits,
            frozen.total_is_lower_bound,
            _QUALITIES.index(frozen.match_quality),
            len(frozen.answered),
            len(frozen.degraded),
            len(channels),
            len(query),
            len(ranking),
            len(people),
            len(marking),
            len(ids),
            len(rest),
        ),
        bytes(_CHANNELS.index(channel) for channel in frozen.answered),
        bytes(_CHANNELS.index(missing.channel) for missing in frozen.degraded),
        bytes(_CAUSES.index(missing.cause) for missing in frozen.degraded),
        bytes(_CHANNELS.index(channel) for channel in channels),
        query,
        ranking,
        people,
        marking,
        ids,
        _packed([revision for _, revision in scenes], _REVISION),
        bytes(_QUALITIES.index(ranked.match_quality) for ranked in rest),
        _shares([ranked.confidence for ranked in rest]),
        bytes(_NO_VIEW if ranked.view is None else ranked.view for ranked in rest),
    ]
    # Column by column, which compresses better.
    parts.append(_shares(np.array([ranked.similarities for ranked in rest]).T))
    parts.append(_packed(np.array([ranked.weights for ranked in rest]).T, _WEIGHT))
    parts.append(_packed(np.clip(np.array([ranked.raw for ranked in rest]).T, -_MAX_RAW, _MAX_RAW), _RAW))
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
    return compressor.compress(b"".join(parts)) + compressor.flush()


def unpack(packed: bytes) -> Frozen | None:
    """Return the list of ``pack``; None for the format of another version.

    The bytes are our own: the token that holds them is signed.
    """
    body = zlib.decompress(packed)
    if body[0] != _FORMAT:
        return None
    _, generation, first_rank, total, more, quality, *lengths = _HEAD.unpack_from(body)
    answered, degraded, columns, query, ranking, people, marking, ids, rows = lengths
    read = _Reader(body, _HEAD.size)
    there = read.channels(answered)
    missing = zip(read.channels(degraded), read.take(degraded), strict=True)
    channels = read.channels(columns)
    return Frozen(
        query_id=read.text(query),
        generation=generation,
        first_rank=first_rank,
        total_hits=total,
        total_is_lower_bound=more,
        match_quality=_QUALITIES[quality],
        answered=there,
        degraded=tuple(Degraded(channel, _CAUSES[cause]) for channel, cause in missing),
        ranking=read.text(ranking),
        people=read.ids(people),
        marking=read.text(marking),
        rest=_rows(read, channels, read.ids(ids), rows),
    )


def _rows(read: _Reader, channels: tuple[Channel, ...], scenes: tuple[str, ...], rows: int) -> tuple[Ranked, ...]:
    revisions = read.numbers(rows, _REVISION)
    qualities = [_QUALITIES[place] for place in read.take(rows)]
    confidences = read.shares(rows)
    views = [None if view == _NO_VIEW else view for view in read.take(rows)]
    similarities = list(zip(*[read.shares(rows) for _ in channels], strict=True))
    weights = list(zip(*[read.numbers(rows, _WEIGHT) for _ in channels], strict=True))
    raw = list(zip(*[read.numbers(rows, _RAW) for _ in channels], strict=True))
    return tuple(
        Ranked(
            row_id=row_id(scenes[row], revisions[row]),
            score=sum(map(mul, similarities[row], weights[row])),
            confidence=confidences[row],
            match_quality=qualities[row],
            channels=channels,
            similarities=similarities[row],
            weights=weights[row],
            raw=raw[row],
            view=views[row],
        )
        for row in range(rows)
    )


class _Reader:
    """Bytes, from front to back."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body = body
        self._at = at

    def take(self, length: int) -> bytes:
        taken = self._body[self._at : self._at + length]
        self._at += length
        return taken

    def text(self, length: int) -> str:
        return self.take(length).decode()

    def ids(self, length: int) -> tuple[str, ...]:
        joined = self.text(length)
        return tuple(joined.split(",")) if joined else ()

    def channels(self, count: int) -> tuple[Channel, ...]:
        return tuple(_CHANNELS[place] for place in self.take(count))

    def numbers(self, count: int, kind: str) -> list[Any]:
        found: list[Any] = np.frombuffer(self.take(count * np.dtype(kind).itemsize), kind).tolist()
        return found

    def shares(self, count: int) -> list[float]:
        return [steps / _STEPS for steps in self.numbers(count, _SHARE)]


def _shares(values: npt.ArrayLike) -> bytes:
    return _packed(np.rint(np.clip(values, 0.0, 1.0) * _STEPS), _SHARE)


def _packed(values: npt.ArrayLike, kind: str) -> bytes:
    return np.asarray(values).astype(kind).tobytes()
