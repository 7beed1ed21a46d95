"""Waves: who waits for whom, and for how long."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import numpy as np
import pytest

from contracts.ports import QueryVectors
from indexer.search.waves import Waves
from tests.unit.search.fakes import StillClock

VECTORS = QueryVectors(np.ones(2, np.float32), np.ones(2, np.float32))


class Encoder:
    """Answers at once and says who asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def encode(self, text: str) -> QueryVectors:
        self.asked.append(text)
        return VECTORS


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_alone_a_search_waits_for_nobody() -> None:
    waves = Waves(Encoder(), StillClock())
    with waves.search():
        assert await waves.encode("a") is VECTORS


async def test_half_of_those_under_way_go_together() -> None:
    encoder = Encoder()
    waves = Waves(encoder, StillClock())
    with ExitStack() as under_way:
        for _ in range(6):
            under_way.enter_context(waves.search())
        first = [asyncio.ensure_future(waves.encode(text)) for text in "ab"]
        await settle()
        assert encoder.asked == []
        await waves.encode("c")
        await asyncio.gather(*first)
        assert sorted(encoder.asked) == ["a", "b", "c"]


async def test_when_others_end_those_who_wait_are_enough() -> None:
    encoder = Encoder()
    waves = Waves(encoder, StillClock())
    with waves.search():
        with ExitStack() as others:
            for _ in range(2):
                others.enter_context(waves.search())
            waiting = asyncio.ensure_future(waves.encode("a"))
            await settle()
            assert encoder.asked == []
        await waiting


async def test_nobody_waits_for_ever() -> None:
    encoder, clock = Encoder(), StillClock()
    waves = Waves(encoder, clock)
    with ExitStack() as under_way:
        for _ in range(9):
            under_way.enter_context(waves.search())
        waiting = asyncio.ensure_future(waves.encode("a"))
        await settle()
        clock.advance(0.2)
        await waiting


async def test_who_gives_up_is_not_counted() -> None:
    encoder = Encoder()
    waves = Waves(encoder, StillClock())
    with ExitStack() as under_way:
        for _ in range(4):
            under_way.enter_context(waves.search())
        gone = asyncio.ensure_future(waves.encode("gone"))
        await settle()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        second = asyncio.ensure_future(waves.encode("a"))
        await settle()
        assert encoder.asked == []
        await waves.encode("b")
        await second
