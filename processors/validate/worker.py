"""Edge of ``validate``: the uploaded file -> what it is. Whether it is taken is decided in the child."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.ports import Objects
from contracts.work import Job, Result, Run
from processors import inputs
from processors.validate.stage import check_size


class StageWorker:
    """``contracts.work.Worker`` of ``validate``."""

    stage = "validate"
    perform = "processors.validate.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Fetch the file, unless its size alone is reason to refuse it. Raises as ``Worker.prepare``."""
        declared = run.plan.source
        check_size(declared.size_bytes, max_bytes=int(self._settings["max_bytes"]))
        return Job(
            run.workdir,
            inputs={inputs.SOURCE: await inputs.source(run, objects)},
            settings={
                **self._settings,
                "declared_bytes": str(declared.size_bytes),
                "declared_sha256": declared.sha256,
            },
        )
