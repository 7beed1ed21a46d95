"""Watching a generation: what is yielded, and when it ends."""

from __future__ import annotations

import pytest

from heimdex.admin.v1 import admin_service_pb2 as pb
from heimdex.client import AsyncClient, _async

PENDING, BUILDING, READY = (
    pb.GENERATION_STATE_PENDING, pb.GENERATION_STATE_BUILDING, pb.GENERATION_STATE_READY,
)  # fmt: skip


async def test_each_change_is_told_once_though_the_caller_writes_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_async, "_LOOK_S", 0)
    answers = iter([PENDING, PENDING, BUILDING, BUILDING, READY])

    async def answer(self: AsyncClient, generation: int = 0) -> pb.Generation:
        return pb.Generation(generation=generation, state=next(answers))

    monkeypatch.setattr(AsyncClient, "get_generation", answer)
    told = []
    async with AsyncClient("127.0.0.1:1", "token", insecure=True) as client:
        async for found in client.watch_generation(2):
            told.append(found.state)
            found.error.message = "the caller's"
    assert told == [PENDING, BUILDING, READY]
