"""Match: tracks of faces and a gallery -> who is in which scene, how surely. Pure; the comparison is a port's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.catalog import Match
from contracts.ports import FaceModel, Float32

SAME = 0.5
"""Similarity from which two faces are one person. Source: ``FaceModel.similarity``."""

MIN_SHARE = 0.4
"""Least share of a scene's sampled frames with faces that must show a person."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A face in a sampled frame.

    Attributes:
        scene_id: of the scene that the frame is of.
        frame: name of the frame.
        vector: float32 (dim,).
    """

    scene_id: str
    frame: str
    vector: Float32


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody enrolled: float32 (photos, dim), at least one photo."""

    person_id: str
    vectors: Float32


def find_people(
    seen: Sequence[Seen], face_frames: Mapping[str, int], gallery: Sequence[Known], model: FaceModel
) -> tuple[Match, ...]:
    """Return who is in which scene, by scene and person.

    Each face is at most one person, the one whose best photo it resembles most. A person is in a scene when at least
    40 % of its frames with faces show that person; the confidence is the mean similarity over these frames, [0.5, 1].

    Args:
        face_frames: scene_id -> how many of its sampled frames show a face.
    """
    if not seen or not gallery:
        return ()
    faces = np.stack([face.vector for face in seen])
    scores = np.stack([model.similarity(faces, known.vectors).max(axis=1) for known in gallery], axis=1)
    best = scores.argmax(axis=1)
    frames: dict[tuple[str, str], dict[str, float]] = {}
    for row, face in enumerate(seen):
        score = float(scores[row, best[row]])
        if score >= SAME:
            shown = frames.setdefault((face.scene_id, gallery[int(best[row])].person_id), {})
            shown[face.frame] = max(score, shown.get(face.frame, 0.0))
    return tuple(
        Match(scene_id, person_id, min(1.0, sum(shown.values()) / len(shown)))
        for (scene_id, person_id), shown in sorted(frames.items())
        if len(shown) / max(face_frames.get(scene_id, 0), len(shown)) >= MIN_SHARE
    )
