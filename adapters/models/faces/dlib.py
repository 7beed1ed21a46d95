"""dlib's ResNet with YuNet or HOG boxes: RGB image -> faces with 128-d vectors compared by L2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from adapters.models.faces.image import Box, clip_box, sharpness, shorter_side_px
from adapters.models.faces.yunet import YuNet
from adapters.models.weights import in_package, loading, running
from contracts.ports import Face, Float32, UInt8

_DIM = 128
_THRESHOLD_L2 = 0.6  # Source: dlib's own threshold; measured same <= 0.53, different >= 0.67
_SLOPE = 12.0  # per unit of L2: 0.4 (a typical same pair) is 0.92, 0.85 (a typical other pair) is 0.05
_FOREHEAD = 0.12  # YuNet's box starts at the hairline; dlib's alignment wants it from the brow
_LARGEST_POWER = 50.0  # of e; more is no less alike, and overflows
_MAX_SIDE_PX = 1280
_HOG_UPSAMPLE = 1  # finds faces from about 40 px


def version(faces_model: Path | None) -> str:
    """Return what names detector, points and vectors; cheap."""
    return f"dlib-resnet-128-{detector(faces_model)}.1"


def detector(faces_model: Path | None) -> str:
    """Return what names the detector alone; cheap."""
    return "yunet-2023mar" if faces_model else "hog"


class DlibFaces:
    """Face model of the small profile. Load is lazy; used from one thread."""

    def __init__(self, faces_model: Path | None) -> None:
        self._version = version(faces_model)
        self._yunet = YuNet(faces_model) if faces_model else None
        self._hog: Any = None
        self._points: Any = None
        self._net: Any = None

    @property
    def version(self) -> str:
        """Name detector, points and vectors."""
        return self._version

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
        """Photos below it are blurred. Source: portraits measure above 150, the same blurred by sigma 4 px below 20."""
        return 40.0

    def find(self, image: UInt8) -> tuple[Face, ...]:
        """Return the faces of an RGB uint8 (h, w, 3) image, largest first. Vectors are not normalised.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        self._load()
        with running("faces"):
            return self._find(np.ascontiguousarray(image))

    def boxes(self, image: UInt8) -> tuple[Box, ...]:
        """Return where the faces of an RGB uint8 (h, w, 3) image are, but not who they are. Raises as ``find``."""
        with running("faces"):
            return tuple(box for box, _ in self._boxes(np.ascontiguousarray(image)))

    def similarity(self, a: Float32, b: Float32) -> Float32:
        """Compare float32 (n, 128) with (m, 128): (n, m) in [0, 1], a logistic of L2 that is 0.5 at 0.6.

        A zero vector, of a face too small to embed, is like nobody, other zeros included.
        """
        distance = np.linalg.norm(a[:, None, :] - b[None, :, :], axis=2)
        powers = np.exp(np.minimum(_SLOPE * (distance - _THRESHOLD_L2), _LARGEST_POWER))
        known = np.logical_and.outer(a.any(axis=1), b.any(axis=1))
        similarity: Float32 = np.where(known, 1.0 / (1.0 + powers), 0.0).astype(np.float32)
        return similarity

    def _load(self) -> None:
        if self._net is not None:
            return
        package = "face_recognition_models"
        points = in_package(package, "models", "shape_predictor_5_face_landmarks.dat")
        weights = in_package(package, "models", "dlib_face_recognition_resnet_model_v1.dat")
        with loading("faces"):
            import dlib

            self._points = dlib.shape_predictor(str(points))
            self._net = dlib.face_recognition_model_v1(str(weights))

    def _find(self, image: UInt8) -> tuple[Face, ...]:
        faces = []
        for box, score in self._boxes(image):
            vector = np.zeros(_DIM, np.float32)
            if shorter_side_px(box) >= self.min_face_px:
                vector = self._embed(image, box)
            faces.append(Face(box, score, vector, sharpness(image, box)))
        return tuple(sorted(faces, key=lambda face: -face.box[2] * face.box[3]))

    def _boxes(self, image: UInt8) -> list[tuple[Box, float]]:
        if self._yunet is None:
            return self._hog_boxes(image)
        rows = self._yunet.detect(image).tolist()
        boxes = [(clip_box((x, y, width, height), image), row[-1]) for x, y, width, height, *row in rows]
        return [(box, float(np.clip(score, 0, 1))) for box, score in boxes if shorter_side_px(box) > 1]

    def _hog_boxes(self, image: UInt8) -> list[tuple[Box, float]]:
        import cv2
        import dlib

        self._hog = self._hog or dlib.get_frontal_face_detector()
        scale = min(1.0, _MAX_SIDE_PX / max(image.shape[:2]))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        rectangles, margins, _ = self._hog.run(small, _HOG_UPSAMPLE)
        boxes = []
        for r, margin in zip(rectangles, margins, strict=True):
            box = clip_box((r.left() / scale, r.top() / scale, r.width() / scale, r.height() / scale), image)
            if shorter_side_px(box) > 1:
                boxes.append((box, float(1 / (1 + np.exp(-margin)))))
        return boxes

    def _embed(self, image: UInt8, box: Box) -> Float32:
        import dlib

        x, y, width, height = box
        top = y + (_FOREHEAD * height if self._yunet else 0.0)
        rectangle = dlib.rectangle(round(x), round(top), round(x + width), round(y + height))
        shape = self._points(image, rectangle)
        return np.asarray(self._net.compute_face_descriptor(image, shape), np.float32)
