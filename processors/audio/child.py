"""Child of ``audio``: a file's sound is decoded -> ``AudioTrack`` and ``audio.wav``."""

from __future__ import annotations

from adapters.media.sound import extract
from contracts.ports import Progress
from contracts.work import Job, Result
from heimdex.common.v1 import common_pb2
from processors.audio import artifact
from processors.audio.stage import WAV, extract_track
from processors.inputs import SOURCE
from processors.validate import artifact as media


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: Rejected (permanent) when the track cannot be decoded."""
    wav = job.workdir / WAV
    duration_ms = media.decode(job.artifacts["validate"]).duration_ms
    track = extract_track(job.inputs[SOURCE], wav, duration_ms=duration_ms, extract=extract, progress=progress)
    if track is None:
        return Result(common_pb2.OUTCOME_NO_AUDIO_TRACK)
    return Result(artifact=artifact.encode(track), blobs={WAV: wav}, counts={"duration_ms": track.duration_ms})
