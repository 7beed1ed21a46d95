"""Embeddings: one vector a spoken scene, whatever its length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.models.text.fake import FakeTextEncoder
from contracts.errors import BadArtifact
from contracts.ports import Float32
from processors.embeddings import artifact
from processors.embeddings.artifact import Embedded
from processors.embeddings.stage import chunks, embed, normalised


@dataclass
class Counting:
    """The fake encoder, with the sizes of its batches."""

    inner: FakeTextEncoder = field(default_factory=FakeTextEncoder)
    batches: list[int] = field(default_factory=list)
    version: str = "counting"
    dim: int = 256

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        self.batches.append(len(texts))
        return self.inner.encode_passages(texts)

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        return self.inner.encode_queries(texts)


def test_scenes_without_speech_are_left_out() -> None:
    shares: list[float] = []
    vectors = embed(
        [(0, []), (1, ["고양이"]), (2, [" "]), (3, ["하늘", "바다"])], FakeTextEncoder(), progress=shares.append
    )
    assert [vector.index for vector in vectors] == [1, 3]
    assert np.allclose(vectors[0].vector, FakeTextEncoder().encode_passages(["고양이"])[0])
    assert np.allclose(vectors[1].vector, FakeTextEncoder().encode_passages(["하늘 바다"])[0])
    assert shares[-1] == 1.0


def test_nothing_said_nothing_encoded() -> None:
    encoder = Counting()
    assert embed([(0, [])], encoder, progress=lambda _: None) == ()
    assert encoder.batches == []


def test_a_long_scene_is_the_mean_of_its_passages_by_length() -> None:
    long, short = "가" * 300, "나" * 150
    (vector,) = embed([(0, [long, short])], FakeTextEncoder(), progress=lambda _: None)
    parts = FakeTextEncoder().encode_passages([long, short])
    assert np.allclose(vector.vector, normalised(parts[0] * 300 + parts[1] * 150), atol=1e-6)
    assert np.linalg.norm(vector.vector) == pytest.approx(1.0, abs=1e-6)
    assert vector.vector.dtype == np.float32


def test_many_scenes_go_in_batches() -> None:
    encoder = Counting()
    vectors = embed([(index, [f"문장 {index}"]) for index in range(40)], encoder, progress=lambda _: None)
    assert encoder.batches == [16, 16, 8]
    assert [vector.index for vector in vectors] == list(range(40))


@given(st.lists(st.text(alphabet="가나 다", max_size=30), max_size=8), st.integers(1, 20))
def test_chunks_keep_every_letter_within_the_limit(lines: list[str], limit: int) -> None:
    passages = list(chunks(lines, limit))
    assert all(0 < len(passage) <= limit for passage in passages)
    assert all(passage.strip() for passage in passages)
    assert "".join("".join(passages).split()) == "".join("".join(lines).split())


def test_vectors_travel_and_have_their_length() -> None:
    vectors = embed([(0, ["고양이"]), (2, ["하늘"])], FakeTextEncoder(), progress=lambda _: None)
    body = artifact.encode(Embedded("fake", 256, vectors))
    again = artifact.decode(body)
    assert (again.model_version, again.dim, [v.index for v in again.vectors]) == ("fake", 256, [0, 2])
    assert all(np.array_equal(a.vector, b.vector) for a, b in zip(again.vectors, vectors, strict=True))
    with pytest.raises(BadArtifact, match="float32"):
        artifact.decode(artifact.encode(Embedded("fake", 255, vectors)))
    with pytest.raises(BadArtifact, match="TextVectors"):
        artifact.decode(b"\xff\xff\xff")
