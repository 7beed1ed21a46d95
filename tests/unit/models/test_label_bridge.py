"""Rules of the label bridge: certainty shortens vectors, kinds add up, tags need probability."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.models.vision.label_bridge import image_vector, tags, vectors_file, version
from adapters.models.vision.labels import labels
from adapters.models.vision.sentences import unit
from contracts.ports import Float32

INDEX = {label.id: index for index, label in enumerate(labels())}


def _probabilities(**chosen: float) -> Float32:
    row = np.full(1000, (1 - sum(chosen.values())) / 1000, np.float32)
    for name, probability in chosen.items():
        row[INDEX[name]] = probability
    return row


@pytest.fixture(scope="module")
def centred() -> Float32:
    vectors = unit(np.random.default_rng(0).normal(size=(1000, 512)).astype(np.float32))
    centred: Float32 = vectors - vectors.mean(axis=0)
    return centred


def test_a_sure_picture_points_at_its_label(centred: Float32) -> None:
    vector = image_vector(_probabilities(espresso=0.97), centred)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    assert vector[:512] @ unit(centred[INDEX["espresso"]]) > 0.9
    assert vector[512] < 0.25


def test_an_unsure_picture_points_away_from_every_query(centred: Float32) -> None:
    vector = image_vector(_probabilities(espresso=0.1), centred)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(vector[:512]) < 0.15
    assert vector[512] > 0.98


def test_labels_that_agree_make_their_kind_a_tag() -> None:
    found = {tag.tag: tag for tag in tags(_probabilities(tabby_cat=0.3, tiger_cat=0.25, egyptian_cat=0.3))}
    assert set(found) == {"cat", "animal"}
    assert found["cat"].score == pytest.approx(0.85, abs=0.01)
    assert "고양이" in found["cat"].names
    assert "cat" in found["cat"].names


def test_a_sure_label_is_a_tag_beside_its_kinds() -> None:
    found = tags(_probabilities(egyptian_cat=0.9))
    assert [tag.tag for tag in found][-1] == "animal" or {tag.tag for tag in found} == {"egyptian_cat", "cat", "animal"}
    assert {tag.tag for tag in found} == {"egyptian_cat", "cat", "animal"}


def test_label_and_kind_of_one_name_are_one_tag() -> None:
    found = tags(_probabilities(mushroom=0.8))
    assert [tag.tag for tag in found].count("mushroom") == 1
    assert set(next(tag for tag in found if tag.tag == "mushroom").names) >= {"버섯", "mushroom", "fungus"}


def test_nothing_sure_gives_no_tag() -> None:
    assert tags(_probabilities(espresso=0.3, tripod=0.3)) == ()


def test_version_and_file_follow_the_tables() -> None:
    digest = vectors_file().removeprefix("label-vectors-").removesuffix(".npy")
    assert len(digest) == 8
    assert digest in version()
