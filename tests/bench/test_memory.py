"""Memory: what every process of an idle home holds, its model children gone."""

from __future__ import annotations

import time

import psutil
import pytest

from deploy.local.status import pss_bytes, rows
from deploy.local.supervisor import WATCHDOG, Supervisor
from heimdex.client import Client
from heimdex.video.v1 import video_pb2
from tests.bench.film import Film
from tests.bench.report import table
from tests.stack import Stack, eventually, ingest, search

pytestmark = pytest.mark.bench

_IDLE_S = 60.0
_CHILD = "adapters.inference.child_main"


def test_memory_of_an_idle_home(stack: Stack, client: Client, film: Film) -> None:
    video = ingest(client, film.of(20.0))  # so that every model was loaded once
    assert video.state == video_pb2.VIDEO_STATE_INDEXED, video.error.message
    for query in ("고양이", "커피 한 잔", "웃는 얼굴"):
        assert search(client, query).hits
    last_search_s = time.monotonic()
    eventually(
        lambda: not _model_children(stack) and time.monotonic() - last_search_s >= _IDLE_S,
        "60 s without a search, and no model child left",
        timeout_s=4 * _IDLE_S,
        every_s=1.0,
    )
    found = rows(stack.home)
    manager = Supervisor(stack.home)
    of_manager = {"manager": _own_pss(manager.pid()), WATCHDOG: pss_bytes(manager.processes()[WATCHDOG].pid)}
    held = {row.name: row.pss_bytes for row in found} | of_manager
    total = sum(held.values())
    table(
        f"memory {_IDLE_S:.0f} s after the last search (proportional set size, children included)",
        ("process", "MB"),
        [*((name, round(size / 1e6)) for name, size in held.items()), ("total", round(total / 1e6))],
    )
    table("", ("", "GiB"), [("whole stack", total / 2**30)])
    assert all(row.state == "ready" for row in found), [(row.name, row.state) for row in found]
    assert all(held.values()), held


def _model_children(stack: Stack) -> list[int]:
    manager = psutil.Process(Supervisor(stack.home).pid())
    found = []
    for process in manager.children(recursive=True):
        try:
            if _CHILD in process.cmdline():
                found.append(process.pid)
        except psutil.Error:  # it has just ended
            continue
    return found


def _own_pss(pid: int) -> int:
    return int(psutil.Process(pid).memory_full_info().pss)
