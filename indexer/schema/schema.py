"""Schema: generation number, model versions and ranking -> the generation row. Pure.

Names are valid in Milvus (letters, digits, underscore, not a digit first, at most 255) and in OpenSearch (lower case,
no leading underscore or hyphen): another model version gives another collection, so spaces never mix.
"""

from __future__ import annotations

import hashlib
import re

from contracts.catalog import Generation
from indexer.search.ranking import FIRST

_MAX_READABLE = 40
_TEXT_ANALYSIS = 2
"""Version of the text index's analysers and fields: raise it when they change. 2 brought suggestions and offsets."""


def collection(modality: str, model_version: str) -> str:
    """Return the Milvus collection of a model version, such as ``heimdex_text_e5_small_q4_int8rows_1_0a1b2c3d``.

    A digest follows what can be read: versions that differ in a punctuation mark stay apart.
    """
    readable = re.sub(r"[^a-z0-9]+", "_", model_version.lower()).strip("_")[:_MAX_READABLE].strip("_")
    digest = hashlib.sha256(model_version.encode()).hexdigest()[:8]
    return "_".join(part for part in ("heimdex", modality, readable, digest) if part)


def text_index(generation: int) -> str:
    """Return the OpenSearch index of a generation, such as ``heimdex-scenes-1-a2``."""
    return f"heimdex-scenes-{generation}-a{_TEXT_ANALYSIS}"


def generation(number: int, state: str, *, text_model: str, vision_model: str, ranking: str) -> Generation:
    """Return a generation row with its names."""
    return Generation(
        generation=number,
        state=state,
        text_collection=collection("text", text_model),
        vision_collection=collection("vision", vision_model),
        text_index=text_index(number),
        text_model=text_model,
        vision_model=vision_model,
        ranking=ranking,
    )


def first_generation(text_model: str, vision_model: str) -> Generation:
    """Return the generation that an empty catalogue starts with."""
    return generation(1, "ACTIVE", text_model=text_model, vision_model=vision_model, ranking=FIRST)
