"""Edge of ``faces``: sampled frames -> faces of each scene as tracks, without identities."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run
from heimdex.common.v1 import common_pb2
from processors import inputs


class StageWorker:
    """``contracts.work.Worker`` of ``faces``."""

    stage = "faces"
    perform = "processors.faces.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Fetch the frames, if the tenant has faces enabled. Raises as ``Worker.prepare``; Rejected without frames."""
        if not run.plan.faces_enabled:
            return Result(common_pb2.OUTCOME_DISABLED)
        inputs.require(run, "frames")
        artifacts = await inputs.artifacts(run, objects, ("frames",))
        return Job(run.workdir, await inputs.files(run, objects, "frames"), artifacts, self._settings)
