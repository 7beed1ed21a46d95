"""Artifact of ``faces``: tracks <-> ``FaceTracks``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2
from processors.faces.stage import Faces, Sighting, Track
from processors.messages import pack, parse, serialise, unpack


@dataclass(frozen=True, slots=True)
class Found:
    """Version of the model, length of its vectors, and the faces."""

    model_version: str
    dim: int
    faces: Faces


def encode(found: Found) -> bytes:
    """Return the artifact."""
    return serialise(
        artifact_pb2.FaceTracks(
            model_version=found.model_version,
            dim=found.dim,
            tracks=[
                artifact_pb2.FaceTrack(
                    scene_index=track.scene_index,
                    track_index=track.track_index,
                    sightings=[_to_message(sighting) for sighting in track.sightings],
                )
                for track in found.faces.tracks
            ],
            face_frames=found.faces.face_frames,
        )
    )


def decode(body: bytes) -> Found:
    """Return what an artifact says. Raises: BadArtifact (permanent)."""
    found = parse(artifact_pb2.FaceTracks, body)
    tracks = tuple(
        Track(track.scene_index, track.track_index, tuple(_from_message(s, found.dim) for s in track.sightings))
        for track in found.tracks
    )
    return Found(found.model_version, found.dim, Faces(tracks, dict(found.face_frames)))


def _to_message(sighting: Sighting) -> artifact_pb2.FaceSighting:
    x, y, width, height = sighting.box
    return artifact_pb2.FaceSighting(
        frame=sighting.frame,
        box=common_pb2.Box(x=x, y=y, width=width, height=height),
        score=sighting.score,
        vector=pack(sighting.vector),
    )


def _from_message(sighting: artifact_pb2.FaceSighting, dim: int) -> Sighting:
    box = sighting.box
    return Sighting(sighting.frame, (box.x, box.y, box.width, box.height), sighting.score, unpack(sighting.vector, dim))
