"""Children: programs of the bench in processes of their own, which share nothing with what is measured but the cores.

Each is a module that reads what it is to do from its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]
_MOST_SAID = 1 << 24  # bytes of a line: all answers of a load are one


async def started(module: str) -> Process:
    """Return a process that runs ``python -m module``; the caller writes to it, reads what it says, and ends it."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=PIPE, stdout=PIPE, cwd=_REPOSITORY, limit=_MOST_SAID
    )


async def said(module: str, task: bytes) -> bytes:
    """Return what a module says of a task, once it has ended."""
    process = await started(module)
    answer, _ = await process.communicate(task)
    assert process.returncode == 0, f"{module} ended with {process.returncode}"
    return answer
