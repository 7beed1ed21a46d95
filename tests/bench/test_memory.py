"""Memory: what every process of an idle home holds, its model children gone."""

from __future__ import annotations

import time

import psutil
import pytest

from deploy.local.status import manager_row, rows
from deploy.local.supervisor import Supervisor
from heimdex.client import Client
from heimdex.video.v1 import video_pb2
from tests.bench.film import Film
from tests.bench.report import say, table
from tests.stack import Stack, eventually, ingest, search

pytestmark = pytest.mark.bench

_IDLE_S = 60.0
_CHILD = "adapters.inference.child_main"


def test_memory_of_an_idle_home(stack: Stack, client: Client, film: Film) -> None:
    video = ingest(client, film.of(20.0))  # so that every model was loaded once
    assert video.state == video_pb2.VIDEO_STATE_INDEXED, video.error.message
    assert search(client, "고양이").hits
    last_search_s = time.monotonic()
    eventually(
        lambda: not _model_children(stack) and time.monotonic() - last_search_s >= _IDLE_S,
        "60 s without a search, and no model child left",
        timeout_s=4 * _IDLE_S,
        every_s=1.0,
    )
    found = rows(stack.home)
    found += manager_row(stack.home, found)
    total = sum(row.pss_bytes for row in found)
    table(
        f"memory {_IDLE_S:.0f} s after the last search (proportional set size, children included)",
        ("process", "MB"),
        [*((row.name, round(row.pss_bytes / 1e6)) for row in found), ("total", round(total / 1e6))],
    )
    say(f"  whole stack: {total / 2**30:.2f} GiB")
    assert all(row.state == "ready" for row in found), [(row.name, row.state) for row in found]
    assert all(row.pss_bytes for row in found), found


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
