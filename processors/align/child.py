"""Child of ``align``: words are put into their scenes -> ``AlignedTranscript``, of empty scenes for a silent video."""

from __future__ import annotations

from contracts.ports import Progress
from contracts.work import Job, Result
from processors.align import artifact
from processors.align.stage import align
from processors.asr import artifact as transcript
from processors.asr.stage import Speech
from processors.scenes import artifact as cuts


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: BadArtifact (permanent)."""
    speech = transcript.decode(job.artifacts["asr"]) if "asr" in job.artifacts else Speech("", ())
    lines = align(speech.utterances, cuts.decode(job.artifacts["scenes"]))
    progress(1.0)
    return Result(
        artifact=artifact.encode(artifact.Aligned(speech.language, lines)),
        counts={"scenes": len(lines), "words": sum(len(line.words) for scene in lines for line in scene)},
        labels={"language": speech.language} if speech.language else {},
    )
