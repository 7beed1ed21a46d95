"""Library: a collection and a profile's encoders -> rows of every store, as commit would have written them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.models import profiles
from adapters.models.affect.tags import NAMES
from adapters.models.settings import ModelSettings
from adapters.models.vision import label_bridge
from adapters.models.vision.labels import labels
from contracts import ids
from contracts.ports import Float32, Tag, TextRow, VectorRow
from indexer.evaluation.folder import Collection, Scene

TENANT = "evaluation"

_REVISION = 1
_SCENES_OF_A_VIDEO = 50  # where the collection names no videos
_SCENE_MS = 10_000
_TEXTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Library:
    """What is written.

    Attributes:
        scene_ids: row id -> the collection's scene id.
        people: row id -> {name: confidence}.
    """

    text: tuple[TextRow, ...]
    text_vectors: tuple[VectorRow, ...]
    vision_vectors: tuple[VectorRow, ...]
    text_dim: int
    vision_dim: int
    scene_ids: Mapping[str, str]
    people: Mapping[str, Mapping[str, float]]

    def by_scene(self, vectors: Sequence[VectorRow]) -> Mapping[str, Float32]:
        """Return the collection's scene id -> its vector."""
        return {self.scene_ids[row.row_id]: row.vector for row in vectors}


async def library(collection: Collection, profile: str, settings: ModelSettings) -> Library:
    """Return the rows of a collection; scenes in which nothing is said or seen have no vector of it, and labels and
    emotions that no model knows say nothing.

    Raises ModelUnavailable (transient) when weights are missing. When cancelled, it ends with the texts it is at.
    """
    text_encoder = profiles.text_encoder(profile, settings)
    vision_encoder = profiles.vision_encoder(profile, settings)
    videos: dict[str, str] = {}
    rows: list[TextRow] = []
    seen = _seen(collection.scenes, profile, settings)
    for number, scene in enumerate(collection.scenes):
        named = scene.video or f"of-{number // _SCENES_OF_A_VIDEO}"
        video = videos.setdefault(named, f"vid_{len(videos):06d}")
        tags = _tags(scene, seen)
        rows.append(
            TextRow(
                row_id=ids.row_id(f"scn_{number:06d}", _REVISION),
                tenant_id=TENANT,
                video_id=video,
                scene_id=f"scn_{number:06d}",
                revision=_REVISION,
                start_ms=number * _SCENE_MS,
                end_ms=(number + 1) * _SCENE_MS,
                transcript=scene.text,
                tags=tuple(dict.fromkeys(tag.tag for tag in tags)),
                tag_names=tuple(dict.fromkeys(name for tag in tags for name in tag.names)),
            )
        )
    said = [row for row in rows if row.transcript]
    shown = [(row, seen[scene.id][0]) for row, scene in zip(rows, collection.scenes, strict=True) if scene.id in seen]
    texts = [row.transcript for row in said]
    parts = [
        await asyncio.to_thread(text_encoder.encode_passages, texts[start : start + _TEXTS_AT_ONCE])
        for start in range(0, len(texts), _TEXTS_AT_ONCE)
    ]
    return Library(
        text=tuple(rows),
        text_vectors=tuple(map(_vector_row, said, itertools.chain.from_iterable(parts))),
        vision_vectors=tuple(_vector_row(row, vector) for row, vector in shown),
        text_dim=text_encoder.dim,
        vision_dim=vision_encoder.dim,
        scene_ids={row.row_id: scene.id for row, scene in zip(rows, collection.scenes, strict=True)},
        people={row.row_id: scene.people for row, scene in zip(rows, collection.scenes, strict=True) if scene.people},
    )


def _seen(scenes: Sequence[Scene], profile: str, settings: ModelSettings) -> dict[str, tuple[Float32, tuple[Tag, ...]]]:
    """Return vector and tags of each scene that names what is seen; only the small profile has these labels."""
    places = {label.id: place for place, label in enumerate(labels())}
    labelled = [scene for scene in scenes if scene.labels.keys() & places.keys()]
    if profile != "small" or not labelled:
        return {}
    of_labels: Float32 = np.load(settings.models_dir / label_bridge.vectors_file())
    centred = of_labels - of_labels.mean(axis=0)
    found = {}
    for scene in labelled:
        probabilities = np.zeros(len(places), np.float32)
        for label in scene.labels.keys() & places.keys():
            probabilities[places[label]] = scene.labels[label]
        found[scene.id] = label_bridge.image_vector(probabilities, centred), label_bridge.tags(probabilities)
    return found


def _tags(scene: Scene, seen: Mapping[str, tuple[Float32, tuple[Tag, ...]]]) -> list[Tag]:
    of_faces = [Tag(emotion, NAMES[emotion], 1.0) for emotion in scene.affect if emotion in NAMES]
    return [*(seen[scene.id][1] if scene.id in seen else ()), *of_faces]


def _vector_row(row: TextRow, vector: Float32) -> VectorRow:
    return VectorRow(
        row_id=row.row_id,
        tenant_id=row.tenant_id,
        video_id=row.video_id,
        scene_id=row.scene_id,
        revision=row.revision,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        vector=vector,
    )
