"""Refusals: one log line a second, whatever the crowd."""

from __future__ import annotations

import asyncio

import structlog
from structlog.testing import capture_logs

from gateway.interceptors.refusals import EVERY_S, Refusals
from tests.unit.search.fakes import StillClock


async def settled() -> None:
    """Let callbacks that are due run."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_crowd_is_one_line_and_each_refusal_is_in_one_line() -> None:
    clock = StillClock()
    refusals = Refusals(clock)
    with capture_logs() as lines:
        for _ in range(200):
            refusals.add("OVERLOADED", "too many")
        await settled()
        assert not lines
        clock.advance(EVERY_S)
        await settled()
        refusals.add("OVERLOADED", "too many")
        clock.advance(EVERY_S)
        await settled()
        clock.advance(EVERY_S)
        await settled()
    assert [line["calls"] for line in lines] == [200, 1]


async def test_a_line_says_of_whom_and_of_what() -> None:
    clock = StillClock()
    refusals = Refusals(clock)
    with capture_logs() as lines:
        for tenant in ("team", "others", "team"):
            with structlog.contextvars.bound_contextvars(method="SearchScenes", tenant=tenant, trace_id="f" * 32):
                refusals.add("OVERLOADED", "too many")
        clock.advance(EVERY_S)
        await settled()
    assert [(line["tenant"], line["calls"]) for line in lines] == [("team", 2), ("others", 1)]
    assert {(line["method"], line["reason"], line["log_level"]) for line in lines} == {
        ("SearchScenes", "OVERLOADED", "warning")
    }
    assert not any("trace_id" in line for line in lines), "it speaks of many calls"
