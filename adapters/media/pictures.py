"""Pictures: RGB arrays <-> JPEG files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from contracts.errors import BadArtifact
from contracts.ports import UInt8

_QUALITY = 85


def write_jpeg(path: Path, picture: UInt8) -> None:
    """Write RGB uint8 (h, w, 3) as JPEG; the same pixels give the same bytes."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, body = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    path.write_bytes(body.tobytes())


def read_jpeg(path: Path) -> UInt8:
    """Return a JPEG as RGB uint8 (h, w, 3). Raises: BadArtifact (permanent) when it is none."""
    bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise BadArtifact(f"{path.name} is no JPEG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
