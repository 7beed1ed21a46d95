"""Child of ``faces``: faces in sampled frames are found and embedded -> ``FaceTracks``."""

from __future__ import annotations

from adapters.media.pictures import read_jpeg
from adapters.models import profiles
from adapters.models.settings import from_mapping
from contracts.ports import Progress
from contracts.work import Job, Result
from processors.faces import artifact
from processors.faces.stage import find_faces
from processors.frames import artifact as frames
from processors.pictures import pictures


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: ModelUnavailable (transient), BadArtifact (permanent)."""
    model = profiles.face_model(*from_mapping(job.settings))
    shown = pictures(frames.decode(job.artifacts["frames"]), job.inputs, read_jpeg)
    faces = find_faces(shown, model, progress=progress)
    return Result(
        artifact=artifact.encode(artifact.Found(model.version, model.dim, faces)),
        counts={"faces": sum(len(track.sightings) for track in faces.tracks), "tracks": len(faces.tracks)},
    )
