"""Fake affect model: the grey in the lower half of a drawn face (``faces.fake.draw_face``) -> happy, neutral, sad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from adapters.models.affect.tags import EMOTIONS
from adapters.models.faces.image import Box, crop
from contracts.ports import UInt8

VERSION = "fake-grey.1"
_SURE = 0.88
_BRIGHT, _DARK = 170, 85


class FakeAffectModel:
    """Deterministic and without weights: white is happy, black is sad, between is neutral."""

    @property
    def version(self) -> str:
        """Name the convention."""
        return VERSION

    def read(self, image: UInt8, boxes: Sequence[Box]) -> Sequence[Mapping[str, float]]:
        """Return per box the probability of each emotion; they sum to 1."""
        return [_probabilities(_mood(crop(image, box))) for box in boxes]


def _mood(face: UInt8) -> str:
    height, width = face.shape[:2]
    top, left = 5 * height // 8, width // 4
    level = float(np.median(face[top : max(top + 1, 7 * height // 8), left : max(left + 1, 3 * width // 4)]))
    if level >= _BRIGHT:
        return "happy"
    return "sad" if level <= _DARK else "neutral"


def _probabilities(mood: str) -> Mapping[str, float]:
    rest = (1.0 - _SURE) / (len(EMOTIONS) - 1)
    return {emotion: _SURE if emotion == mood else rest for emotion in EMOTIONS}
