"""Zero-shot affect on SigLIP 2: image and face boxes -> probabilities of seven emotions by prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from adapters.models.affect.tags import EMOTIONS
from adapters.models.faces.image import Box, crop
from adapters.models.vision import siglip2
from adapters.models.vision.siglip2 import Siglip2
from contracts.ports import Float32, UInt8

_GROW = 0.3  # the net was trained on photographs, not on tight crops
_TEMPERATURE = 0.02  # of the softmax over cosines; not fitted on data yet

_PROMPTS = {
    "angry": "a photo of a person with an angry face",
    "disgust": "a photo of a person with a disgusted face",
    "fear": "a photo of a person with a frightened face",
    "happy": "a photo of a person with a happy, smiling face",
    "sad": "a photo of a person with a sad, crying face",
    "surprise": "a photo of a person with a surprised face",
    "neutral": "a photo of a person with a calm, neutral face",
}


def version(device: str) -> str:
    """Return what names weights and prompts; cheap."""
    return f"{siglip2.version(device)}-prompts.1"


class SiglipAffect:
    """Affect model of the production profile; shares its folder of weights with ``Siglip2``."""

    def __init__(self, models_dir: Path, *, device: str) -> None:
        self._encoder = Siglip2(models_dir, device=device)
        self._device = device

    @property
    def version(self) -> str:
        """Name weights and prompts."""
        return version(self._device)

    def read(self, image: UInt8, boxes: Sequence[Box]) -> Sequence[Mapping[str, float]]:
        """Return per box the probability of each emotion, in the order of ``boxes``; each sums to 1.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        if not boxes:
            return ()
        faces = [np.ascontiguousarray(crop(image, box, grow=_GROW)) for box in boxes]
        logits = self._encoder.image_vectors(faces) @ self._prompt_vectors.T / _TEMPERATURE
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        rows = powers / powers.sum(axis=1, keepdims=True)
        return [dict(zip(EMOTIONS, row.tolist(), strict=True)) for row in rows]

    @cached_property
    def _prompt_vectors(self) -> Float32:
        return self._encoder.encode_queries([_PROMPTS[emotion] for emotion in EMOTIONS])
