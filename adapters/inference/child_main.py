"""The model child: one call after another from the pipe -> progress, signs of life, results.

``python -m adapters.inference.child_main FD PARENT_PID``, started by ``child.ModelChild`` only. It dies with its
parent: by the kernel (``PR_SET_PDEATHSIG``), by the pipe's end, and at once if the parent is gone before both.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path

from adapters.inference import wire
from contracts.errors import HeimdexError, Internal, from_exception

HEARTBEAT_S = 2.0
SHARE_EVERY_S = 0.1
"""Work reports each frame and each block of sound: thousands of messages that nobody reads."""

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = 500  # the kernel takes the child, whose job is retried, before the servers


class _Pipe:
    """Sends messages from the working and the heart-beating thread; ends the process when nobody listens."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._working = threading.Event()
        self._next_share_s = 0.0
        threading.Thread(target=self._beat, daemon=True).start()

    def calls(self) -> wire.Call:
        """Return the next call. Raises EOFError when the parent closed the pipe."""
        call = wire.receive(self._connection)
        if not isinstance(call, wire.Call):
            raise TypeError(f"expected a call, got {type(call).__name__}")
        self._working.set()
        return call

    def share(self, value: float) -> None:
        """Report progress, now and then and at the end; never raises."""
        now_s = time.monotonic()
        if value < 1 and now_s < self._next_share_s:
            return
        self._next_share_s = now_s + SHARE_EVERY_S
        self._send(wire.Share(min(1.0, max(0.0, float(value)))))

    def done(self, result: object, error: HeimdexError | None) -> None:
        """Report the end of a call: after it no beat is sent."""
        rss_bytes = _rss_bytes()
        try:
            message = wire.pack(wire.Done(result, error, rss_bytes))
        except Exception as problem:  # noqa: BLE001 - pickling runs any object's code
            unfit = Internal(f"result cannot be pickled: {type(problem).__name__}")
            message = wire.pack(wire.Done(None, unfit, rss_bytes))
        with self._lock:
            self._working.clear()
            self._write(message)

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            self._working.wait()
            pause.wait(HEARTBEAT_S)
            self._send(wire.Beat())

    def _send(self, message: object) -> None:
        body = wire.pack(message)
        with self._lock:
            if self._working.is_set():
                self._write(body)

    def _write(self, body: bytes) -> None:
        try:
            self._connection.sendall(body)
        except OSError:
            os._exit(1)  # the parent is gone; whatever is running has no taker


def main(fd: int, parent_pid: int) -> None:
    """Serve calls until the pipe ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the line above took effect
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    pipe = _Pipe(socket.socket(fileno=fd))
    while True:
        try:
            call = pipe.calls()
        except EOFError:
            return
        result: object = None
        error: HeimdexError | None = None
        try:
            module, _, function = call.perform.partition(":")
            result = getattr(importlib.import_module(module), function)(call.job, pipe.share)
        except HeimdexError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001 - the one place where a defect of the work becomes a typed state
            traceback.print_exc()
            error = from_exception(problem, call.perform)
        pipe.done(result, error)
        del call, result, error


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
