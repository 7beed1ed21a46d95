"""E5 and USE side by side: text -> 896-d vectors; the cosine is the weighted mean of theirs.

E5 ranks within a language and prefers the query's own; USE is at home between languages and knows what is unrelated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adapters.models.text import e5, use
from contracts.ports import Float32, TextEncoder

E5_SHARE = 0.7
"""Share of E5's cosine. Source: the project's own Korean scene set (``heimdex eval``)."""

VERSION = f"{e5.VERSION}-{use.VERSION}-{E5_SHARE:g}"
DIM = 384 + use.DIM


class E5Use:
    """Text encoder of the small profile; safe from several threads. Load is lazy."""

    def __init__(self, e5_encoder: TextEncoder, sentences: use.SentenceEncoder) -> None:
        self._e5 = e5_encoder
        self._sentences = sentences

    @property
    def version(self) -> str:
        """Name both encoders and their shares."""
        return VERSION

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return DIM

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """Return float32 (n, 896), L2-normalised, in the order of ``texts``; (0, 896) for none.

        Raises: ModelUnavailable (transient) when weights are missing or a runtime failed.
        """
        return self._joined(self._e5.encode_passages(texts), texts)

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """As ``encode_passages``, for queries."""
        return self._joined(self._e5.encode_queries(texts), texts)

    def _joined(self, of_e5: Float32, texts: Sequence[str]) -> Float32:
        parts = (
            np.sqrt(E5_SHARE) * of_e5,
            np.sqrt(1.0 - E5_SHARE) * self._sentences.encode([text.lower() for text in texts]),
        )
        return np.concatenate(parts, axis=1).astype(np.float32)
