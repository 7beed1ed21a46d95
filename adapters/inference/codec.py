"""What both ends of the inference service agree on: float32 arrays <-> little-endian bytes, limits, names."""

from __future__ import annotations

import numpy as np

from contracts.ports import Float32

REASON_KEY = "heimdex-reason"
"""Trailing metadata with the reason of an error."""

MAX_MESSAGE_BYTES = 12 << 20
"""A photo of 10 MiB and what is around it; gRPC's default is 4 MiB."""

CALLS_AT_ONCE = 2
"""Of both query encoders: while one wave of searches is encoded on one core, the next need not wait for it."""


def to_bytes(vector: Float32) -> bytes:
    """Return the little-endian bytes of a float32 vector."""
    return vector.astype("<f4", copy=False).tobytes()


def from_bytes(body: bytes) -> Float32:
    """Return the read-only float32 vector in ``body``."""
    vector: Float32 = np.frombuffer(body, "<f4").astype(np.float32, copy=False)
    return vector
