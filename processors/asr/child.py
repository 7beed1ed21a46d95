"""Child of ``asr``: ``audio.wav`` is transcribed -> ``SpeechTranscript``."""

from __future__ import annotations

from adapters.media.sound import read_wav
from adapters.models import profiles
from adapters.models.settings import from_mapping
from contracts.ports import Progress
from contracts.work import Job, Result
from heimdex.common.v1 import common_pb2
from processors.asr import artifact
from processors.asr.stage import transcribe
from processors.audio.stage import WAV


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: ModelUnavailable (transient)."""
    speech = transcribe(
        read_wav(job.inputs[WAV]),
        profiles.speech(*from_mapping(job.settings)),
        language=job.settings["language"] or None,
        progress=progress,
    )
    words = sum(len(utterance.words) for utterance in speech.utterances)
    counts = {"utterances": len(speech.utterances), "words": words}
    if not speech.utterances:
        return Result(common_pb2.OUTCOME_NO_SPEECH, counts=counts)
    return Result(artifact=artifact.encode(speech), counts=counts, labels={"language": speech.language})
