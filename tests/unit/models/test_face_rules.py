"""Thresholds of the face models and the geometry of crops."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from adapters.models.affect.tags import EMOTIONS, NAMES
from adapters.models.faces.dlib import DlibFaces
from adapters.models.faces.image import clip_box, crop, sharpness
from adapters.models.faces.sface import SFace
from contracts.ports import Float32


def _at_distance(distance: float) -> tuple[Float32, Float32]:
    a = np.full((1, 128), 0.1, np.float32)
    b = a.copy()
    b[0, 0] += distance
    return a, b


@pytest.mark.parametrize(
    ("distance", "low", "high"),
    [(0.6, 0.499, 0.501), (0.0, 0.99, 1.0), (0.397, 0.85, 1.0), (0.858, 0.0, 0.1), (3.0, 0.0, 0.01)],
)
def test_dlib_is_half_at_its_distance(distance: float, low: float, high: float) -> None:
    similarity = DlibFaces(None).similarity(*_at_distance(distance))
    assert similarity.shape == (1, 1)
    assert similarity.dtype == np.float32
    assert low <= similarity[0, 0] <= high


@pytest.mark.parametrize(("cosine", "low", "high"), [(0.363, 0.499, 0.501), (1.0, 0.99, 1.0), (0.0, 0.0, 0.05)])
def test_sface_is_half_at_its_cosine(cosine: float, low: float, high: float) -> None:
    a, b = np.zeros((1, 128), np.float32), np.zeros((1, 128), np.float32)
    a[0, 0], b[0, 0], b[0, 1] = 1.0, cosine, math.sqrt(1 - cosine**2)
    assert low <= SFace(Path("none")).similarity(a, b)[0, 0] <= high


def test_similarity_of_many_and_of_none() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 128)).astype(np.float32), rng.normal(size=(5, 128)).astype(np.float32)
    for model in (DlibFaces(None), SFace(Path("none"))):
        assert model.similarity(a, b).shape == (3, 5)
        assert model.similarity(a[:0], b).shape == (0, 5)


def test_faces_too_small_to_embed_are_like_nobody() -> None:
    nobody, somebody = np.zeros((1, 128), np.float32), np.full((1, 128), 0.1, np.float32)
    for model in (DlibFaces(None), SFace(Path("none"))):
        for other in (nobody, somebody):
            assert model.similarity(nobody, other).max() < 0.1


def test_the_detector_is_part_of_the_version() -> None:
    assert DlibFaces(None).version != DlibFaces(Path("yunet.onnx")).version


def test_crops_stay_in_the_picture_and_are_never_empty() -> None:
    image = np.arange(100 * 200 * 3, dtype=np.uint8).reshape(100, 200, 3)
    assert crop(image, (10.0, 20.0, 30.0, 40.0)).shape == (40, 30, 3)
    assert crop(image, (10.0, 20.0, 30.0, 40.0), grow=0.1).shape == (48, 36, 3)
    assert crop(image, (-50.0, -50.0, 60.0, 60.0)).shape == (10, 10, 3)
    assert crop(image, (500.0, 500.0, 10.0, 10.0)).size > 0
    assert crop(image, (-500.0, -500.0, 10.0, 10.0)).size > 0


def test_boxes_are_clipped() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    assert clip_box((-10.0, -5.0, 30.0, 30.0), image) == (0.0, 0.0, 20.0, 25.0)
    assert clip_box((190.0, 90.0, 30.0, 30.0), image) == (190.0, 90.0, 10.0, 10.0)


def test_sharpness_falls_with_blur() -> None:
    import cv2

    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 255, (150, 150, 3), np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 5), np.uint8)
    box = (0.0, 0.0, 150.0, 150.0)
    assert sharpness(sharp, box) > 20 * sharpness(blurred, box) >= 0


def test_every_emotion_but_neutral_has_korean_and_english_names() -> None:
    assert set(NAMES) == set(EMOTIONS) - {"neutral"}
    assert {"웃는 얼굴", "미소", "smile"} <= set(NAMES["happy"])
    assert {"우는", "슬픈", "crying"} <= set(NAMES["sad"])
    for names in NAMES.values():
        assert any(name.isascii() for name in names)
        assert any(not name.isascii() for name in names)
