"""Jobs that the model child runs in tests: (job, progress) -> result."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from contracts.errors import DependencyUnavailable, Rejected

Progress = Callable[[float], None]


def double(job: int, progress: Progress) -> int:
    progress(0.5)
    progress(1.0)
    return job * 2


def pid(job: object, progress: Progress) -> int:
    return os.getpid()


def modules(job: object, progress: Progress) -> list[str]:
    return sorted(sys.modules)


def sleep(job: float, progress: Progress) -> str:
    progress(0.1)
    time.sleep(job)
    return "slept"


def reject(job: str, progress: Progress) -> None:
    raise Rejected(job, "no pictures in it", metadata={"size_bytes": "7"})


def unavailable(job: str, progress: Progress) -> None:
    raise DependencyUnavailable(job, "gone", retry_after_s=9.0)


def defect(job: object, progress: Progress) -> None:
    raise ZeroDivisionError("a defect")


def full(job: object, progress: Progress) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "민지.mp4")


def unpicklable(job: object, progress: Progress) -> Any:
    return lambda: None


def grow(job: int, progress: Progress) -> int:
    global _KEPT  # noqa: PLW0603 - a leak, on purpose
    _KEPT = bytearray(os.urandom(1 << 20) * job)
    return os.getpid()


def abort(job: object, progress: Progress) -> None:
    os.abort()


def big(job: int, progress: Progress) -> bytes:
    return bytes(job)


def echo_size(job: bytes, progress: Progress) -> int:
    return len(job)


def noise(job: object, progress: Progress) -> str:
    subprocess.run(["echo", "on stdout"], check=True)
    return "done"


_KEPT = bytearray()
