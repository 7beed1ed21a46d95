"""Faces: sampled frames -> tracks of alike faces in each scene, without identities. Pure; the model is a port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.ports import Face, FaceModel, Float32, Progress
from processors.pictures import Picture, by_scene

SAME = 0.5
"""Similarity from which two faces are one person. Source: ``FaceModel.similarity``."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face in a frame: box x, y, width, height in shares of the picture; score in [0, 1]; float32 (dim,) vector."""

    frame: str
    box: tuple[float, float, float, float]
    score: float
    vector: Float32


@dataclass(frozen=True, slots=True)
class Track:
    """Faces of one scene that look like one person, in order of time, at most one a frame."""

    scene_index: int
    track_index: int
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class Faces:
    """All tracks in order of scenes; ``face_frames``: how many sampled frames of a scene show a face, if any does."""

    tracks: tuple[Track, ...]
    face_frames: dict[int, int]


def find_faces(pictures: Sequence[Picture], model: FaceModel, *, progress: Progress) -> Faces:
    """Return the faces that are large enough to be recognised, as tracks.

    Raises: ModelUnavailable (transient), BadArtifact (permanent) when a picture is none.
    """
    tracks: list[Track] = []
    face_frames: dict[int, int] = {}
    done = 0
    for index, group in by_scene(pictures):
        frames = []
        for picture in group:
            frames.append(_sightings(picture, model))
            done += 1
            progress(done / len(pictures))
        shown = sum(1 for frame in frames if frame)
        if shown:
            face_frames[index] = shown
        grouped = agglomerate(frames, model)
        tracks += [Track(index, number, sightings) for number, sightings in enumerate(grouped)]
    return Faces(tuple(tracks), face_frames)


def agglomerate(frames: Iterable[Sequence[Sighting]], model: FaceModel) -> tuple[tuple[Sighting, ...], ...]:
    """Join faces of a scene frame by frame: each goes to the track it resembles most, on average; else it begins one.

    Args:
        frames: sightings of each frame, largest first, frames in order of time.

    Returns: tracks in order of their first sighting.
    """
    tracks: list[list[Sighting]] = []
    for frame in frames:
        pairs = sorted(
            (
                (-_likeness(sighting, track, model), at, number)
                for at, sighting in enumerate(frame)
                for number, track in enumerate(tracks)
            ),
        )
        taken: dict[int, int] = {}
        for unlikeness, at, number in pairs:
            if -unlikeness >= SAME and at not in taken and number not in taken.values():
                taken[at] = number
        for at, sighting in enumerate(frame):
            if at in taken:
                tracks[taken[at]].append(sighting)
            else:
                tracks.append([sighting])
    return tuple(tuple(track) for track in tracks)


def _likeness(sighting: Sighting, track: Sequence[Sighting], model: FaceModel) -> float:
    return float(model.similarity(sighting.vector[None, :], np.stack([s.vector for s in track])).mean())


def _sightings(picture: Picture, model: FaceModel) -> tuple[Sighting, ...]:
    image = picture.load()
    height_px, width_px = image.shape[:2]
    return tuple(
        Sighting(picture.name, _share(face, width_px, height_px), face.score, face.vector)
        for face in model.find(image)
        if min(face.box[2:]) >= model.min_face_px
    )


def _share(face: Face, width_px: int, height_px: int) -> tuple[float, float, float, float]:
    x, y, width, height = face.box
    left, top = min(max(0.0, x / width_px), 1.0), min(max(0.0, y / height_px), 1.0)
    right, bottom = min(1.0, (x + width) / width_px), min(1.0, (y + height) / height_px)
    return left, top, right - left, bottom - top
