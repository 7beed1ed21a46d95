"""Child of ``vision``: sampled frames are encoded -> ``VisionVectors``."""

from __future__ import annotations

from adapters.media.pictures import read_jpeg
from adapters.models import profiles
from adapters.models.settings import from_mapping
from contracts.ports import Progress
from contracts.work import Job, Result
from processors.frames import artifact as frames
from processors.pictures import pictures
from processors.vision import artifact
from processors.vision.stage import see


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: ModelUnavailable (transient), BadArtifact (permanent)."""
    encoder = profiles.vision_encoder(*from_mapping(job.settings))
    shown = pictures(frames.decode(job.artifacts["frames"]), job.inputs, read_jpeg)
    sights = see(shown, encoder, progress=progress)
    return Result(
        artifact=artifact.encode(artifact.Seen(encoder.version, encoder.dim, sights)),
        counts={"vectors": sum(len(sight.views) for sight in sights), "tags": sum(len(sight.tags) for sight in sights)},
    )
