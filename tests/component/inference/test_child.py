"""The model child with real processes: results, errors, deaths, deadlines, idleness, orphans."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from adapters.inference.child import ModelChild
from contracts.errors import DependencyUnavailable, Internal, ModelUnavailable, Rejected

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture(autouse=True)
def _jobs_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
async def child() -> AsyncIterator[ModelChild]:
    one = ModelChild()
    yield one
    await one.close()


def _gone(pid: int) -> bool:
    """A process that ended, reaped or not, runs nothing any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def _until(what: object, timeout_s: float = 20.0) -> None:
    assert callable(what)
    async with asyncio.timeout(timeout_s):
        while not what():  # noqa: ASYNC110 - processes end without telling the loop
            await asyncio.sleep(0.02)


async def test_result_and_progress_come_back(child: ModelChild) -> None:
    shares: list[float] = []
    assert await child.run("child_jobs:double", 21, deadline_s=30, on_progress=shares.append) == 42
    assert shares == [0.5, 1.0]


async def test_starts_lazily_and_is_kept(child: ModelChild) -> None:
    assert child.pid is None
    first = await child.run("child_jobs:pid", None, deadline_s=30)
    assert first == child.pid != os.getpid()
    assert await child.run("child_jobs:pid", None, deadline_s=30) == first


async def test_calls_take_turns(child: ModelChild) -> None:
    results = await asyncio.gather(*(child.run("child_jobs:double", n, deadline_s=30) for n in range(5)))
    assert results == [0, 2, 4, 6, 8]


async def test_imports_no_client_and_no_parent_main(child: ModelChild) -> None:
    loaded = set(await child.run("child_jobs:modules", None, deadline_s=30))  # type: ignore[call-overload]
    clients = {"faust", "aiokafka", "boto3", "botocore", "sqlalchemy", "pymilvus", "opensearchpy", "pytest", "asyncio"}
    assert not loaded & clients


async def test_errors_of_the_tree_keep_type_reason_and_metadata(child: ModelChild) -> None:
    with pytest.raises(Rejected) as rejected:
        await child.run("child_jobs:reject", "NO_VIDEO_TRACK", deadline_s=30)
    assert rejected.value.reason == "NO_VIDEO_TRACK"
    assert rejected.value.message == "no pictures in it"
    assert rejected.value.metadata == {"size_bytes": "7"}
    with pytest.raises(DependencyUnavailable) as unavailable:
        await child.run("child_jobs:unavailable", "disk", deadline_s=30)
    assert (unavailable.value.dependency, unavailable.value.retry_after_s) == ("disk", 9.0)


async def test_a_defect_is_internal_and_spares_the_child(child: ModelChild) -> None:
    with pytest.raises(Internal, match=r"^ZeroDivisionError in child_jobs:defect$"):
        await child.run("child_jobs:defect", None, deadline_s=30)
    pid = child.pid
    with pytest.raises(Internal, match="no_such"):
        await child.run("child_jobs:no_such", None, deadline_s=30)
    with pytest.raises(Internal, match="no_module"):
        await child.run("no_module:x", None, deadline_s=30)
    with pytest.raises(Internal, match="cannot be pickled"):
        await child.run("child_jobs:unpicklable", None, deadline_s=30)
    with pytest.raises(Internal, match="cannot be pickled"):
        await child.run("child_jobs:double", lambda: None, deadline_s=30)
    assert await child.run("child_jobs:pid", None, deadline_s=30) == pid


async def test_a_full_disk_is_transient_and_what_the_system_says_of_it_stays_here(child: ModelChild) -> None:
    with pytest.raises(DependencyUnavailable, match=r"^the machine of child_jobs:full has too little: ENOSPC$"):
        await child.run("child_jobs:full", None, deadline_s=30)


async def test_large_jobs_and_results_pass(child: ModelChild) -> None:
    size = 20 << 20
    assert len(await child.run("child_jobs:big", size, deadline_s=60)) == size  # type: ignore[arg-type]
    assert await child.run("child_jobs:echo_size", bytes(size), deadline_s=60) == size


async def test_output_of_the_job_does_not_disturb_the_pipe(child: ModelChild) -> None:
    assert await child.run("child_jobs:noise", None, deadline_s=30) == "done"


