"""The model child, seen from its parent: a function by name and a job -> its result, in a process that may be killed.

Model code runs apart from the event loop and from every client: a crash, a leak or an endless decode costs one try of
one job. The child starts at the first job, is used again for the next, and ends when idle.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from adapters.inference import wire
from contracts.errors import Internal, ModelUnavailable

_MODULE = "adapters.inference.child_main"
_GIB = 1 << 30
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_EXIT_S = 2.0


class ModelChild:
    """One long-lived child process that runs one job at a time.

    Made and used in the main thread's event loop: the kernel kills the child when the *thread* that started it ends.
    """

    def __init__(
        self, *, idle_s: float = 60.0, max_rss_bytes: int = 4 * _GIB, max_jobs: int = 500, threads: int = 1
    ) -> None:
        """Configure; nothing is started.

        Args:
            idle_s: the child ends when it had no job for so long.
            max_rss_bytes: a child that holds more after a job is replaced.
            max_jobs: a child is replaced after so many.
            threads: for numeric libraries, where the environment does not say otherwise.
        """
        self._idle_s = idle_s
        self._max_rss_bytes = max_rss_bytes
        self._max_jobs = max_jobs
        self._threads = threads
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._jobs = 0
        self._life = False
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while there is none."""
        return self._process.pid if self._process else None

    def alive(self) -> bool:
        """Return whether the child showed life since the last call of this; the caller renews its lease only then."""
        life, self._life = self._life, False
        return life

    async def run(
        self, perform: str, job: object, *, deadline_s: float, on_progress: Callable[[float], None] = lambda _: None
    ) -> object:
        """Run ``perform`` (``module:function``, called with the job and a progress function); return its result.

        A second call waits for the first. A cancelled call kills the child.

        Raises:
            HeimdexError: as raised by the function, with its type.
            Internal: it raised anything else, or something cannot be pickled (permanent).
            ModelUnavailable: the child died (reason CRASHED) or took too long (DEADLINE_EXCEEDED): transient.
        """
        async with self._turn:
            self._stop_idling()
            await self._ended()
            try:
                message = wire.pack(wire.Call(perform, job))
            except Exception as error:
                raise Internal(f"job cannot be pickled: {type(error).__name__}") from error
            try:
                async with asyncio.timeout(deadline_s):
                    done = await self._call(message, on_progress)
            except TimeoutError as error:
                await self._kill()
                raise ModelUnavailable(
                    "model", f"{perform} took longer than {deadline_s:.0f} s", reason="DEADLINE_EXCEEDED"
                ) from error
            except (asyncio.IncompleteReadError, OSError) as error:
                status = await self._kill()
                raise ModelUnavailable(
                    "model", f"the model child died in {perform} (status {status})", reason="CRASHED"
                ) from error
            except BaseException:
                await self._kill()
                raise
            self._jobs += 1
            if done.rss_bytes > self._max_rss_bytes or self._jobs >= self._max_jobs:
                await self._end()
            else:
                self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._on_idle)
            if done.error is not None:
                raise done.error
            return done.result

    async def close(self) -> None:
        """Kill the child, with whatever it does."""
        self._stop_idling()
        await self._ended()
        await self._kill()

    async def _call(self, message: bytes, on_progress: Callable[[float], None]) -> wire.Done:
        if self._process is None or self._process.poll() is not None:
            await self._kill()  # of one that died while idle, its pipe is left
            await self._start()
        if self._reader is None or self._writer is None:
            raise Internal("the model child has no pipe")
        self._writer.write(message)
        await self._writer.drain()
        while True:
            header = await self._reader.readexactly(wire.HEADER.size)
            answer = wire.unpack(await self._reader.readexactly(wire.size_of(header)))
            self._life = True
            if isinstance(answer, wire.Done):
                return answer
            if isinstance(answer, wire.Share):
                on_progress(answer.value)

    async def _start(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise Internal("a model child starts from the main thread only")
        ours, theirs = socket.socketpair()
        environment = {**dict.fromkeys(_THREAD_VARIABLES, str(self._threads)), "OMP_WAIT_POLICY": "passive"}
        environment |= {"MALLOC_ARENA_MAX": "2", **os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - asyncio's form may fork in another thread
                [sys.executable, "-m", _MODULE, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # a signal to our group is ours to handle; our death still ends the child
            )
        self._jobs = 0
        ours.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 20)

    def _on_idle(self) -> None:
        self._ending = asyncio.get_running_loop().create_task(self._end())

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def _ended(self) -> None:
        if self._ending is not None:
            ending, self._ending = self._ending, None
            await ending

    async def _end(self) -> None:
        """Let an idle child end by itself; kill it when it does not."""
        process = self._process
        await self._close_pipe()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, _EXIT_S)
        await self._kill()

    async def _kill(self) -> int | None:
        """Kill and reap the child; return its exit status (minus the signal that ended it), None without a child."""
        process, self._process = self._process, None
        if process is None:
            return None
        # A child that died by itself keeps its own status; kill() spares a reaped one.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05 if self._reader is not None and self._reader.at_eof() else 0)
        process.kill()
        status = await asyncio.shield(asyncio.to_thread(process.wait))
        await self._close_pipe()
        return status

    async def _close_pipe(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
