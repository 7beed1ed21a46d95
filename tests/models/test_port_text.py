"""Conformance of TextEncoder on every profile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.settings import ModelSettings
from adapters.models.text import bge_m3, e5
from contracts.errors import ModelUnavailable
from contracts.ports import Float32, TextEncoder
from tests.models.conftest import Subject, damaged

PARTS = {"small": e5.FILE, "production": bge_m3.FOLDER}
TEXTS = [
    "고양이가 커피를 마신다",
    "The cat drinks coffee.",
    "커피",
    "",
    " \t\n",
    "\u0000\u200b",
    "😀🎬 이모지",
    "전각ＡＢＣ　공백",
    "긴 문장입니다. " * 250,
]


@pytest.fixture(scope="module")
def encoder(subject: Subject) -> TextEncoder:
    return profiles.text_encoder(subject.profile, subject.settings)


def _checked(vectors: Float32, encoder: TextEncoder, count: int) -> Float32:
    assert vectors.shape == (count, encoder.dim)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    return vectors


def test_version_and_length_are_those_of_the_profile(encoder: TextEncoder, subject: Subject) -> None:
    assert encoder.version == profiles.versions(subject.profile, subject.settings)["embeddings"]
    assert encoder.dim == profiles.profile(subject.profile).text_dim


def test_any_text_has_a_vector_of_length_one(encoder: TextEncoder) -> None:
    _checked(encoder.encode_passages(TEXTS), encoder, len(TEXTS))
    _checked(encoder.encode_queries(TEXTS), encoder, len(TEXTS))


def test_vectors_come_in_the_order_of_their_texts(encoder: TextEncoder) -> None:
    forth, back = encoder.encode_passages(TEXTS), encoder.encode_passages(TEXTS[::-1])
    assert np.abs(forth - back[::-1]).max() < 1e-4
    assert len({tuple(np.round(row, 3)) for row in forth[[0, 1, 2, 6, 8]]}) == 5


def test_a_vector_does_not_depend_on_company_or_time(encoder: TextEncoder) -> None:
    together = encoder.encode_queries(TEXTS)
    alone = np.concatenate([encoder.encode_queries([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-4
    assert (encoder.encode_queries(TEXTS) == together).all()


def test_no_text_gives_no_vector(encoder: TextEncoder) -> None:
    assert encoder.encode_passages([]).shape == (0, encoder.dim)
    assert encoder.encode_queries([]).shape == (0, encoder.dim)
    assert encoder.encode_queries([]).dtype == np.float32


def test_several_threads_may_ask(encoder: TextEncoder) -> None:
    expected = [encoder.encode_queries([text]) for text in TEXTS]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda text: encoder.encode_queries([text]), TEXTS))
    assert all(np.abs(mine - theirs).max() < 1e-5 for mine, theirs in zip(expected, answers, strict=True))


def test_missing_weights_are_named_with_what_makes_them(subject: Subject, tmp_path: Path) -> None:
    if subject.profile == "fake":
        return
    model = profiles.profile(subject.profile).text.make(ModelSettings(models_dir=tmp_path))
    with pytest.raises(ModelUnavailable, match=rf"is missing: run `python -m adapters\.models\.\w+ {tmp_path}`"):
        model.encode_queries(["고양이"])


def test_damaged_weights_are_a_typed_error(subject: Subject, tmp_path: Path) -> None:
    if subject.profile == "fake":
        return
    refused = 0
    for settings in damaged(subject.settings.models_dir, PARTS[subject.profile], tmp_path):
        try:
            profiles.profile(subject.profile).text.make(settings).encode_queries(["고양이"])
        except ModelUnavailable:
            refused += 1
    assert refused >= 1
