"""Edge of ``scenes``: the uploaded file -> the scenes that cover it."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run
from processors import inputs


class StageWorker:
    """``contracts.work.Worker`` of ``scenes``."""

    stage = "scenes"
    perform = "processors.scenes.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Fetch the file. Raises as ``Worker.prepare``."""
        artifacts = await inputs.artifacts(run, objects, ("validate",))
        source = await inputs.source(run, objects)
        return Job(run.workdir, {inputs.SOURCE: source}, artifacts, self._settings)
