"""Child of ``scenes``: a file's hard cuts are found -> ``SceneCuts``."""

from __future__ import annotations

from adapters.media.cuts import find_cuts
from adapters.models.settings import from_mapping
from contracts.ports import Progress
from contracts.work import Job, Result
from processors.inputs import SOURCE
from processors.scenes import artifact
from processors.scenes.stage import to_spans
from processors.validate import artifact as media


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: Rejected CORRUPT_VIDEO (permanent) when the file cannot be opened."""
    _, models = from_mapping(job.settings)
    duration_ms = media.decode(job.artifacts["validate"]).duration_ms
    cuts_s = find_cuts(
        job.inputs[SOURCE],
        duration_s=duration_ms / 1000,
        threshold=float(job.settings["threshold"]),
        threads=models.threads,
        progress=progress,
    )
    spans = to_spans(
        cuts_s,
        duration_ms,
        min_ms=round(float(job.settings["min_scene_s"]) * 1000),
        max_ms=round(float(job.settings["max_scene_s"]) * 1000),
    )
    return Result(artifact=artifact.encode(spans), counts={"scenes": len(spans)})
