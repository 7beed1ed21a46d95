"""Edge of ``align``: transcript and scenes -> what is said in each scene."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run
from processors import inputs


class StageWorker:
    """``contracts.work.Worker`` of ``align``."""

    stage = "align"
    perform = "processors.align.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Read the scenes, and the transcript if there is one. Raises as ``Worker.prepare``."""
        artifacts = await inputs.artifacts(run, objects, ("asr", "scenes"))
        return Job(run.workdir, artifacts=artifacts, settings=self._settings)
