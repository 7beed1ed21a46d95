"""The control process: its arguments, its settings, and the order in which its parts end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from contracts.errors import DependencyUnavailable, PreconditionFailed
from control import __main__ as process
from control.eraser.eraser import LEASE_WAIT_S

NEEDED = (
    "KAFKA", "S3_ENDPOINT", "S3_PUBLIC_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "OPENSEARCH", "MILVUS_TEXT",
    "MILVUS_VISION", "CATALOG",
)  # fmt: skip


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NEEDED:
        monkeypatch.setenv(f"HEIMDEX_{name}", "x")
    return monkeypatch


def settings() -> process.Settings:
    return process.Settings()  # type: ignore[call-arg]  # the environment gives them


def test_an_erasure_waits_for_leases_unless_it_is_told_otherwise(environment: pytest.MonkeyPatch) -> None:
    assert settings().erasure_wait_s == LEASE_WAIT_S
    environment.setenv("HEIMDEX_ERASURE_WAIT_S", "2")
    assert settings().erasure_wait_s == 2


@pytest.mark.parametrize("arguments", [["relai"], ["topics", "relay"], ["relay", "--all"]])
def test_wrong_arguments_are_said_to_be_so(arguments: list[str]) -> None:
    assert process.main(arguments) == 2


class Ends:
    """Parts that note how they ended."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def asked(self, noun: str) -> process.Part:
        """Return a part that ends when it is asked to."""
        asked = asyncio.Event()

        async def run() -> None:
            await asked.wait()
            self.log.append(noun)

        async def stop() -> None:
            asked.set()

        return process.Part(noun, run, lambda: True, stop)

    def cancelled(self, noun: str) -> process.Part:
        """Return a part that ends by being cancelled."""

        async def run() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.log.append(noun)

        return process.Part(noun, run, lambda: True)

    def broken(self, noun: str) -> process.Part:
        """Return a part that has died by itself."""

        async def run() -> None:
            self.log.append(noun)
            raise ZeroDivisionError

        async def stop() -> None:
            return

        return process.Part(noun, run, lambda: True, stop)


async def ended(*parts: process.Part) -> None:
    tasks = {part.noun: asyncio.ensure_future(part.run()) for part in parts}
    await asyncio.sleep(0)
    async with asyncio.timeout(15):
        await process._stop(parts, tasks)
    assert all(task.done() for task in tasks.values())


async def test_the_relay_ends_last_for_it_sends_what_the_others_write_last() -> None:
    ends = Ends()
    await ended(ends.asked("relay"), ends.asked("tracker"), ends.cancelled("reconciler"))
    assert ends.log[-1] == "relay"
    assert set(ends.log) == {"relay", "tracker", "reconciler"}


async def test_a_part_that_has_died_does_not_keep_the_others_from_ending() -> None:
    ends = Ends()
    await ended(ends.broken("tracker"), ends.asked("eraser"), ends.asked("relay"))
    assert ends.log == ["tracker", "eraser", "relay"]


async def test_a_part_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_STOP_S", 0.01)

    async def deaf() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

    async def nothing() -> None:
        return

    part = process.Part("people", deaf, lambda: True, nothing)
    task = asyncio.ensure_future(deaf())
    await asyncio.sleep(0)
    await process._stop([part], {"people": task})
    async with asyncio.timeout(15):
        await asyncio.wait({task})


@pytest.mark.parametrize("noun", ["topics", "nothing"])
async def test_a_part_that_is_not_known_is_not_made(noun: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HEIMDEX_CATALOG", "sqlite:////nowhere/catalog.db")
    async with AsyncExitStack() as resources:
        with pytest.raises(ValueError, match=noun):
            await process.Process(settings(), resources).part(noun)


async def test_servers_that_come_up_are_waited_for_and_what_is_permanent_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_PAUSE_S", 0.0)

    def raising(*errors: Exception) -> Callable[[], Awaitable[None]]:
        left = list(errors)

        async def work() -> None:
            if left:
                raise left.pop()

        return work

    await process.when_up(raising(DependencyUnavailable("kafka", "away"), DependencyUnavailable("kafka", "away")))
    with pytest.raises(PreconditionFailed):
        await process.when_up(raising(PreconditionFailed("topics are missing")))
