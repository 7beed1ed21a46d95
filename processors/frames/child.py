"""Child of ``frames``: a file is decoded where there is something to look at -> ``FrameSamples`` and JPEGs."""

from __future__ import annotations

from adapters.media.frames import shown_at
from adapters.media.pictures import write_jpeg
from adapters.models.settings import from_mapping
from contracts.ports import Progress
from contracts.work import Job, Result
from processors.frames import artifact
from processors.frames.stage import keep, samples
from processors.inputs import SOURCE
from processors.scenes import artifact as cuts


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: Rejected CORRUPT_VIDEO (permanent) when nothing of the file decodes."""
    _, models = from_mapping(job.settings)
    spans = cuts.decode(job.artifacts["scenes"])
    planned = samples(spans, every_s=float(job.settings["every_s"]), max_per_scene=int(job.settings["max_per_scene"]))
    times_s = [time_s for sample in planned for time_s in sample.candidates_s]
    kept = keep(
        shown_at(job.inputs[SOURCE], times_s, threads=models.threads),
        planned,
        spans,
        lambda name, picture: write_jpeg(job.workdir / name, picture),
        progress,
    )
    return Result(
        artifact=artifact.encode(kept),
        blobs={frame.blob: job.workdir / frame.blob for frame in kept},
        counts={"frames": len(kept)},
    )
