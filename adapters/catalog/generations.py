"""Generations: which collections, index and versions a query reads."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.engine import Transactions
from adapters.catalog.models import GenerationRow
from adapters.catalog.rows import generation_of
from contracts.catalog import Generation
from contracts.errors import DependencyUnavailable

ACTIVE, BUILDING = "ACTIVE", "BUILDING"


class Generations(Transactions):
    """Reads and the first insert of generations."""

    async def active_generation(self) -> Generation:
        """Return the generation that queries read. DependencyUnavailable when there is none yet."""
        found = await self._in_state(ACTIVE)
        if not found:
            raise DependencyUnavailable("catalog", "no generation is active yet: the stack is being prepared")
        return found[0]

    async def building_generations(self) -> Sequence[Generation]:
        """Return generations under construction (new plans cover them too)."""
        return await self._in_state(BUILDING)

    async def all_generations(self) -> Sequence[Generation]:
        """Return every generation whose stores may hold rows, retired ones included: erasure goes through all."""
        return await self._in_state("")

    async def ensure_generation(self, generation: Generation) -> Generation:
        """Insert as ACTIVE if there is no active one; return the active one."""

        async def work(session: AsyncSession) -> Generation:
            query = select(GenerationRow).where(GenerationRow.state == ACTIVE)
            row = await session.scalar(query)
            if row is None:
                row = GenerationRow(
                    generation=generation.generation,
                    state=ACTIVE,
                    text_collection=generation.text_collection,
                    vision_collection=generation.vision_collection,
                    text_index=generation.text_index,
                    text_model=generation.text_model,
                    vision_model=generation.vision_model,
                    ranking=generation.ranking,
                )
                session.add(row)
                await session.flush()
            return generation_of(row)

        return await self._write(work)

    async def _in_state(self, state: str) -> Sequence[Generation]:
        async def work(session: AsyncSession) -> Sequence[Generation]:
            query = select(GenerationRow).order_by(GenerationRow.generation)
            if state:
                query = query.where(GenerationRow.state == state)
            return [generation_of(row) for row in await session.scalars(query)]

        return await self._read(work)
