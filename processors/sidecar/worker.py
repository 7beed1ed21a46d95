"""Edge of ``sidecar``: what every stage has found -> one record a scene."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import flow
from contracts.ports import Objects
from contracts.work import Job, Result, Run
from processors import inputs

KEY = "key:"
"""Prefix of the settings that give the object key of a sampled frame, by its blob."""

_READ = ("scenes", "align", "embeddings", "frames", "vision", "affect", "faces")


class StageWorker:
    """``contracts.work.Worker`` of ``sidecar``."""

    stage = "sidecar"
    perform = "processors.sidecar.child:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Read what there is, and note which stages have no result. Raises as ``Worker.prepare``."""
        keys = {f"{KEY}{blob.name}": blob.key for blob in run.inputs["frames"].blobs}
        degraded = [noun for noun in flow.STAGES if noun in run.inputs and run.inputs[noun].outcome in inputs.NO_RESULT]
        return Job(
            run.workdir,
            artifacts=await inputs.artifacts(run, objects, _READ),
            settings={
                **self._settings,
                **keys,
                "video_id": run.plan.video_id,
                "degraded_stages": " ".join(degraded),
            },
        )
