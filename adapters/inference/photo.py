"""Photos: the bytes of an image file -> upright RGB pixels, or what is wrong with them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from contracts.errors import FieldViolation, InvalidRequest
from contracts.ports import UInt8

if TYPE_CHECKING:
    import PIL.Image

MAX_BYTES = 10 << 20
MAX_PIXELS = 50_000_000
"""150 MB as RGB; a phone's largest photo. A small file may claim far more: the claim is read before the pixels."""

_MAX_SIDE_PX = 2560  # larger photos are scaled down: faces in them stay far above what the model needs
_FORMATS = ("JPEG", "PNG", "WEBP")


def decode(image: bytes) -> UInt8:
    """Return RGB uint8 (h, w, 3), turned upright by EXIF, its longer side at most 2,560 px.

    Raises: InvalidRequest (permanent) when it is no JPEG, PNG or WebP, is damaged, or is too large.
    """
    from PIL import Image

    if len(image) > MAX_BYTES:
        raise _invalid(f"is larger than {MAX_BYTES} bytes")
    try:
        with Image.open(io.BytesIO(image), formats=_FORMATS) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise _too_many_pixels()
            opened.draft("RGB", (_MAX_SIDE_PX, _MAX_SIDE_PX))
            upright = _turned(opened).convert("RGB")
    except Image.DecompressionBombError as error:  # so many that Pillow does not even open it
        raise _too_many_pixels() from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _invalid("is no readable JPEG, PNG or WebP image") from error
    upright.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX))
    return np.asarray(upright, np.uint8)


def _turned(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an image as EXIF would have it; as it is where that is damaged, for it is no part of the picture."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - its reader raises whatever it meets; what is wrong with pixels is met again
        return image


def _too_many_pixels() -> InvalidRequest:
    return _invalid(f"has more than {MAX_PIXELS} pixels")


def _invalid(description: str) -> InvalidRequest:
    return InvalidRequest(FieldViolation("image", description))
