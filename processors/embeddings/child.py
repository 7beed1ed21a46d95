"""Child of ``embeddings``: the lines of each scene are encoded -> ``TextVectors``."""

from __future__ import annotations

from adapters.models import profiles
from adapters.models.settings import from_mapping
from contracts.ports import Progress
from contracts.work import Job, Result
from processors.align import artifact as transcript
from processors.embeddings import artifact
from processors.embeddings.stage import embed


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: ModelUnavailable (transient)."""
    encoder = profiles.text_encoder(*from_mapping(job.settings))
    aligned = transcript.decode(job.artifacts["align"])
    scenes = [(index, [line.text for line in lines]) for index, lines in enumerate(aligned.scenes)]
    vectors = embed(scenes, encoder, progress=progress)
    return Result(
        artifact=artifact.encode(artifact.Embedded(encoder.version, encoder.dim, vectors)),
        counts={"vectors": len(vectors)},
    )
