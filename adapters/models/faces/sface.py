"""YuNet and SFace by OpenCV: RGB image -> faces with 128-d vectors compared by cosine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.faces.image import Box, clip_box, sharpness, shorter_side_px
from adapters.models.faces.yunet import YuNet
from adapters.models.weights import in_folder, loading, running
from contracts.ports import Face, Float32, UInt8

VERSION = "sface-2021dec-yunet-2023mar.1"
FOLDER = "faces"
YUNET = "face_detection_yunet_2023mar.onnx"
SFACE = "face_recognition_sface_2021dec.onnx"

_DIM = 128
_THRESHOLD_COSINE = 0.363  # Source: OpenCV's face recognition tutorial, for this file
_SLOPE = 10.0  # per unit of cosine: 0.6 is 0.91, 0.1 is 0.07


class SFace:
    """Face model of the production profile. Load is lazy; used from one thread."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._yunet = YuNet(models_dir / FOLDER / YUNET)
        self._net: Any = None

    @property
    def version(self) -> str:
        """Name detector and vectors."""
        return VERSION

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return _DIM

    @property
    def min_face_px(self) -> int:
        """Smallest side of a box that is embedded; the vector of a smaller one is zero and like nobody."""
        return 40

    @property
    def min_sharpness(self) -> float:
        """Photos below it are blurred."""
        return 40.0

    def find(self, image: UInt8) -> tuple[Face, ...]:
        """Return the faces of an RGB uint8 (h, w, 3) image, largest first; vectors are L2-normalised.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        import cv2

        self._load()
        rows = self._yunet.detect(image)
        with running("faces", cv2.error):
            bgr: Any = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
            faces = [self._face(image, bgr, row) for row in rows]
        return tuple(sorted(faces, key=lambda face: -face.box[2] * face.box[3]))

    def boxes(self, image: UInt8) -> tuple[Box, ...]:
        """Return where the faces of an RGB uint8 (h, w, 3) image are, but not who they are. Raises as ``find``."""
        rows = self._yunet.detect(image).tolist()
        return tuple(clip_box((x, y, width, height), image) for x, y, width, height, *_ in rows)

    def similarity(self, a: Float32, b: Float32) -> Float32:
        """Compare float32 (n, 128) with (m, 128): (n, m) in [0, 1], a logistic of cosine that is 0.5 at 0.363."""
        cosine = np.clip(a @ b.T, -1.0, 1.0)
        similarity: Float32 = (1.0 / (1.0 + np.exp(-_SLOPE * (cosine - _THRESHOLD_COSINE)))).astype(np.float32)
        return similarity

    def _load(self) -> None:
        if self._net is None:
            path = in_folder(self._models_dir, FOLDER, SFACE, maker="pull")
            with loading("faces"):
                import cv2

                self._net = cv2.FaceRecognizerSF.create(str(path), "")

    def _face(self, image: UInt8, bgr: UInt8, row: Float32) -> Face:
        x, y, width, height = (float(value) for value in row[:4])
        box = clip_box((x, y, width, height), image)
        vector = np.zeros(_DIM, np.float32)
        if shorter_side_px(box) >= self.min_face_px:
            vector = self._net.feature(self._net.alignCrop(bgr, row)).reshape(_DIM).astype(np.float32)
            vector /= max(float(np.linalg.norm(vector)), 1e-12)
        return Face(box, float(np.clip(row[14], 0, 1)), vector, sharpness(image, box))
