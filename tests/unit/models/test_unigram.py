"""The tokenizer on a small vocabulary: the likeliest split, unknowns, spaces, normalisation."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.models.text.unigram import Unigram

PIECES = ["<unk>", "▁", "▁고양", "고", "양", "이", "▁고양이", "가", "a", "b"]
SCORES = np.array([0, -3, -4, -6, -6, -2, -5, -2, -5, -5], np.float32)


@pytest.fixture
def tokenizer() -> Unigram:
    return Unigram(PIECES, SCORES, unknown_id=0, characters={ord("Ａ"): "a", ord("\u3000"): " ", 1: ""})


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("고양이", ["▁고양이"]),
        ("고양이가", ["▁고양이", "가"]),
        ("고양가", ["▁고양", "가"]),
        ("a  b", ["▁", "a", "▁", "b"]),
        ("Ａ\u3000b\x01", ["▁", "a", "▁", "b"]),
        ("a뷁뷁b", ["▁", "a", "<unk>", "b"]),
        ("", ["▁"]),
    ],
)
def test_splits(tokenizer: Unigram, text: str, pieces: list[str]) -> None:
    assert [PIECES[index] for index in tokenizer.encode(text)] == pieces
