"""Searchers: the generation that queries read now -> the searcher with its encoders and its ranking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from contracts.catalog import Catalog, Generation
from contracts.errors import DependencyUnavailable
from contracts.ports import Clock
from indexer.search.searcher import Searcher

FRESH_S: Final = 1.0
"""How long a promotion may go unnoticed: one look a second serves every query of it."""


@dataclass(frozen=True, slots=True)
class Active:
    """The generation that is read and who searches it."""

    generation: Generation
    searcher: Searcher


class Searchers:
    """The searcher of the active generation, made when that is first read.

    After a promotion only searches under way hold the one before, and it goes with the last of them.
    """

    def __init__(self, catalog: Catalog, make: Callable[[Generation], Searcher], clock: Clock) -> None:
        """Wire; ``make`` raises DependencyUnavailable for a generation that cannot be searched here."""
        self._catalog = catalog
        self._make = make
        self._clock = clock
        self._active: Active | None = None
        self._looked_s = 0.0
        self._turn = asyncio.Lock()

    async def active(self, *, timeout_s: float) -> Active:
        """Return who searches the active generation. DependencyUnavailable (transient), also while there is none."""
        if (known := self._known()) is not None:
            return known
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                return self._known() or await self._look()
        except TimeoutError:
            raise DependencyUnavailable(
                "catalog", "the catalogue did not answer in time", reason="DEADLINE_EXCEEDED"
            ) from None

    def _known(self) -> Active | None:
        return self._active if self._clock.monotonic_s() - self._looked_s < FRESH_S else None

    async def _look(self) -> Active:
        generation = await self._catalog.active_generation()
        if self._active is None or self._active.generation != generation:
            self._active = Active(generation, self._make(generation))
        self._looked_s = self._clock.monotonic_s()
        return self._active
