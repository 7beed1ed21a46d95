"""Fake face model: magenta-framed squares made by ``draw_face`` -> faces; the colour inside is the identity."""

from __future__ import annotations

import numpy as np

from adapters.models.faces.image import Box, sharpness
from contracts.ports import Face, Float32, UInt8

VERSION = "fake-frames.1"
FRAME_RGB = (255, 0, 255)
_DIM = 16
_MAGENTA, _GREEN = 170, 90  # levels that lossy codecs leave of the frame
_SAME_LEVELS = 40.0  # colours nearer than this (of 255) are one person


class FakeFaceModel:
    """Deterministic and without weights: one person is one colour."""

    @property
    def version(self) -> str:
        """Name the convention."""
        return VERSION

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return _DIM

    @property
    def min_face_px(self) -> int:
        """Smallest side of a box that is embedded."""
        return 24

    @property
    def min_sharpness(self) -> float:
        """Any picture is sharp enough."""
        return 0.0

    def find(self, image: UInt8) -> tuple[Face, ...]:
        """Return the framed squares of an RGB uint8 (h, w, 3) image, largest first."""
        import cv2

        red, green, blue = (image[..., i].astype(np.int16) for i in range(3))
        frame = ((red > _MAGENTA) & (blue > _MAGENTA) & (green < _GREEN)).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(frame, connectivity=8)
        faces = []
        for x, y, width, height, _area in stats[1:]:
            if min(width, height) < self.min_face_px:
                continue
            inside = image[y : y + height // 2, x : x + width][height // 4 :, width // 4 : -width // 4]
            vector = np.zeros(_DIM, np.float32)
            vector[:3] = np.median(inside.reshape(-1, 3), axis=0) / 255.0
            box = (float(x), float(y), float(width), float(height))
            faces.append(Face(box, 1.0, vector, sharpness(image, box)))
        return tuple(sorted(faces, key=lambda face: -face.box[2] * face.box[3]))

    def boxes(self, image: UInt8) -> tuple[Box, ...]:
        """Return the boxes that ``find`` returns."""
        return tuple(face.box for face in self.find(image))

    def similarity(self, a: Float32, b: Float32) -> Float32:
        """Compare (n, 16) with (m, 16): (n, m) in [0, 1]; 0.5 where the colours are 40 levels apart."""
        distance = np.linalg.norm(a[:, None, :] - b[None, :, :], axis=2) * 255.0
        similarity: Float32 = np.exp2(-distance / _SAME_LEVELS).astype(np.float32)
        return similarity


def draw_face(image: UInt8, box: tuple[int, int, int, int], rgb: tuple[int, int, int], mood_level: int = 255) -> None:
    """Draw into ``image`` a face at ``box`` (x, y, width, height): upper half ``rgb``, lower half grey ``mood_level``.

    ``adapters.models.affect.fake`` reads the grey: white is happy, black is sad.
    """
    x, y, width, height = box
    border = max(4, width // 16)
    image[y : y + height, x : x + width] = FRAME_RGB
    image[y + border : y + height // 2, x + border : x + width - border] = rgb
    image[y + height // 2 : y + height - border, x + border : x + width - border] = mood_level
