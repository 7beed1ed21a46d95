"""Unigram tokenizer of XLM-R: text -> the likeliest pieces of its vocabulary.

Source: SentencePiece's unigram algorithm; a dictionary takes a fifth of the memory of the tokenizers package.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence

from contracts.ports import Float32

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how the vocabulary writes a space
_SPACES = re.compile(" {2,}")
_UNKNOWN_PENALTY = 10.0  # below the least likely piece. Source: SentencePiece
_NEVER = float("-inf")


class Unigram:
    """Splits a text so that the sum of its pieces' log probabilities is highest; ties go to the earlier start."""

    def __init__(
        self, pieces: Sequence[str], scores: Float32, *, unknown_id: int, characters: Mapping[int, str]
    ) -> None:
        """Take the vocabulary in order of id, and what each character (by code point) is normalised to."""
        self._pieces = {piece: index for index, piece in enumerate(pieces) if piece and index != unknown_id}
        self._scores = array("f", scores.tolist())  # a quarter million floats in 1 MB
        self._characters = characters
        self._longest = max(map(len, self._pieces))
        self._unknown = unknown_id
        self._unknown_score = float(scores.min()) - _UNKNOWN_PENALTY

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``, without begin and end; neighbouring unknown characters are one id."""
        clean = self._clean(text)
        size = len(clean)
        best = [0.0] + [_NEVER] * size
        back: list[tuple[int, int]] = [(0, self._unknown)] * (size + 1)
        for start in range(size):
            base = best[start]
            for end in range(start + 1, min(size, start + self._longest) + 1):
                piece = self._pieces.get(clean[start:end])
                if piece is not None and base + self._scores[piece] > best[end]:
                    best[end], back[end] = base + self._scores[piece], (start, piece)
            if base + self._unknown_score > best[start + 1]:
                best[start + 1], back[start + 1] = base + self._unknown_score, (start, self._unknown)
        ids: list[int] = []
        end = size
        while end:
            end, piece = back[end]
            if not (piece == self._unknown and ids and ids[-1] == self._unknown):
                ids.append(piece)
        return ids[::-1]

    def _clean(self, text: str) -> str:
        clean = _SPACES.sub(" ", text.translate(self._characters))
        if not clean.startswith(" "):
            clean = f" {clean}"
        return clean.replace(" ", _SPACE)
