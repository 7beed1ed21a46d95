"""Edge of ``affect``: sampled frames -> what the faces of each scene feel like."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run
from processors import inputs


class StageWorker:
    """``contracts.work.Worker`` of ``affect``."""

    stage = "affect"
    perform = "processors.affect.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Fetch the frames. Raises as ``Worker.prepare``; Rejected when there are none."""
        inputs.require(run, "frames")
        artifacts = await inputs.artifacts(run, objects, ("frames",))
        return Job(run.workdir, await inputs.files(run, objects, "frames"), artifacts, self._settings)
