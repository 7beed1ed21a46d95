"""Slow: the process of ``validate`` with a worker that never ends before a file is there.

``python -m tests.integration.processors.slow FOLDER``; FOLDER/pids tells the children, FOLDER/go lets them end.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from contracts.ports import Objects, Progress
from contracts.work import Job, Result, Run
from heimdex.events.v1 import artifact_pb2


class StageWorker:
    """``contracts.work.Worker`` that only waits."""

    stage = "validate"
    perform = "tests.integration.processors.slow:perform"

    def __init__(self, model_version: str, settings: Mapping[str, str]) -> None:
        self.model_version = model_version
        self._settings = settings

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Hand the folder to the child."""
        assert await objects.head(run.plan.source.key) is not None
        return Job(run.workdir, settings={"folder": sys.argv[1]})


def perform(job: Job, progress: Progress) -> Result:
    """Wait for the file."""
    folder = Path(job.settings["folder"])
    with (folder / "pids").open("a", encoding="utf-8") as pids:
        pids.write(f"{os.getpid()}\n")
    progress(0.5)
    while not (folder / "go").exists():
        time.sleep(0.05)
    media = artifact_pb2.MediaInfo(content_type="video/mp4")
    return Result(artifact=media.SerializeToString(), counts={"duration_ms": 1000})


if __name__ == "__main__":
    module = ModuleType("processors.validate.worker")
    module.StageWorker = StageWorker  # type: ignore[attr-defined]
    sys.modules["processors.validate.worker"] = module
    from processors.__main__ import main

    code = main(["validate"])
    sys.stderr.flush()
    os._exit(code)
