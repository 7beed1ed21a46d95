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
_MAX_SIDE_PX = 1280  # 47 ms a picture; larger ones are scaled down


class YuNet:
    """Face detector; load is lazy, used from one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._net: Any = None

    def detect(self, image: UInt8) -> Float32:
        """Return float32 (n, 15): x, y, width, height, five points (x, y), score, in pixels of ``image``.

        Raises: ModelUnavailable (transient) when the file is missing or another, or the runtime failed.
        """
        import cv2

        self._load()
        height, width = image.shape[:2]
        scale = min(1.0, _MAX_SIDE_PX / max(height, width))
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
