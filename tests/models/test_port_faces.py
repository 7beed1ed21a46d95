"""Conformance of FaceModel and AffectModel on every profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.affect.tags import EMOTIONS
from adapters.models.faces.fake import draw_face
from adapters.models.faces.sface import FOLDER, SFACE, YUNET
from adapters.models.settings import ModelSettings
from contracts.errors import ModelUnavailable
from contracts.ports import AffectModel, FaceModel, UInt8
from tests.models.conftest import Subject, damaged


@pytest.fixture(scope="module")
def faces(subject: Subject, request: pytest.FixtureRequest) -> FaceModel:
    if subject.profile == "production":
        request.getfixturevalue("yunet")
    return profiles.face_model(subject.profile, subject.settings)


@pytest.fixture(scope="module")
def affect(subject: Subject) -> AffectModel:
    return profiles.affect_model(subject.profile, subject.settings)


@pytest.fixture(scope="module")
def picture(subject: Subject, photo: Callable[[str], UInt8]) -> UInt8:
    """A picture with a face that the profile finds."""
    if subject.profile != "fake":
        return photo("astronaut")
    image = np.full((360, 640, 3), 60, np.uint8)
    draw_face(image, (300, 60, 96, 96), (40, 90, 200))
    draw_face(image, (40, 40, 160, 160), (200, 160, 60))
    return image


SHAPES = ((240, 320), (1, 1), (3, 2), (1, 20_000), (20_000, 1))
NO_FACE = [np.full((*shape, 3), 128, np.uint8) for shape in SHAPES]


def test_versions_name_them(faces: FaceModel, affect: AffectModel, subject: Subject) -> None:
    versions = profiles.versions(subject.profile, subject.settings)
    assert (faces.version, affect.version) == (versions["faces"], versions["affect"])


def test_faces_come_largest_first_within_the_picture(faces: FaceModel, picture: UInt8) -> None:
    found = faces.find(picture)
    assert found
    areas = [face.box[2] * face.box[3] for face in found]
    assert areas == sorted(areas, reverse=True)
    height_px, width_px = picture.shape[:2]
    for face in found:
        x, y, width, height = face.box
        assert x >= 0
        assert y >= 0
        assert x + width <= width_px
        assert y + height <= height_px
        assert 0 < face.score <= 1
        assert face.sharpness >= 0
        assert face.vector.shape == (faces.dim,)
        assert face.vector.dtype == np.float32
        assert face.vector.any() == (min(width, height) >= faces.min_face_px)
    assert found[0].vector.any()
    assert found[0].sharpness >= faces.min_sharpness


def test_the_same_picture_gives_the_same_faces(faces: FaceModel, picture: UInt8) -> None:
    first, second = faces.find(picture), faces.find(picture[::-1][::-1])
    assert [(face.box, face.score, face.sharpness) for face in first] == [
        (face.box, face.score, face.sharpness) for face in second
    ]
    assert all((mine.vector == theirs.vector).all() for mine, theirs in zip(first, second, strict=True))


def test_a_detector_finds_what_the_model_finds(faces: FaceModel, subject: Subject, picture: UInt8) -> None:
    detect = profiles.face_detector(subject.profile, subject.settings)
    assert sorted(detect(picture)) == sorted(face.box for face in faces.find(picture))
    assert not any(detect(image) for image in NO_FACE)


def test_no_face_gives_nothing(faces: FaceModel) -> None:
    assert not any(faces.find(image) for image in NO_FACE)


def test_similarity_is_a_table_in_0_to_1_and_half_is_the_same_person(faces: FaceModel, picture: UInt8) -> None:
    vector = faces.find(picture)[0].vector[None]
    others = np.random.default_rng(0).normal(size=(5, faces.dim)).astype(np.float32)
    table = faces.similarity(np.concatenate([vector, others]), np.concatenate([vector, others[:2]]))
    assert table.shape == (6, 3)
    assert table.dtype == np.float32
    assert table.min() >= 0
    assert table.max() <= 1
    assert table[0, 0] > 0.9
    assert table[0, 1:].max() < 0.5
    assert faces.similarity(vector[:0], others).shape == (0, 5)
    assert faces.similarity(others, vector[:0]).shape == (5, 0)


def test_each_box_has_seven_shares_of_one(affect: AffectModel, picture: UInt8) -> None:
    height, width = picture.shape[:2]
    boxes = [
        (40.0, 40.0, 160.0, 160.0),
        (-30.0, -30.0, 60.0, 60.0),
        (width - 10.0, height - 10.0, 500.0, 500.0),
        (5.5, 5.5, 0.2, 0.2),
    ]
    rows = affect.read(picture, boxes)
    assert len(rows) == len(boxes)
    for row in rows:
        assert tuple(row) == EMOTIONS
        assert sum(row.values()) == pytest.approx(1.0, abs=1e-3)
        assert all(0 <= share <= 1 for share in row.values())
    assert list(affect.read(picture, boxes)) == list(rows)
    for row, other in zip(rows, affect.read(picture, boxes[::-1])[::-1], strict=True):
        assert row == pytest.approx(other, abs=1e-4)


def test_no_box_gives_nothing(affect: AffectModel, picture: UInt8) -> None:
    assert len(affect.read(picture, [])) == 0


def test_missing_weights_are_a_typed_error(subject: Subject, picture: UInt8, tmp_path: Path) -> None:
    if subject.profile == "fake":
        return
    settings = ModelSettings(models_dir=tmp_path, faces_model=tmp_path / YUNET)
    with pytest.raises(ModelUnavailable, match="is missing"):
        profiles.profile(subject.profile).faces.make(settings).find(picture)
    with pytest.raises(ModelUnavailable, match="is missing"):
        profiles.profile(subject.profile).detector(settings)(picture)
    if subject.profile == "production":
        with pytest.raises(ModelUnavailable, match="is missing"):
            profiles.profile(subject.profile).affect.make(settings).read(picture, [(0.0, 0.0, 50.0, 50.0)])


def test_another_detector_file_is_refused(subject: Subject, picture: UInt8, tmp_path: Path) -> None:
    """The version names one file; another would give other vectors under that name."""
    if subject.profile == "fake":
        return
    path = tmp_path / FOLDER / YUNET
    path.parent.mkdir()
    path.write_bytes(b"another")
    with pytest.raises(ModelUnavailable, match="has digest"):
        profiles.profile(subject.profile).detector(ModelSettings(tmp_path, path))(picture)


@pytest.mark.models
def test_damaged_sface_is_a_typed_error(production_dir: Path, photo: Callable[[str], UInt8], tmp_path: Path) -> None:
    (settings,) = damaged(production_dir, f"{FOLDER}/{SFACE}", tmp_path)
    with pytest.raises(ModelUnavailable, match="does not load"):
        profiles.profile("production").faces.make(settings).find(photo("astronaut"))
