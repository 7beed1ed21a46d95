"""Faces and expressions on portraits: who is who, who smiles, with HOG and with YuNet boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.affect.tags import EMOTIONS, MIN_PROBABILITY
from adapters.models.settings import ModelSettings
from contracts.ports import FaceModel, UInt8

Portrait = Callable[[str], UInt8]
OBAMA = ("obama", "obama2", "obama3")
BIDEN = ("biden", "biden2")


@pytest.fixture(scope="module", params=["hog", "yunet"])
def faces(request: pytest.FixtureRequest) -> FaceModel:
    detector = request.getfixturevalue("yunet") if request.param == "yunet" else None
    model = profiles.face_model("small", ModelSettings(faces_model=detector))
    assert request.param in model.version
    return model


def test_people_are_told_apart(faces: FaceModel, portrait: Portrait) -> None:
    vectors = []
    for name in (*OBAMA, *BIDEN):
        (face,) = faces.find(portrait(name))
        assert face.vector.shape == (faces.dim,)
        assert face.vector.dtype == np.float32
        assert min(face.box[2:]) >= faces.min_face_px
        assert face.sharpness >= faces.min_sharpness
        assert 0 < face.score <= 1
        vectors.append(face.vector)
    gallery = np.stack(vectors)
    similarity = faces.similarity(gallery, gallery)
    is_obama = [name in OBAMA for name in (*OBAMA, *BIDEN)]
    same = np.equal.outer(is_obama, is_obama)
    assert similarity[same].min() > 0.6
    assert similarity[~same].max() < 0.3
    assert similarity.min() >= 0
    assert similarity.max() <= 1


def test_two_people_in_one_picture(faces: FaceModel, portrait: Portrait) -> None:
    found = faces.find(portrait("obama_and_biden"))
    areas = [face.box[2] * face.box[3] for face in found]
    assert areas == sorted(areas, reverse=True)
    both = np.stack([face.vector for face in found[:2]])
    known = np.stack([faces.find(portrait(name))[0].vector for name in ("obama", "biden")])
    similarity = faces.similarity(both, known)
    assert sorted(similarity.argmax(axis=1)) == [0, 1]
    assert similarity.max(axis=1).min() > 0.5
    assert similarity.min(axis=1).max() < 0.5


def test_a_blurred_portrait_is_below_the_threshold(faces: FaceModel, portrait: Portrait) -> None:
    import cv2

    image: UInt8 = np.asarray(cv2.GaussianBlur(portrait("obama"), (0, 0), 6), np.uint8)
    found = faces.find(image)
    assert found
    assert found[0].sharpness < faces.min_sharpness


def test_a_small_face_is_found_but_like_nobody(yunet: Path, portrait: Portrait) -> None:
    import cv2

    faces = profiles.face_model("small", ModelSettings(faces_model=yunet))
    image = portrait("obama")
    scale = 30 / faces.find(image)[0].box[2]
    small: UInt8 = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    (face,) = faces.find(small)
    assert min(face.box[2:]) < faces.min_face_px
    assert not face.vector.any()
    assert faces.similarity(face.vector[None], faces.find(image)[0].vector[None]).max() < 0.5
    assert faces.similarity(face.vector[None], face.vector[None]).max() >= 0  # defined


def test_a_face_that_fills_a_large_picture_is_found(faces: FaceModel, portrait: Portrait) -> None:
    """The detectors were trained on smaller faces; people enrol with close-ups."""
    import cv2

    image = portrait("obama")
    x, y, width, height = (round(side) for side in faces.find(image)[0].box)
    around = image[max(0, y - height // 4) : y + 5 * height // 4, max(0, x - width // 3) : x + 4 * width // 3]
    scale = 1600 / max(around.shape[:2])
    close: UInt8 = np.asarray(cv2.resize(around, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    (face,) = faces.find(close)
    assert min(face.box[2:]) > 600
    assert faces.similarity(face.vector[None], faces.find(portrait("obama2"))[0].vector[None])[0, 0] > 0.7


def test_boxes_of_both_detectors_are_alike(yunet: Path, portrait: Portrait) -> None:
    """So affect, sharpness and the least size mean the same with each."""
    by_hog = profiles.face_detector("small", ModelSettings())
    by_yunet = profiles.face_detector("small", ModelSettings(faces_model=yunet))
    for name in (*OBAMA, *BIDEN):
        ((x, y, width, height),), ((left, top, wide, high),) = by_hog(portrait(name)), by_yunet(portrait(name))
        common = max(0.0, min(x + width, left + wide) - max(x, left)) * max(
            0.0, min(y + height, top + high) - max(y, top)
        )
        assert common / (width * height + wide * high - common) > 0.6


def test_no_face_no_entry(faces: FaceModel) -> None:
    assert faces.find(np.full((240, 320, 3), 128, np.uint8)) == ()
    assert faces.find(np.full((3, 2, 3), 128, np.uint8)) == ()


def test_smiles_are_read(yunet: Path, portrait: Portrait) -> None:
    settings = ModelSettings(faces_model=yunet)
    faces, affect = profiles.face_model("small", settings), profiles.affect_model("small", settings)
    for name, smiles in (("obama", True), ("biden2", True), ("biden", False)):
        image = portrait(name)
        (probabilities,) = affect.read(image, [faces.find(image)[0].box])
        assert tuple(probabilities) == EMOTIONS
        assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-3)
        assert (probabilities["happy"] >= MIN_PROBABILITY) is smiles
    assert affect.read(portrait("obama"), []) == []
    edge = affect.read(portrait("obama"), [(-20.0, -20.0, 60.0, 60.0), (900.0, 1130.0, 500.0, 500.0)])
    assert len(edge) == 2
