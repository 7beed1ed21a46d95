"""Cached objects: one fetch for all readers of a host, a bounded folder, and nothing left of the dead."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from adapters.objects import folder
from adapters.objects.cached import CachedObjects
from adapters.objects.memory import MemoryObjects
from contracts.errors import DependencyUnavailable, PreconditionFailed
from contracts.ports import ObjectInfo
from tests.component.objects import reader

ROOT = Path(__file__).parents[3]
SIZE = 1000


class Counting(MemoryObjects):
    """A store that counts downloads, lets them wait for ``gate``, and fails the next ``failing`` of them."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing = 0

    async def download(self, key: str, path: Path, *, if_match: str | None = None) -> ObjectInfo:
        self.fetched.append(key)
        await self.gate.wait()
        if self.failing:
            self.failing -= 1
            raise DependencyUnavailable("objects", "away")
        return await super().download(key, path, if_match=if_match)


class Host:
    """A cache of room for three files before a store that counts."""

    def __init__(self, folder: Path, *, max_age_s: float = 3600.0) -> None:
        self.cache = folder / "cache"
        self.store = Counting()
        self.objects = CachedObjects(self.store, self.cache, max_bytes=3 * SIZE, max_age_s=max_age_s)
        self._work = folder / "work"
        self._work.mkdir()
        self._read = 0

    async def add(self, video: str, *, size: int = SIZE) -> ObjectInfo:
        return await self.store.put(source(video), video[-1:].encode() * size)

    async def read(self, info: ObjectInfo) -> bytes:
        self._read += 1
        path = self._work / str(self._read)
        assert await self.objects.download(info.key, path, if_match=info.etag) == info
        return path.read_bytes()

    def used_bytes(self) -> int:
        """Return the bytes of all files in the folder, those of dead and unfinished fetches too."""
        return sum(path.stat().st_size for path in self.cache.rglob("*") if path.is_file() and path.name != "room")

    def names(self) -> list[str]:
        return sorted(path.name for path in self.cache.iterdir() if not path.name.startswith("."))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def source(video: str) -> str:
    return f"t/acme/v/{video}/source/original"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110  # other tasks and processes make it true
            await asyncio.sleep(0.05)


async def test_the_second_reader_gets_what_the_first_fetched(host: Host) -> None:
    info = await host.add("vid_a")
    assert await host.read(info) == await host.read(info) == b"a" * SIZE
    assert host.store.fetched == [info.key]


async def test_readers_at_once_fetch_once(host: Host) -> None:
    info = await host.add("vid_a")
    host.store.gate.clear()
    reads = [asyncio.create_task(host.read(info)) for _ in range(8)]
    await until(lambda: bool(host.store.fetched))
    host.store.gate.set()
    assert set(await asyncio.gather(*reads)) == {b"a" * SIZE}
    assert host.store.fetched == [info.key]


async def test_readers_of_different_files_do_not_wait_for_each_other(host: Host) -> None:
    slow, quick = await host.add("vid_a"), await host.add("vid_b")
    assert await host.read(quick) == b"b" * SIZE
    host.store.gate.clear()
    waiting = asyncio.create_task(host.read(slow))
    await until(lambda: len(host.store.fetched) == 2)
    assert await host.read(quick) == b"b" * SIZE
    host.store.gate.set()
    assert await waiting == b"a" * SIZE


async def test_another_etag_is_another_file(host: Host) -> None:
    old = await host.add("vid_a")
    await host.read(old)
    new = await host.store.put(old.key, b"new")
    assert await host.read(new) == b"new"
    with pytest.raises(PreconditionFailed):
        await host.read(old)


async def test_only_pinned_uploaded_files_are_kept(host: Host, tmp_path: Path) -> None:
    info = await host.add("vid_a")
    blob = await host.store.put("t/acme/v/vid_a/stage/asr/0/b/1/audio", b"1")
    for _ in range(2):
        await host.objects.download(info.key, tmp_path / "unpinned")
        await host.objects.download(blob.key, tmp_path / "blob", if_match=blob.etag)
    assert host.store.fetched == [info.key, blob.key] * 2
    assert host.names() == []


async def test_the_least_recently_used_go_first(host: Host) -> None:
    a, b, c, d = [await host.add(f"vid_{name}") for name in "abcd"]
    for at, info in enumerate((a, b, c)):
        await host.read(info)
        age(host, info, seconds=100 - at)
    await host.read(a)  # now b is the oldest
    await host.read(d)
    assert host.used_bytes() == 3 * SIZE
    host.store.fetched.clear()
    for info in (a, c, d, b):
        await host.read(info)
    assert host.store.fetched == [b.key]


async def test_a_file_larger_than_the_folder_is_fetched_past_it(host: Host) -> None:
    kept, large = await host.add("vid_a"), await host.add("vid_b", size=3 * SIZE + 1)
    await host.read(kept)
    assert len(await host.read(large)) == 3 * SIZE + 1
    assert host.used_bytes() == SIZE
    await host.read(kept)
    assert host.store.fetched == [kept.key, large.key]


async def test_no_room_is_taken_from_files_on_their_way(host: Host) -> None:
    infos = [await host.add(f"vid_{name}") for name in "abcd"]
    host.store.gate.clear()
    reads = [asyncio.create_task(host.read(info)) for info in infos]
    await until(lambda: len(host.store.fetched) == len(infos))
    host.store.gate.set()
    assert await asyncio.gather(*reads) == [name * SIZE for name in (b"a", b"b", b"c", b"d")]
    assert host.used_bytes() == 3 * SIZE


