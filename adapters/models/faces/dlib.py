"""dlib's ResNet with YuNet or HOG boxes: RGB image -> faces with 128-d vectors compared by L2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
_CHEEK, _BROW, _FACE = 0.07, 0.16, 1.19  # HOG's square to YuNet's box, shares of its side. Source: 9 portraits
_LARGEST_POWER = 50.0  # of e; more is no less alike, and overflows
_MAX_SIDE_PX = 1280
_SMALL_PX = 640
"""Pictures no longer than this are doubled for HOG. Source: measured at 960 px: 48 ms and faces from 50 px; doubled,
200 ms and from 30 px."""


def version(faces_model: Path | None) -> str:
    """Return what names detector, points and vectors; cheap."""
    return f"dlib-resnet-128-{detector(faces_model)}.1"


def detector(faces_model: Path | None) -> str:
    """Return what names the detector alone; cheap."""
    return "yunet-2023mar" if faces_model else "hog"


@dataclass(frozen=True, slots=True)
class _Found:
    """A detected face: box from hairline to chin whichever the detector, score in [0, 1], dlib's box from the brow."""

    box: Box
    score: float
    from_brow: Box


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
            return tuple(found.box for found in self._boxes(np.ascontiguousarray(image)))

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
        for found in self._boxes(image):
            vector = np.zeros(_DIM, np.float32)
            if shorter_side_px(found.box) >= self.min_face_px:
                vector = self._embed(image, found.from_brow)
            faces.append(Face(found.box, found.score, vector, sharpness(image, found.box)))
        return tuple(sorted(faces, key=lambda face: -face.box[2] * face.box[3]))

    def _boxes(self, image: UInt8) -> list[_Found]:
        found = self._yunet_boxes(image) if self._yunet else self._hog_boxes(image)
        return [face for face in found if shorter_side_px(face.box) > 1]

    def _yunet_boxes(self, image: UInt8) -> Iterator[_Found]:
        rows = self._yunet.detect(image).tolist() if self._yunet else ()
        for x, y, width, height, *_points, score in rows:
            box = clip_box((x, y, width, height), image)
            from_brow = (box[0], box[1] + _FOREHEAD * box[3], box[2], (1 - _FOREHEAD) * box[3])
            yield _Found(box, float(np.clip(score, 0, 1)), from_brow)

    def _hog_boxes(self, image: UInt8) -> Iterator[_Found]:
        import cv2
        import dlib

        self._hog = self._hog or dlib.get_frontal_face_detector()
        scale = min(1.0, _MAX_SIDE_PX / max(image.shape[:2]))
        height, width = image.shape[:2]
        along, down = max(scale, 1 / width), max(scale, 1 / height)  # of a line of pixels one is left
        small = cv2.resize(image, None, fx=along, fy=down, interpolation=cv2.INTER_AREA) if scale < 1 else image
        rectangles, margins, _ = self._hog.run(small, 1 if max(small.shape[:2]) <= _SMALL_PX else 0)
        for r, margin in zip(rectangles, margins, strict=True):
            x, y, w, h = (value / scale for value in (r.left(), r.top(), r.width(), r.height()))
            face = (x + _CHEEK * w, y - _BROW * h, (1 - 2 * _CHEEK) * w, _FACE * h)
            yield _Found(clip_box(face, image), float(1 / (1 + np.exp(-margin))), (x, y, w, h))

    def _embed(self, image: UInt8, box: Box) -> Float32:
        import dlib

        x, y, width, height = box
        rectangle = dlib.rectangle(round(x), round(y), round(x + width), round(y + height))
        shape = self._points(image, rectangle)
        return np.asarray(self._net.compute_face_descriptor(image, shape), np.float32)
