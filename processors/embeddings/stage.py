"""Embeddings: the lines of each scene -> one text vector a spoken scene. Pure; the encoder comes in as a port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.ports import Float32, Progress, TextEncoder

CHUNK_CHARACTERS = 400
"""Longest passage given to the encoder at once: about 300 tokens of Korean, where encoders take 512."""

_BATCH = 16


@dataclass(frozen=True, slots=True)
class SceneVector:
    """Position of a scene and its vector: float32 (dim,), L2-normalised."""

    index: int
    vector: Float32


def embed(
    scenes: Sequence[tuple[int, Sequence[str]]], encoder: TextEncoder, *, progress: Progress
) -> tuple[SceneVector, ...]:
    """Return a vector for each scene in which something is said, in the order of ``scenes``.

    A long transcript is encoded in passages; its vector is their mean, weighted by length, normalised.

    Args:
        scenes: position and lines.

    Raises: ModelUnavailable (transient).
    """
    passages = [(index, passage) for index, lines in scenes for passage in chunks(lines)]
    rows: list[Float32] = []
    for start in range(0, len(passages), _BATCH):
        rows.append(encoder.encode_passages([text for _, text in passages[start : start + _BATCH]]))
        progress(min(1.0, (start + _BATCH) / len(passages)))
    if not rows:
        return ()
    vectors = np.concatenate(rows)
    weighted: dict[int, Float32] = {}
    for (index, text), vector in zip(passages, vectors, strict=True):
        weighted[index] = weighted.get(index, np.zeros_like(vector)) + vector * np.float32(len(text))
    return tuple(SceneVector(index, normalised(total)) for index, total in weighted.items())


def chunks(lines: Sequence[str], limit: int = CHUNK_CHARACTERS) -> Iterator[str]:
    """Yield passages of at most ``limit`` characters: whole lines joined by spaces, or parts of a longer line."""
    passage = ""
    for piece in (piece for line in lines for piece in _pieces(line, limit)):
        if passage and len(passage) + 1 + len(piece) > limit:
            yield passage
            passage = ""
        passage = f"{passage} {piece}" if passage else piece
    if passage:
        yield passage


def _pieces(line: str, limit: int) -> Iterator[str]:
    rest = line.strip()
    while len(rest) > limit:
        space = rest.rfind(" ", 1, limit + 1)
        at = space if space > 0 else limit
        yield rest[:at]
        rest = rest[at:].lstrip()
    if rest:
        yield rest


def normalised(vector: Float32) -> Float32:
    """Return ``vector`` with length 1; zero stays zero."""
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length > 0 else vector, np.float32)
