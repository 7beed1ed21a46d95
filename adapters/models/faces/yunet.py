"""YuNet by OpenCV: RGB image -> boxes with scores and five points each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.weights import loading, running, sha256_of
from contracts.errors import ModelUnavailable
from contracts.ports import Float32, UInt8

SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
"""Of ``face_detection_yunet_2023mar.onnx``, 232,589 bytes, MIT. Source: OpenCV Zoo."""

_MIN_SCORE = 0.8
_OVERLAP = 0.3
_SIDES_PX = (1280, 320)
"""Longer side that a picture is scaled down to, for small faces and for those that fill it. Source: trained on faces of
10 to 300 px; measured: a close-up of 900 px is missed at 1,280 and found at 320, for a sixteenth of the work."""


class YuNet:
    """Face detector; load is lazy, used from one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._net: Any = None

    def detect(self, image: UInt8) -> Float32:
        """Return float32 (n, 15): x, y, width, height, five points (x, y), score, in pixels of ``image``.

        Raises: ModelUnavailable (transient) when the file is missing or another, or the runtime failed.
        """
        self._load()
        longer_px = max(image.shape[:2])
        faces = self._at(image, min(1.0, _SIDES_PX[0] / longer_px))
        if longer_px > _SIDES_PX[1]:
            again = self._at(image, _SIDES_PX[1] / longer_px)
            faces = np.concatenate([faces, [row for row in again if _overlap(row, faces) < _OVERLAP] or again[:0]])
        return faces

    def _at(self, image: UInt8, scale: float) -> Float32:
        """Return the faces of ``image`` seen at ``scale``, in pixels of ``image``."""
        import cv2

        height, width = image.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self._net.setInputSize(size)
        with running("faces", cv2.error):
            _, found = self._net.detect(cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2BGR))
        if found is None:
            return np.empty((0, 15), np.float32)
        faces: Float32 = np.asarray(found, np.float32).copy()
        faces[:, :14] /= scale
        return faces

    def _load(self) -> None:
        if self._net is not None:
            return
        if not self._path.is_file():
            remedy = "pull it (`python -m adapters.models.pull`), or unset HEIMDEX_FACES_MODEL"
            raise ModelUnavailable("faces", f"the face detector's file {self._path} is missing: {remedy}")
        if (found := sha256_of(self._path)) != SHA256:  # versions name this one
            raise ModelUnavailable("faces", f"{self._path} has digest {found}, not {SHA256}")
        with loading("faces"):
            import cv2

            self._net = cv2.FaceDetectorYN.create(str(self._path), "", (320, 320), _MIN_SCORE, _OVERLAP, 5000)


def _overlap(row: Float32, others: Float32) -> float:
    """Return the largest share that a face's box has in common with one of the others': intersection over union."""
    if not len(others):
        return 0.0
    starts, ends = others[:, :2], others[:, :2] + others[:, 2:4]
    inside = np.clip(np.minimum(ends, row[:2] + row[2:4]) - np.maximum(starts, row[:2]), 0, None).prod(axis=1)
    union = row[2] * row[3] + others[:, 2] * others[:, 3] - inside
    return float((inside / union).max())
