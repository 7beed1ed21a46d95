"""Metrics: what happens in a stage -> Prometheus series ``heimdex_<noun>_…`` on its process's ops port."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

_RUN_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 240, 480, 960, 1920)


class StageMetrics:
    """Series of one stage.

    Attributes:
        events: records taken from the bus.
        endings: runs that ended here, by ``outcome``.
        run_seconds: of runs done here, however they ended.
        retries: tries that are put off.
        dead_letters: records given up.
    """

    def __init__(self, noun: str) -> None:
        """Register; once a process and noun."""
        name = f"heimdex_{noun}"
        self.events = Counter(f"{name}_events", f"Records that {noun} took from the bus.")
        self.endings = Counter(f"{name}_endings", f"Runs of {noun} that ended, by outcome.", ["outcome"])
        self.run_seconds = Histogram(f"{name}_run_seconds", f"Seconds of a run of {noun}.", buckets=_RUN_SECONDS)
        self.retries = Counter(f"{name}_retries", f"Tries of {noun} that are put off.")
        self.dead_letters = Counter(f"{name}_dead_letters", f"Records that {noun} gave up.")


@cache
def of_stage(noun: str) -> StageMetrics:
    """Return this process's series of a stage."""
    return StageMetrics(noun)
