"""Face crops: image and box -> crop, sharpness, and the box that another model wants."""

from __future__ import annotations

import numpy as np

from contracts.ports import UInt8

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""

_SHARPNESS_SIDE_PX = 112


def crop(image: UInt8, box: Box, *, grow: float = 0.0) -> UInt8:
    """Return the part of ``image`` in ``box``, each side moved out by ``grow`` of the box; never empty."""
    height_px, width_px = image.shape[:2]
    x, y, width, height = box
    left = int(np.clip(x - grow * width, 0, width_px - 1))
    top = int(np.clip(y - grow * height, 0, height_px - 1))
    right = int(np.clip(round(x + (1 + grow) * width), left + 1, width_px))
    bottom = int(np.clip(round(y + (1 + grow) * height), top + 1, height_px))
    return image[top:bottom, left:right]


def sharpness(image: UInt8, box: Box) -> float:
    """Return the variance of the Laplacian of the crop, grey, scaled to 112 px; >= 0, low is blurred."""
    import cv2

    side = (_SHARPNESS_SIDE_PX, _SHARPNESS_SIDE_PX)
    grey = cv2.cvtColor(np.ascontiguousarray(crop(image, box)), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(cv2.resize(grey, side, interpolation=cv2.INTER_AREA), cv2.CV_32F).var())


def clip_box(box: Box, image: UInt8) -> Box:
    """Return the part of ``box`` that lies in the image."""
    height_px, width_px = image.shape[:2]
    x, y, width, height = box
    left, top = max(0.0, x), max(0.0, y)
    return left, top, max(0.0, min(x + width, width_px) - left), max(0.0, min(y + height, height_px) - top)


def shorter_side_px(box: Box) -> float:
    """Return the shorter side of ``box``."""
    return min(box[2], box[3])
