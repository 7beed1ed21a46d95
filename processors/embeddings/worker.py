"""Edge of ``embeddings``: what is said in each scene -> text vectors, or that nothing is said."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run
from heimdex.common.v1 import common_pb2
from processors import inputs
from processors.align import artifact as transcript


class StageWorker:
    """``contracts.work.Worker`` of ``embeddings``."""

    stage = "embeddings"
    perform = "processors.embeddings.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Read the transcript; without a line there is nothing to encode.

        Raises as ``Worker.prepare``; Rejected when ``asr`` could not tell: ``align`` then has no line either.
        """
        inputs.require(run, "asr")
        artifacts = await inputs.artifacts(run, objects, ("align",))
        if not any(transcript.decode(artifacts["align"]).scenes):
            return Result(common_pb2.OUTCOME_NO_SPEECH, counts={"vectors": 0})
        return Job(run.workdir, artifacts=artifacts, settings=self._settings)
