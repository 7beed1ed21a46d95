"""Edge of ``asr``: the extracted sound -> what is said, or that nobody speaks."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run, has_result
from heimdex.common.v1 import common_pb2
from processors import inputs


class StageWorker:
    """``contracts.work.Worker`` of ``asr``."""

    stage = "asr"
    perform = "processors.asr.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Fetch the sound; a video without any has nothing to listen to.

        Raises as ``Worker.prepare``; Rejected when ``audio`` could not tell.
        """
        inputs.require(run, "audio")
        if not has_result(run.inputs["audio"]):
            return Result(common_pb2.OUTCOME_NO_AUDIO_TRACK)
        return Job(run.workdir, await inputs.files(run, objects, "audio"), settings=self._settings)
