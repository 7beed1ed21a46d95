"""Start: how long a stack takes that has been up before, from nothing running to everything ready."""

from __future__ import annotations

import time

import pytest

from deploy.local.stack import Options, down, up
from deploy.local.status import rows
from tests.bench.report import say
from tests.stack import Stack

pytestmark = pytest.mark.bench


def test_start_of_a_known_home(stack: Stack) -> None:
    down(stack.home, _quiet)
    say("\nwarm start")
    begin = time.perf_counter()
    up(stack.home, Options(), lambda line: say(f"  {line}"))
    say(f"  everything ready after {time.perf_counter() - begin:.1f} s")
    assert all(row.state == "ready" for row in rows(stack.home))


def _quiet(_: str) -> None:
    pass
