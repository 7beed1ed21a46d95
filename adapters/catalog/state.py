"""State: a video's command and its stage runs -> the state that everybody sees. Pure; the order of facts never matters.

Only commands are refused; facts are merged. A stage run is a maximum, so a late or repeated fact changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from contracts.catalog import StageRun, VideoState
from contracts.flow import STAGES, AfterFailure

PENDING, RUNNING, RETRYING, ENDED = "PENDING", "RUNNING", "RETRYING", "ENDED"
_RANK: Mapping[str, int] = {PENDING: 0, RUNNING: 1, RETRYING: 2, ENDED: 3}


class Command(StrEnum):
    """What was asked of a video; all but RUN say its state by themselves."""

    UPLOAD = "uploading"
    COMPLETE = "completing"
    RUN = "run"
    ABORT = "aborted"
    EXPIRE = "expired"
    DELETE = "deleting"
    FORGET = "deleted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A video's state, and for FAILED the reason and message of the stage that is to blame."""

    state: VideoState
    reason: str = ""
    message: str = ""


def derive(command: Command, runs: Iterable[StageRun]) -> Verdict:
    """Return the state of a video from its last command and the stage runs of its current revision, in any order.

    Of several stages that fail the video, the first in the flow is to blame. What ``commit`` has made searchable
    stays INDEXED whatever else is said.
    """
    if command is not Command.RUN:
        return Verdict(VideoState(command.value))
    ended = {run.stage: run for run in runs if run.state == ENDED}
    commit = ended.get("commit")
    if commit is not None and not commit.broken:
        return Verdict(VideoState.INDEXED)
    for stage in STAGES.values():
        run = ended.get(stage.noun)
        if run is not None and run.broken and stage.after_failure is AfterFailure.FAIL_VIDEO:
            return Verdict(VideoState.FAILED, run.reason, run.message)
    return Verdict(VideoState.PROCESSING if "validate" in ended else VideoState.VALIDATING)


def merge(known: StageRun, told: StageRun) -> StageRun:
    """Return the later of two sayings about one stage of one revision; commutative, associative and idempotent.

    An ending is final: it outweighs a higher attempt, for a zombie's progress may come after the ending that another
    worker's manifest fixed. Then the higher attempt, the higher state and the larger progress win. The start is the
    earliest one known.
    """
    latest = max(known, told, key=_weight)
    starts = [run.start_ms for run in (known, told) if run.start_ms]
    return replace(latest, start_ms=min(starts, default=0))


def _weight(run: StageRun) -> tuple[object, ...]:
    return (
        run.state == ENDED, run.attempt, _RANK[run.state], run.progress,
        run.end_ms, run.elapsed_ms, run.outcome, run.reason, run.message, run.manifest_key, run.metadata,
    )  # fmt: skip