@pytest.mark.parametrize("how", ["kill -9", "abort"])
async def test_death_is_transient_and_the_next_call_works(child: ModelChild, how: str) -> None:
    first = await child.run("child_jobs:pid", None, deadline_s=30)
    call: Awaitable[object]
    if how == "abort":
        call = child.run("child_jobs:abort", None, deadline_s=30)
    else:
        started = asyncio.Event()
        call = asyncio.create_task(
            child.run("child_jobs:sleep", 60.0, deadline_s=90, on_progress=lambda _: started.set())
        )
        await asyncio.wait_for(started.wait(), 30)
        os.kill(first, signal.SIGKILL)  # type: ignore[arg-type]
    with pytest.raises(ModelUnavailable) as died:
        await call
    assert died.value.reason == "CRASHED"
    assert died.value.retryable
    assert f"status {-signal.SIGABRT if how == 'abort' else -signal.SIGKILL}" in died.value.message
    assert await child.run("child_jobs:pid", None, deadline_s=30) != first


async def test_death_while_idle_is_not_noticed_by_the_next_call(child: ModelChild) -> None:
    first = await child.run("child_jobs:pid", None, deadline_s=30)
    os.kill(first, signal.SIGKILL)  # type: ignore[arg-type]
    process = child._process
    assert process is not None
    await _until(lambda: process.poll() is not None)
    assert await child.run("child_jobs:double", 4, deadline_s=30) == 8


async def test_deadline_kills_and_the_next_call_works(child: ModelChild) -> None:
    first = await child.run("child_jobs:pid", None, deadline_s=30)
    began = time.monotonic()
    with pytest.raises(ModelUnavailable) as late:
        await child.run("child_jobs:sleep", 60.0, deadline_s=0.5)
    assert late.value.reason == "DEADLINE_EXCEEDED"
    assert late.value.retryable
    assert time.monotonic() - began < 10
    assert _gone(first)  # type: ignore[arg-type]
    assert await child.run("child_jobs:double", 5, deadline_s=30) == 10


async def test_cancelled_call_kills_the_child(child: ModelChild) -> None:
    started = asyncio.Event()
    call = asyncio.create_task(child.run("child_jobs:sleep", 60.0, deadline_s=90, on_progress=lambda _: started.set()))
    await asyncio.wait_for(started.wait(), 30)
    pid = child.pid
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pid is not None
    assert _gone(pid)
    assert await child.run("child_jobs:double", 6, deadline_s=30) == 12


async def test_heart_beats_while_working_and_only_then(child: ModelChild) -> None:
    await child.run("child_jobs:double", 1, deadline_s=30)
    child.alive()
    assert not child.alive()
    call = asyncio.create_task(child.run("child_jobs:sleep", 5.0, deadline_s=30))
    await _until(child.alive)  # the progress it reports first
    await _until(child.alive)  # a beat: the job is silent
    assert not call.done()
    await call


async def test_ends_when_idle_and_starts_again() -> None:
    child = ModelChild(idle_s=0.2)
    try:
        first = await child.run("child_jobs:pid", None, deadline_s=30)
        await _until(lambda: child.pid is None)
        assert _gone(first)  # type: ignore[arg-type]
        assert await child.run("child_jobs:pid", None, deadline_s=30) != first
    finally:
        await child.close()


async def test_is_replaced_by_count_and_by_memory() -> None:
    counted = ModelChild(max_jobs=2)
    pids = [await counted.run("child_jobs:pid", None, deadline_s=30) for _ in range(5)]
    await counted.close()
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
    fat = ModelChild(max_rss_bytes=150 << 20)
    first = await fat.run("child_jobs:grow", 200, deadline_s=30)
    second = await fat.run("child_jobs:grow", 1, deadline_s=30)
    third = await fat.run("child_jobs:grow", 1, deadline_s=30)
    await fat.close()
    assert first != second == third


async def test_close_kills_at_once() -> None:
    child = ModelChild()
    pid = await child.run("child_jobs:pid", None, deadline_s=30)
    await child.close()
    assert _gone(pid)  # type: ignore[arg-type]
    await child.close()


def test_refuses_to_start_from_another_thread() -> None:
    failures: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(ModelChild().run("child_jobs:double", 1, deadline_s=30))
        except Internal as error:
            failures.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(failures) == 1


_PARENT = """
import asyncio, sys
from adapters.inference.child import ModelChild

async def main():
    child = ModelChild()
    await child.run("child_jobs:double", 1, deadline_s=30)
    print(child.pid, flush=True)
    if sys.argv[1] == "busy":
        await child.run("child_jobs:sleep", 300.0, deadline_s=300)
    await asyncio.sleep(300)

asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["busy", "idle"])
async def test_kill_9_of_the_parent_leaves_no_orphan(state: str) -> None:
    path = os.pathsep.join([str(HERE), str(ROOT), *filter(None, sys.path)])
    parent = subprocess.Popen(  # noqa: ASYNC220 - the fork must come from this thread
        [sys.executable, "-c", _PARENT, state],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
    )
    try:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        assert not _gone(pid)
    finally:
        parent.kill()
        parent.wait()
    await _until(lambda: _gone(pid), 5.0)
