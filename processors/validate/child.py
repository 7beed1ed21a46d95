"""Child of ``validate``: a file is hashed, probed and judged -> ``MediaInfo``, or Rejected."""

from __future__ import annotations

import hashlib

from adapters.media.probe import probe
from adapters.models.settings import from_mapping
from contracts.ports import Progress
from contracts.work import Job, Result
from processors.inputs import SOURCE
from processors.validate import artifact
from processors.validate.stage import check_source, judge

_HASHED = 0.5


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: Rejected (permanent) with the reason why the file is not taken."""
    source = job.inputs[SOURCE]
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    check_source(
        source.stat().st_size,
        digest,
        declared_bytes=int(job.settings["declared_bytes"]),
        declared_sha256=job.settings["declared_sha256"],
    )
    progress(_HASHED)
    _, models = from_mapping(job.settings)
    media = judge(probe(source, threads=models.threads), max_duration_s=float(job.settings["max_duration_s"]))
    progress(1.0)
    return Result(
        artifact=artifact.encode(media),
        counts={"duration_ms": media.duration_ms, "width_px": media.width_px, "height_px": media.height_px},
        labels={
            "content_type": media.content_type,
            "browser_playable": "true" if media.browser_playable else "false",
        },
    )
