"""Edge of ``audio``: the uploaded file -> its sound as WAV, or that it has none."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run
from heimdex.common.v1 import common_pb2
from processors import inputs
from processors.validate import artifact as media


class StageWorker:
    """``contracts.work.Worker`` of ``audio``."""

    stage = "audio"
    perform = "processors.audio.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Fetch the file, if it has sound. Raises as ``Worker.prepare``."""
        artifacts = await inputs.artifacts(run, objects, ("validate",))
        if not media.decode(artifacts["validate"]).audio_codec:
            return Result(common_pb2.OUTCOME_NO_AUDIO_TRACK)
        source = await inputs.source(run, objects)
        return Job(run.workdir, {inputs.SOURCE: source}, artifacts, self._settings)
