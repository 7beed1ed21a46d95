"""CPU: processes of a stack -> the processor time each has used, its children's included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psutil

from tests.stack import Stack

SERVING = ("gateway", "inference", "opensearch", "milvus-text", "milvus-vision")


def cpu_s(stack: Stack, names: Sequence[str] = SERVING) -> Mapping[str, float]:
    """Return process name -> seconds of processor time since its start."""
    return {name: _family_s(psutil.Process(stack.pid(name))) for name in names}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> Mapping[str, float]:
    """Return process name -> seconds between two readings."""
    return {name: after[name] - before[name] for name in before}


def _family_s(process: psutil.Process) -> float:
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        total += times.user + times.system
    return total
