"""Fake vision encoder: images -> shares of named colours; texts -> the colours they name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.ports import Float32, Tag, UInt8

VERSION = "fake-colours.1"

_COLOURS: tuple[tuple[str, tuple[str, ...], tuple[int, int, int]], ...] = (
    ("red", ("빨강", "빨간", "붉은", "red"), (220, 30, 30)),
    ("orange", ("주황", "orange"), (240, 140, 20)),
    ("yellow", ("노랑", "노란", "yellow"), (240, 230, 40)),
    ("green", ("초록", "녹색", "green"), (30, 160, 50)),
    ("blue", ("파랑", "파란", "푸른", "blue"), (30, 60, 220)),
    ("purple", ("보라", "purple"), (130, 40, 160)),
    ("pink", ("분홍", "핑크", "pink"), (250, 150, 190)),
    ("brown", ("갈색", "brown"), (120, 75, 40)),
    ("black", ("검정", "검은", "까만", "black"), (10, 10, 10)),
    ("grey", ("회색", "grey", "gray"), (128, 128, 128)),
    ("white", ("하양", "하얀", "흰", "white"), (245, 245, 245)),
)
_PALETTE = np.array([rgb for _, _, rgb in _COLOURS], np.int32)
_NAMELESS = len(_COLOURS)  # one axis more, for texts that name no colour
_TAG_SHARE = 0.2
_SAMPLE_PX = 64


class FakeVisionEncoder:
    """Deterministic and without weights: a picture of red finds "빨간 자동차" and is tagged ``red``."""

    @property
    def version(self) -> str:
        """Name the palette."""
        return VERSION

    @property
    def dim(self) -> int:
        """Length of a vector: one axis a colour and one for none."""
        return len(_COLOURS) + 1

    def encode_images(self, images: Sequence[UInt8]) -> tuple[Float32, Sequence[tuple[Tag, ...]]]:
        """Return root shares of the colours, float32 (n, dim), and as tags the colours above a fifth, best first."""
        vectors = np.zeros((len(images), self.dim), np.float32)
        tags = []
        for row, image in zip(vectors, images, strict=True):
            shares = _shares(image)
            row[:_NAMELESS] = np.sqrt(shares)
            ranked = sorted(range(len(shares)), key=lambda i: -shares[i])
            tags.append(
                tuple(Tag(_COLOURS[i][0], _COLOURS[i][1], float(shares[i])) for i in ranked if shares[i] >= _TAG_SHARE)
            )
        return vectors, tags

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """Return float32 (n, dim), L2-normalised: equal parts of the colours named."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            words = text.casefold()
            named = [i for i, (_, names, _) in enumerate(_COLOURS) if any(name in words for name in names)]
            row[named or [_NAMELESS]] = 1.0 / np.sqrt(max(1, len(named)))
        return vectors


def _shares(image: UInt8) -> Float32:
    step = max(1, max(image.shape[:2]) // _SAMPLE_PX)
    pixels = image[::step, ::step].reshape(-1, 3).astype(np.int32)
    distance = ((pixels[:, None, :] - _PALETTE[None, :, :]) ** 2).sum(axis=2)
    counts = np.bincount(distance.argmin(axis=1), minlength=_NAMELESS)
    shares: Float32 = (counts / counts.sum()).astype(np.float32)
    return shares
