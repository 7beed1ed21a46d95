"""CPU: processes of a stack -> the processor time each has used, its children's included."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import psutil

from deploy.local.supervisor import Supervisor
from tests.stack import Stack

SERVING = ("gateway", "inference", "opensearch", "milvus-text", "milvus-vision")
REST = "the rest of the stack"
"""Kafka, the object store, the stages, control and the manager: searches need them for events only."""

_IDLE_S = 20.0


def cpu_s(stack: Stack) -> Mapping[str, float]:
    """Return process name -> seconds of processor time since its start; all that do not serve are ``REST``."""
    used = {name: _family_s(stack.pid(name)) for name in SERVING}
    return {**used, REST: _family_s(Supervisor(stack.home).pid()) - sum(used.values())}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> Mapping[str, float]:
    """Return process name -> seconds between two readings."""
    return {name: after[name] - before[name] for name in before}


async def idle_cores(stack: Stack) -> float:
    """Return how much of a core the rest of the stack takes while nobody asks for anything."""
    before, begin_s = cpu_s(stack)[REST], time.monotonic()
    await asyncio.sleep(_IDLE_S)
    return (cpu_s(stack)[REST] - before) / (time.monotonic() - begin_s)


def _family_s(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        total += times.user + times.system
    return total
