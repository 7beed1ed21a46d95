"""Model versions -> names that both servers accept."""

from __future__ import annotations

import re

import pytest

from indexer.schema.schema import collection, first_generation, text_index
from indexer.search.ranking import load


@pytest.mark.parametrize("version", ["e5-small-q4-int8rows.1", "BAAI/bge-m3@fp16+cuda", "한글", "1", "x" * 300, ""])
def test_collections_are_names_of_milvus(version: str) -> None:
    name = collection("text", version)
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name)
    assert "__" not in name


def test_another_version_is_another_collection() -> None:
    assert collection("text", "m.1") != collection("text", "m-1")
    assert collection("text", "m.1") != collection("vision", "m.1")


def test_index_is_a_name_of_opensearch() -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,254}", text_index(12))


def test_first_generation() -> None:
    first = first_generation("t.1", "v.1")
    assert (first.generation, first.state, first.text_model, first.vision_model) == (1, "ACTIVE", "t.1", "v.1")
    assert load(first.ranking).name == first.ranking
    assert first == first_generation("t.1", "v.1")
    assert first.text_index == first_generation("t.2", "v.1").text_index
