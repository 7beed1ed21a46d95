"""Artifact of ``asr``: ``Speech`` <-> ``SpeechTranscript``. Pure."""

from __future__ import annotations

from heimdex.events.v1 import artifact_pb2
from processors.asr.stage import Speech, SpokenUtterance, SpokenWord
from processors.messages import parse, serialise


def encode(speech: Speech) -> bytes:
    """Return the artifact."""
    utterances = [to_message(utterance) for utterance in speech.utterances]
    return serialise(artifact_pb2.SpeechTranscript(language=speech.language, utterances=utterances))


def decode(body: bytes) -> Speech:
    """Return what an artifact says. Raises: BadArtifact (permanent)."""
    transcript = parse(artifact_pb2.SpeechTranscript, body)
    return Speech(transcript.language, tuple(from_message(utterance) for utterance in transcript.utterances))


def to_message(utterance: SpokenUtterance) -> artifact_pb2.SpokenUtterance:
    """Return an utterance as a message."""
    return artifact_pb2.SpokenUtterance(
        start_ms=utterance.start_ms,
        end_ms=utterance.end_ms,
        text=utterance.text,
        confidence=utterance.confidence,
        words=[
            artifact_pb2.SpokenWord(
                start_ms=word.start_ms, end_ms=word.end_ms, text=word.text, probability=word.probability
            )
            for word in utterance.words
        ],
    )


def from_message(utterance: artifact_pb2.SpokenUtterance) -> SpokenUtterance:
    """Return the utterance in a message."""
    return SpokenUtterance(
        start_ms=utterance.start_ms,
        end_ms=utterance.end_ms,
        text=utterance.text,
        confidence=utterance.confidence,
        words=tuple(SpokenWord(word.start_ms, word.end_ms, word.text, word.probability) for word in utterance.words),
    )