async def test_files_unused_for_long_go(tmp_path: Path) -> None:
    host = Host(tmp_path, max_age_s=50)
    old, fresh, new = [await host.add(f"vid_{name}", size=1) for name in "abc"]
    for info, seconds in ((old, 60), (fresh, 40)):
        await host.read(info)
        age(host, info, seconds=seconds)
    await host.read(new)
    assert not any("vid_a" in name for name in host.names())
    host.store.fetched.clear()
    for info in (fresh, new, old):
        await host.read(info)
    assert host.store.fetched == [old.key]


async def test_readers_keep_what_the_folder_lost(host: Host, tmp_path: Path) -> None:
    info = await host.add("vid_a")
    await host.objects.download(info.key, tmp_path / "film", if_match=info.etag)
    for name in "bcd":
        await host.read(await host.add(f"vid_{name}"))
    assert (tmp_path / "film").read_bytes() == b"a" * SIZE


async def test_a_failed_fetch_is_tried_again(host: Host) -> None:
    info = await host.add("vid_a")
    host.store.failing = 1
    with pytest.raises(DependencyUnavailable):
        await host.read(info)
    assert await host.read(info) == b"a" * SIZE


async def test_a_cancelled_reader_does_not_stand_in_the_way(host: Host) -> None:
    info = await host.add("vid_a")
    host.store.gate.clear()
    gone = asyncio.create_task(host.read(info))
    await until(lambda: bool(host.store.fetched))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    host.store.gate.set()
    assert await host.read(info) == b"a" * SIZE


async def test_purge_forgets_the_files_of_the_prefix(host: Host) -> None:
    gone, kept = await host.add("vid_a"), await host.add("vid_b")
    await host.read(gone)
    await host.read(kept)
    assert await host.objects.purge("t/acme/v/vid_a/") == 1
    assert host.used_bytes() == SIZE
    assert all("vid_b" in name for name in host.names())
    assert await host.objects.purge("t/acme/") == 1
    assert host.names() == []


async def test_purge_waits_for_a_fetch_under_way(host: Host) -> None:
    info = await host.add("vid_a")
    host.store.gate.clear()
    reading = asyncio.create_task(host.read(info))
    await until(lambda: bool(host.store.fetched))
    purging = asyncio.create_task(host.objects.purge("t/acme/v/vid_a/"))
    await until(lambda: not host.store._versions)
    host.store.gate.set()
    await asyncio.gather(reading, purging, return_exceptions=True)
    assert host.names() == []


def test_a_lock_that_was_removed_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with path.open("a") as file:
        assert folder._same(file.fileno(), path)
        path.unlink()
        assert not folder._same(file.fileno(), path)
        path.touch()
        assert not folder._same(file.fileno(), path)


# ---- processes --------------------------------------------------------------------------------------


class Readers:
    """Processes that share a cache folder; see ``reader``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes, self.leave = folder / "notes", folder / "leave"
        self.notes.touch()
        self.started: list[Process] = []

    async def start(self, video: str = "vid_a") -> tuple[Process, Path]:
        target = self.folder / f"target-{len(self.started)}"
        arguments = (self.folder / "cache", target, source(video), self.notes, self.leave)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.component.objects.reader", *map(str, arguments), cwd=ROOT
        )
        self.started.append(process)
        return process, target

    async def fetches(self, number: int) -> None:
        await until(lambda: self.notes.stat().st_size >= number)

    def let_go(self) -> None:
        self.leave.touch()


@pytest.fixture
async def readers(tmp_path: Path) -> AsyncIterator[Readers]:
    made = Readers(tmp_path)
    yield made
    for process in made.started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_two_processes_fetch_once(readers: Readers) -> None:
    pair = [await readers.start(), await readers.start()]
    await until(lambda: all(target.with_suffix(".started").exists() for _, target in pair))
    await readers.fetches(1)
    readers.let_go()
    for process, target in pair:
        assert await process.wait() == 0
        assert target.read_bytes() == reader.BODY
    assert readers.notes.read_bytes() == b"."


async def test_a_killed_reader_leaves_nothing_in_the_way(readers: Readers) -> None:
    dead, _ = await readers.start()
    await readers.fetches(1)
    dead.kill()
    await dead.wait()
    readers.let_go()
    process, target = await readers.start()
    assert await process.wait() == 0
    assert target.read_bytes() == reader.BODY
    assert [path.name for path in (readers.folder / "cache").rglob("*.part")] == []


async def test_what_a_killed_reader_left_goes_with_the_next_fetch(readers: Readers) -> None:
    dead, _ = await readers.start("vid_a")
    await readers.fetches(1)
    dead.kill()
    await dead.wait()
    readers.let_go()
    process, _ = await readers.start("vid_b")
    assert await process.wait() == 0
    assert [path.name for path in (readers.folder / "cache").iterdir() if "vid_a" in path.name] == []


def age(host: Host, info: ObjectInfo, *, seconds: float) -> None:
    """Make an entry look unused for so long."""
    (room,) = host.cache.glob(f"*{info.key.split('/')[3]}*/room")
    used_at = room.stat().st_mtime - seconds
    os.utime(room, (used_at, used_at))
