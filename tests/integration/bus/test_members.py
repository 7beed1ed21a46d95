"""Members of a group as processes: SIGTERM, kill -9 and newcomers in mid-handler -> every record is handled."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from adapters.bus.kafka import KafkaProducer
from contracts.ports import Record
from tests.stack import Servers

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
TOPIC = "heimdex-video-uploaded-v1"


class Group:
    """A topic, and processes that read it."""

    def __init__(self, kafka: str, prefix: str, producer: KafkaProducer, folder: Path, stack: AsyncExitStack) -> None:
        self._kafka, self._prefix, self._producer, self._stack = kafka, prefix, producer, stack
        self._folder = folder
        self._members = 0

    async def send(self, *values: bytes | None) -> None:
        for value in values:
            await self._producer.send(Record(TOPIC, "k", value))

    async def member(self, instance: str = "0", *, hold: str = "") -> Member:
        file = self._folder / f"member-{self._members}"
        self._members += 1
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.bus.member",
            str(file), self._kafka, self._prefix, TOPIC, instance, hold, cwd=ROOT,
        )  # fmt: skip
        member = Member(process, file)
        self._stack.push_async_callback(member.end, signal.SIGKILL)
        return member


class Member:
    """A process of the group."""

    def __init__(self, process: asyncio.subprocess.Process, file: Path) -> None:
        self._process, self._file = process, file

    def lines(self) -> list[str]:
        return self._file.read_text(encoding="utf-8").split("\n")[:-1] if self._file.exists() else []

    def done(self) -> list[str]:
        return [line.removeprefix("done ") for line in self.lines() if line.startswith("done ")]

    async def until(self, true: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(60):
            while not true(self.lines()):  # noqa: ASYNC110 - another process writes
                await asyncio.sleep(0.05)

    async def end(self, how: signal.Signals) -> int:
        if self._process.returncode is None:
            self._process.send_signal(how)
        async with asyncio.timeout(20):
            return await self._process.wait()


@pytest.fixture
async def group(servers: Servers, tmp_path: Path) -> AsyncIterator[Group]:
    prefix = f"mem{secrets.token_hex(4)}-"
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{prefix}{TOPIC}", 2, 1)])
        async with KafkaProducer(servers.kafka, prefix=prefix) as producer, AsyncExitStack() as stack:
            yield Group(servers.kafka, prefix, producer, tmp_path, stack)
        await admin.delete_topics([f"{prefix}{TOPIC}"])
    finally:
        await admin.close()


async def test_sigterm_cancels_what_is_in_flight_and_it_comes_again(group: Group) -> None:
    await group.send(b"done", b"hold", b"after")
    first = await group.member(hold="hold")
    await first.until(lambda lines: "begun hold" in lines)
    assert await first.end(signal.SIGTERM) == 0
    assert first.lines() == ["begun done", "done done", "begun hold", "cancelled hold"]
    second = await group.member()
    await second.until(lambda lines: "done after" in lines)
    assert second.done() == ["hold", "after"]


async def test_kill_9_loses_nothing_and_the_restarted_member_goes_on_in_order(group: Group) -> None:
    await group.send(b"done", b"hold", b"after")
    first = await group.member(hold="hold")
    await first.until(lambda lines: "begun hold" in lines)
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    second = await group.member()
    await second.until(lambda lines: "done after" in lines)
    assert second.done()[-2:] == ["hold", "after"]
    assert second.done() in (["hold", "after"], ["done", "hold", "after"])  # commits are made once a second


async def test_another_member_takes_over_what_a_killed_one_held(group: Group) -> None:
    first = await group.member("0", hold="hold")
    await group.send(b"hold", b"after")
    await first.until(lambda lines: "begun hold" in lines)
    second = await group.member("1")
    await first.end(signal.SIGKILL)
    await second.until(lambda lines: "done after" in lines)
    assert second.done() == ["hold", "after"]


async def test_poison_and_tombstones_reach_the_handler(group: Group) -> None:
    member = await group.member()
    await group.send(b"first", b"\xff\xfe\x00", b"", None, b"last")
    await member.until(lambda lines: "done last" in lines)
    assert member.done() == ["first", "\ufffd\ufffd\x00", "", "", "last"]
