"""Watchdog: patience with the new, none with the stuck or the bloated."""

from __future__ import annotations

from dataclasses import replace

from deploy.local.probes import HttpProbe
from deploy.local.process import Process
from deploy.local.supervisor import Managed
from deploy.local.watchdog import FAILURES, START_GRACE_S, Judge

PROCESS = Process(
    name="asr",
    command=("/bin/true",),
    ready=HttpProbe(1, "/ready"),
    live=HttpProbe(1, "/live"),
    ports={"asr-ops": 1},
    stop_rank=1,
    memory_bound_bytes=1000,
)
RUNNING = Managed(name="asr", state="RUNNING", pid=42, started_s=1.0, uptime_s=30.0, note="")


def verdicts(judge: Judge, managed: Managed, *, times: int, is_live: bool = False, memory: int = 10) -> list[str]:
    return [judge.verdict(PROCESS, managed, is_live=is_live, held_bytes=memory) for _ in range(times)]


def test_a_silent_process_is_killed_after_so_many_probes_in_a_row() -> None:
    judge = Judge()
    verdicts(judge, RUNNING, times=1, is_live=True)
    assert verdicts(judge, RUNNING, times=FAILURES) == [""] * (FAILURES - 1) + [f"no sign of life in {FAILURES} probes"]


def test_one_sign_of_life_starts_the_count_anew() -> None:
    judge = Judge()
    verdicts(judge, RUNNING, times=1, is_live=True)
    verdicts(judge, RUNNING, times=FAILURES - 1)
    verdicts(judge, RUNNING, times=1, is_live=True)
    assert verdicts(judge, RUNNING, times=FAILURES - 1) == [""] * (FAILURES - 1)


def test_a_process_that_never_was_live_yet_gets_time_to_start() -> None:
    judge = Judge()
    assert not any(verdicts(judge, RUNNING, times=10 * FAILURES))
    late = replace(RUNNING, uptime_s=START_GRACE_S + 1)
    assert any(verdicts(judge, late, times=FAILURES))


def test_the_grace_is_for_each_start() -> None:
    judge = Judge()
    verdicts(judge, RUNNING, times=1, is_live=True)
    assert not any(verdicts(judge, replace(RUNNING, pid=43), times=10 * FAILURES))


def test_a_process_above_its_bound_is_killed_at_once() -> None:
    assert "memory" in verdicts(Judge(), RUNNING, times=1, is_live=True, memory=1001)[0]


def test_a_process_that_is_being_stopped_is_left_alone() -> None:
    for state in ("STOPPING", "STOPPED", "BACKOFF", "FATAL"):
        assert not any(verdicts(Judge(), replace(RUNNING, state=state, uptime_s=999), times=10 * FAILURES, memory=9999))
