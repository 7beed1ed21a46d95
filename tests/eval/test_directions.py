"""The three directions that are taken out of text vectors are what the project's scenes say they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adapters.models.text import e5
from adapters.models.text.e5 import E5
from deploy.local.provision import cache_folder

SCENES = Path(__file__).parent / "scenes"


def _texts(name: str) -> list[str]:
    rows = [json.loads(line) for line in (SCENES / name).read_text("utf-8").splitlines()]
    return [row["text"] for row in rows if row["text"].strip()]


def _is_korean(text: str) -> bool:
    return sum("가" <= char <= "힣" for char in text) > sum(char.isascii() and char.isalpha() for char in text)


def test_the_directions_come_from_the_scenes() -> None:
    from adapters.models import assets

    models = cache_folder() / "models"
    assets.assemble(models)
    encoder = E5(models, threads=2)
    encoder.encode_queries(["load"])
    network = encoder._network
    assert network is not None
    means = {}
    for kind, name in (("passage", "corpus.jsonl"), ("query", "queries.jsonl")):
        texts = _texts(name)
        raw = network.encode([f"{kind}: {text}" for text in texts]).astype(np.float64)
        korean = np.array([_is_korean(text) for text in texts])
        means[kind] = (raw[korean].mean(axis=0), raw[~korean].mean(axis=0))
    (passage_ko, passage_en), (query_ko, query_en) = means["passage"], means["query"]
    common = (passage_ko + passage_en + query_ko + query_en) / 4
    made, _ = np.linalg.qr(np.stack([passage_ko - passage_en, query_ko - query_en, common]).T)
    agreement = np.linalg.svd(e5._directions() @ made, compute_uv=False)
    assert agreement == pytest.approx(np.ones(3), abs=0.02)
