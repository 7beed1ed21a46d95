"""Child of ``affect``: faces in sampled frames are read -> ``AffectTags``."""

from __future__ import annotations

from adapters.media.pictures import read_jpeg
from adapters.models import profiles
from adapters.models.affect.tags import MIN_FACE_PX, MIN_PROBABILITY, NAMES
from adapters.models.settings import from_mapping
from contracts.ports import Progress
from contracts.work import Job, Result
from processors.affect import artifact
from processors.affect.stage import Rule, read_affect
from processors.frames import artifact as frames
from processors.pictures import pictures

_RULE = Rule(MIN_PROBABILITY, MIN_FACE_PX, NAMES)


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: ModelUnavailable (transient), BadArtifact (permanent)."""
    profile, settings = from_mapping(job.settings)
    model = profiles.affect_model(profile, settings)
    detect = profiles.face_detector(profile, settings)
    shown = pictures(frames.decode(job.artifacts["frames"]), job.inputs, read_jpeg)
    scenes = read_affect(shown, detect, model, _RULE, progress=progress)
    return Result(
        artifact=artifact.encode(artifact.Felt(model.version, scenes)),
        counts={"tags": sum(len(scene.tags) for scene in scenes)},
    )
