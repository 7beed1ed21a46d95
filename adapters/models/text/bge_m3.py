"""BGE-M3 by FlagEmbedding: text -> 1024-d vectors; queries and passages alike."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.weights import in_folder, loading, running
from contracts.ports import Float32

FOLDER = "bge-m3"
_DIM = 1024
_MAX_TOKENS = 512  # a scene's transcript; the library's default of 8192 costs memory
_BATCH = 8


def version(device: str) -> str:
    """Return what names weights and precision; cheap."""
    return f"bge-m3-{'fp16' if device == 'cuda' else 'fp32'}.1"


class BgeM3:
    """Text encoder of the production profile; safe from several threads (one call at a time). Load is lazy."""

    def __init__(self, models_dir: Path, *, device: str) -> None:
        self._models_dir = models_dir
        self._device = device
        self._lock = threading.Lock()
        self._model: Any = None

    @property
    def version(self) -> str:
        """Name weights and precision."""
        return version(self._device)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return _DIM

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """Return float32 (n, 1024), L2-normalised, in the order of ``texts``; (0, 1024) for none.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        if not texts:
            return np.empty((0, _DIM), np.float32)
        with self._lock:
            model = self._load()
            with running("text"):
                out = model.encode(
                    list(texts), batch_size=_BATCH, max_length=_MAX_TOKENS, return_dense=True, return_sparse=False
                )
        vectors: Float32 = np.asarray(out["dense_vecs"], np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """As ``encode_passages``: the model takes no prefix."""
        return self.encode_passages(texts)

    def _load(self) -> Any:
        if self._model is None:
            folder = in_folder(self._models_dir, FOLDER, maker="pull")
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
            os.environ.setdefault("TQDM_DISABLE", "1")
            with loading("text"):
                from FlagEmbedding import BGEM3FlagModel

                self._model = BGEM3FlagModel(str(folder), use_fp16=self._device == "cuda", devices=[self._device])
        return self._model
