"""Fake text encoder: text -> hashed character n-grams, so texts that share syllables are near."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from contracts.ports import Float32

VERSION = "fake-char-ngrams-256.1"
_DIM = 256
_LENGTHS = (1, 2, 3)


class FakeTextEncoder:
    """Deterministic and without weights: cosine grows with shared 1- to 3-grams, white space and case ignored."""

    @property
    def version(self) -> str:
        """Name the hashing."""
        return VERSION

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return _DIM

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """Return float32 (n, 256), L2-normalised, in the order of ``texts``."""
        vectors = np.zeros((len(texts), _DIM), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for gram in _grams(text):
                code = zlib.crc32(gram.encode())
                row[code % _DIM] += 1.0 if code & 0x8000_0000 else -1.0
            if not row.any():
                row[0] = 1.0  # a text of white space has no gram; it still needs a direction
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """As ``encode_passages``: there is no prefix."""
        return self.encode_passages(texts)


def _grams(text: str) -> Iterator[str]:
    letters = "".join(unicodedata.normalize("NFC", text).casefold().split())
    for length in _LENGTHS:
        for start in range(len(letters) - length + 1):
            yield letters[start : start + length]
