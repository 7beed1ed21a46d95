"""SigLIP 2 by transformers: images and texts -> vectors in one space; tags by zero-shot prompts."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.vision.labels import kinds
from adapters.models.weights import in_folder, loading, running
from contracts.ports import Float32, Tag, UInt8

FOLDER = "siglip2-so400m"
_DIM = 1152
_MAX_TOKENS = 64  # trained with padding to it and without an attention mask
_BATCH = 8
_MIN_TAG = 0.2  # sigmoid probability; Source: SigLIP's zero-shot scores are small for true labels too
_MAX_TAGS = 5
_PROMPT = "This is a photo of {}."


def version(device: str) -> str:
    """Return what names weights and precision; cheap."""
    return f"siglip2-so400m-{'fp16' if device == 'cuda' else 'fp32'}.1"


class Siglip2:
    """Vision encoder of the production profile; safe from several threads (one call at a time). Load is lazy."""

    def __init__(self, models_dir: Path, *, device: str) -> None:
        self._models_dir = models_dir
        self._device = device
        self._lock = threading.RLock()
        self._loaded: tuple[Any, Any] | None = None

    @property
    def version(self) -> str:
        """Name weights and precision."""
        return version(self._device)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return _DIM

    def encode_images(self, images: Sequence[UInt8]) -> tuple[Float32, Sequence[tuple[Tag, ...]]]:
        """Encode RGB uint8 (h, w, 3) images: float32 (n, 1152) L2-normalised, and each image's tags, best first.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        if not images:
            return np.empty((0, _DIM), np.float32), ()
        vectors = self.image_vectors(images)
        probabilities = self.probabilities(vectors, self._tag_vectors)
        return vectors, [_tags(row) for row in probabilities]

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """Encode texts into the image space: float32 (n, 1152), L2-normalised. Raises as ``encode_images``."""
        if not texts:
            return np.empty((0, _DIM), np.float32)
        with self._lock:
            model, processor = self._load()
            import torch

            batch = processor(
                text=[text.lower() for text in texts],  # trained so; the tokenizer of the checkpoint keeps capitals
                padding="max_length",
                padding_side="right",
                max_length=_MAX_TOKENS,
                truncation=True,
                return_tensors="pt",
            )
            with running("vision"), torch.inference_mode():
                return _unit(model.get_text_features(input_ids=batch["input_ids"].to(self._device)))

    def image_vectors(self, images: Sequence[UInt8]) -> Float32:
        """Encode images as ``encode_images`` does, without tags."""
        parts = []
        with self._lock:
            model, processor = self._load()
            import torch

            for start in range(0, len(images), _BATCH):
                pictures = list(images[start : start + _BATCH])
                batch = processor(images=pictures, return_tensors="pt", input_data_format="channels_last")
                pixels = batch["pixel_values"].to(self._device, model.dtype)
                with running("vision"), torch.inference_mode():
                    parts.append(_unit(model.get_image_features(pixel_values=pixels)))
        return np.concatenate(parts)

    def probabilities(self, vectors: Float32, text_vectors: Float32) -> Float32:
        """Return SigLIP's sigmoid probability (n, m) in [0, 1] of each text for each image."""
        model, _ = self._load()
        scale, bias = float(model.logit_scale.exp()), float(model.logit_bias)
        probabilities: Float32 = (1.0 / (1.0 + np.exp(-(vectors @ text_vectors.T * scale + bias)))).astype(np.float32)
        return probabilities

    @cached_property
    def _tag_vectors(self) -> Float32:
        return self.encode_queries([_PROMPT.format(kind.english[0]) for kind in kinds().values()])

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            folder = in_folder(self._models_dir, FOLDER, maker="pull")
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
            with loading("vision"):
                import torch
                from transformers import AutoModel, AutoProcessor

                dtype = torch.float16 if self._device == "cuda" else torch.float32
                model: Any = AutoModel.from_pretrained(str(folder), dtype=dtype, local_files_only=True)
                processor = AutoProcessor.from_pretrained(str(folder), local_files_only=True)
                self._loaded = model.to(self._device).eval().requires_grad_(requires_grad=False), processor
        return self._loaded


def _tags(probabilities: Float32) -> tuple[Tag, ...]:
    ranked = sorted(zip(kinds().values(), probabilities.tolist(), strict=True), key=lambda pair: -pair[1])
    return tuple(Tag(kind.id, kind.names, score) for kind, score in ranked[:_MAX_TAGS] if score >= _MIN_TAG)


def _unit(features: Any) -> Float32:
    """Return float32 numpy rows of length 1; transformers 5 wraps the tensor in an output object."""
    tensor = getattr(features, "pooler_output", features).float().cpu().numpy()
    rows: Float32 = tensor / np.linalg.norm(tensor, axis=1, keepdims=True)
    return rows
