"""Inputs: what a run rests on -> files in its workdir and artifacts of its ancestors, as they were pinned."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from contracts.errors import BadArtifact, NotFound, PreconditionFailed, Rejected
from contracts.ports import Objects
from contracts.work import ARTIFACT, Run, has_result, read_artifact
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import manifest_pb2

T = TypeVar("T")

SOURCE = "source"
"""Name of the uploaded file among a job's inputs."""

NO_RESULT = frozenset({common_pb2.OUTCOME_REJECTED, common_pb2.OUTCOME_FAILED})
"""Outcomes of a stage that has not looked at what it was to look at."""

_PARALLEL_GETS = 8


async def source(run: Run, objects: Objects) -> Path:
    """Fetch the uploaded file.

    Raises: Rejected SOURCE_GONE (permanent) when it is not the file that CompleteUpload saw.
    """
    pinned, path = run.plan.source, run.workdir / SOURCE
    try:
        await objects.download(pinned.key, path, if_match=pinned.etag)
    except (NotFound, PreconditionFailed) as error:
        raise Rejected("SOURCE_GONE", "the uploaded file has changed or is gone: upload it again") from error
    return path


async def artifacts(run: Run, objects: Objects, nouns: Sequence[str]) -> dict[str, bytes]:
    """Return the artifacts of those ancestors that have one (outcome OK), by noun.

    Raises: BadArtifact (permanent) when one does not match its digest.
    """
    there = [noun for noun in nouns if has_result(run.inputs[noun])]
    bodies = await _together(read_artifact(objects, run.inputs[noun]) for noun in there)
    return dict(zip(there, bodies, strict=True))


async def files(run: Run, objects: Objects, noun: str) -> dict[str, Path]:
    """Fetch every file of an ancestor but its artifact; return name -> path.

    Raises: BadArtifact (permanent) when one does not match its digest.
    """
    at = asyncio.Semaphore(_PARALLEL_GETS)

    async def fetch(blob: manifest_pb2.Blob) -> Path:
        path = run.workdir / blob.name
        async with at:
            await objects.download(blob.key, path)
            if await asyncio.to_thread(_sha256, path) != blob.sha256:
                raise BadArtifact(f"digest of {blob.key} differs from its manifest")
        return path

    blobs = [blob for blob in run.inputs[noun].blobs if blob.name != ARTIFACT]
    paths = await _together(fetch(blob) for blob in blobs)
    return {blob.name: path for blob, path in zip(blobs, paths, strict=True)}


def require(run: Run, noun: str) -> None:
    """Refuse to work on ``noun`` where that has ended REJECTED or FAILED.

    Then there is nothing to look at, and that is no outcome of having looked, as NO_AUDIO_TRACK and NO_SPEECH are:
    those pass. Its own ending says why, and it is the one that runs again when the video is processed again.

    Raises: Rejected (permanent) with the reason of ``noun``.
    """
    manifest = run.inputs[noun]
    if manifest.outcome in NO_RESULT:
        reason = common_pb2.ErrorReason.Name(manifest.reason).removeprefix("ERROR_REASON_")
        raise Rejected(reason, f"{noun} has no result to work on")


async def _together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results in order; the first failure ends the others."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
