"""Conformance of VisionEncoder on every profile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.settings import ModelSettings
from adapters.models.vision import label_bridge, siglip2
from contracts.errors import ModelUnavailable
from contracts.ports import UInt8, VisionEncoder
from tests.models.conftest import Subject, damaged

PARTS = {"small": (label_bridge.NET_FILE, label_bridge.vectors_file()), "production": (siglip2.FOLDER,)}
TEXTS = ["빨간 고양이", "a blue sky", "", " ", "😀", "긴 문장입니다. " * 300]


@pytest.fixture(scope="module")
def vision(subject: Subject) -> VisionEncoder:
    return profiles.vision_encoder(subject.profile, subject.settings)


@pytest.fixture(scope="module")
def images(photo: Callable[[str], UInt8]) -> list[UInt8]:
    """Photographs, and shapes that are easy to mistake: one pixel, three lines, a view with steps backwards."""
    cat = photo("chelsea")
    made = [np.full((1, 1, 3), 200, np.uint8), np.zeros((3, 50, 3), np.uint8), np.full((400, 3, 3), 90, np.uint8)]
    return [cat, photo("coffee"), *made, cat[::-2, ::-1]]


def test_version_and_length_are_those_of_the_profile(vision: VisionEncoder, subject: Subject) -> None:
    assert vision.version == profiles.versions(subject.profile, subject.settings)["vision"]
    assert vision.dim == profiles.profile(subject.profile).vision_dim


def test_any_image_has_a_vector_of_length_one_and_tags_best_first(vision: VisionEncoder, images: list[UInt8]) -> None:
    vectors, all_tags = vision.encode_images(images)
    assert vectors.shape == (len(images), vision.dim)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert len(all_tags) == len(images)
    for tags in all_tags:
        scores = [tag.score for tag in tags]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert len({tag.tag for tag in tags}) == len(tags)
        assert all(tag.tag.isascii() and tag.tag and all(tag.names) and tag.names for tag in tags)


def test_any_text_has_a_vector_of_length_one(vision: VisionEncoder) -> None:
    vectors = vision.encode_queries(TEXTS)
    assert vectors.shape == (len(TEXTS), vision.dim)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_a_vector_does_not_depend_on_company_or_time(vision: VisionEncoder, images: list[UInt8]) -> None:
    together, tags = vision.encode_images(images)
    alone = np.concatenate([vision.encode_images([image])[0] for image in images])
    assert np.abs(together - alone).max() < 1e-4
    again, again_tags = vision.encode_images(images)
    assert (again == together).all()
    assert list(again_tags) == list(tags)
    texts = vision.encode_queries(TEXTS)
    assert np.abs(np.concatenate([vision.encode_queries([text]) for text in TEXTS]) - texts).max() < 1e-4


def test_capitals_do_not_matter(vision: VisionEncoder) -> None:
    upper, lower = vision.encode_queries(["A RED Cat", "a red cat"])
    assert upper @ lower > 0.97


def test_nothing_gives_nothing(vision: VisionEncoder) -> None:
    vectors, tags = vision.encode_images([])
    assert vectors.shape == vision.encode_queries([]).shape == (0, vision.dim)
    assert vectors.dtype == np.float32
    assert len(tags) == 0


def test_several_threads_may_ask(vision: VisionEncoder) -> None:
    expected = [vision.encode_queries([text]) for text in TEXTS]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda text: vision.encode_queries([text]), TEXTS))
    assert all(np.abs(mine - theirs).max() < 1e-5 for mine, theirs in zip(expected, answers, strict=True))


def test_missing_weights_are_named_with_what_makes_them(subject: Subject, images: list[UInt8], tmp_path: Path) -> None:
    if subject.profile == "fake":
        return
    model = profiles.profile(subject.profile).vision.make(ModelSettings(models_dir=tmp_path))
    remedy = rf"is missing: run `python -m adapters\.models\.\w+ {tmp_path}`"
    with pytest.raises(ModelUnavailable, match=remedy):
        model.encode_queries(["고양이"])
    with pytest.raises(ModelUnavailable, match=remedy):
        model.encode_images(images[:1])


def test_damaged_weights_are_a_typed_error(subject: Subject, images: list[UInt8], tmp_path: Path) -> None:
    if subject.profile == "fake":
        return
    for part in PARTS[subject.profile]:
        refused = 0
        for settings in damaged(subject.settings.models_dir, part, tmp_path / part):
            model = profiles.profile(subject.profile).vision.make(settings)
            try:
                model.encode_images(images[:1])
            except ModelUnavailable:
                refused += 1
        assert refused >= 1
