"""Edge of ``frames``: the uploaded file and its scenes -> sampled frames as JPEG."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run
from processors import inputs


class StageWorker:
    """``contracts.work.Worker`` of ``frames``."""

    stage = "frames"
    perform = "processors.frames.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Fetch the file and read its scenes. Raises as ``Worker.prepare``."""
        artifacts = await inputs.artifacts(run, objects, ("scenes",))
        source = await inputs.source(run, objects)
        return Job(run.workdir, {inputs.SOURCE: source}, artifacts, self._settings)
