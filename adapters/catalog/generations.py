"""Generations: which collections, index, versions and words a query reads; made, promoted and dropped one at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.catalog.effects import made_before, remember
from adapters.catalog.engine import Transactions
from adapters.catalog.models import GenerationRow
from adapters.catalog.rows import build_of, generation_of, generation_row
from contracts.catalog import MAX_GENERATIONS, Build, Generation, GenerationState, Idempotency
from contracts.errors import DependencyUnavailable, NotFound, PreconditionFailed
from contracts.vocabulary import Vocabulary

_GOING = (GenerationState.DROPPING, GenerationState.DROPPED)
_COMING = (GenerationState.PENDING, GenerationState.BUILDING)
_BUILT = (GenerationState.READY, GenerationState.RETIRED)


class Generations(Transactions):
    """Reads of generations, the first insert, and what administrators ask for."""

    async def active_generation(self) -> Generation:
        """Return the generation that queries read. DependencyUnavailable when there is none yet."""
        found = await self._in_states([GenerationState.ACTIVE])
        if not found:
            raise DependencyUnavailable("catalog", "no generation is active yet: the stack is being prepared")
        return found[0].generation

    async def building_generations(self) -> Sequence[Generation]:
        """Return generations under construction (new plans cover them too)."""
        return [build.generation for build in await self._in_states([GenerationState.BUILDING])]

    async def all_generations(self) -> Sequence[Generation]:
        """Return every generation whose stores may hold rows, retired ones included: erasure goes through all."""
        return [build.generation for build in await self.list_generations()]

    async def dropped_generations(self) -> frozenset[int]:
        """Return the numbers of DROPPED generations."""

        async def work(session: AsyncSession) -> frozenset[int]:
            query = select(GenerationRow.generation).where(GenerationRow.state == GenerationState.DROPPED)
            return frozenset(await session.scalars(query))

        return await self._read(work)

    async def ensure_generation(self, generation: Generation) -> Generation:
        """Insert as ACTIVE if there is no active one; return the active one."""

        async def work(session: AsyncSession) -> Generation:
            row = await _active(session)
            if row is None:
                now_ms = self._now_ms()
                row = generation_row(Build(replace(generation, state=GenerationState.ACTIVE), now_ms, now_ms))
                session.add(row)
                await session.flush()
            return generation_of(row)

        return await self._write(work)

    # ---- administration -------------------------------------------------------------------------------

    async def create_generation(
        self,
        vocabulary: Vocabulary,
        call: Idempotency,
        *,
        created_by: str,
        promote_when_ready: bool,
        text_index: Callable[[int], str],
    ) -> Build:
        """Insert a PENDING generation like the active one, with the next number, these words and an index of its own.

        Raises: PreconditionFailed (GENERATION_STATE) while another is being built, or where there are MAX_GENERATIONS.
        """

        async def work(session: AsyncSession) -> Build:
            now_ms = self._now_ms()
            known = await made_before(session, call, now_ms)
            if known is not None:
                return build_of(await _row(session, int(known)))
            active = await _active(session, lock=True)  # two at once take turns
            if active is None:
                raise DependencyUnavailable("catalog", "no generation is active yet: the stack is being prepared")
            await _refuse_another(session)
            number = (await session.scalar(select(func.max(GenerationRow.generation))) or 0) + 1
            like_it = replace(
                generation_of(active),
                generation=number,
                state=GenerationState.PENDING,
                text_index=text_index(number),
                vocabulary=vocabulary,
            )
            row = generation_row(Build(like_it, now_ms, now_ms, created_by, promote_when_ready))
            session.add(row)
            await remember(session, call, str(number), now_ms)
            await session.flush()
            return build_of(row)

        return await self._write(work)

    async def get_generation(self, generation: int) -> Build:
        """Return a generation. NotFound, also when it is DROPPED."""

        async def work(session: AsyncSession) -> Build:
            return build_of(await _row(session, generation))

        return await self._read(work)

    async def list_generations(self) -> Sequence[Build]:
        """Return every generation but DROPPED ones, by number."""
        return await self._in_states([state for state in GenerationState if state is not GenerationState.DROPPED])

    async def promote_generation(self, generation: int, call: Idempotency) -> Build:
        """READY or RETIRED -> ACTIVE, and what was ACTIVE -> RETIRED; ACTIVE is returned as it is. NotFound;
        PreconditionFailed (GENERATION_STATE) in another state.
        """

        async def work(session: AsyncSession) -> Build:
            now_ms = self._now_ms()
            known = await made_before(session, call, now_ms)
            row = await _row(session, generation, lock=True)
            if known is None:
                await remember(session, call, str(generation), now_ms)
                if row.state != GenerationState.ACTIVE:
                    if row.state not in _BUILT:
                        raise _refused(row, "promoted")
                    await promote(session, row, now_ms)
            return build_of(row)

        return await self._write(work)

    async def drop_generation(self, generation: int, call: Idempotency) -> None:
        """-> DROPPING. NotFound; PreconditionFailed (GENERATION_STATE) when it is ACTIVE."""

        async def work(session: AsyncSession) -> None:
            now_ms = self._now_ms()
            if await made_before(session, call, now_ms) is not None:
                return
            row = await _row(session, generation, lock=True)
            if row.state == GenerationState.ACTIVE:
                raise _refused(row, "dropped")
            await remember(session, call, str(generation), now_ms)
            if row.state not in _GOING:
                row.state, row.update_ms = GenerationState.DROPPING, now_ms

        await self._write(work)

    async def _in_states(self, states: Collection[GenerationState]) -> Sequence[Build]:
        async def work(session: AsyncSession) -> Sequence[Build]:
            query = select(GenerationRow).where(GenerationRow.state.in_(states)).order_by(GenerationRow.generation)
            return [build_of(row) for row in await session.scalars(query)]

        return await self._read(work)


async def promote(session: AsyncSession, row: GenerationRow, now_ms: int) -> None:
    """Make a generation the ACTIVE one, and RETIRED what was."""
    active = await _active(session, lock=True)
    if active is not None:
        active.state, active.update_ms = GenerationState.RETIRED, now_ms
        await session.flush()  # before there are two
    row.state, row.update_ms = GenerationState.ACTIVE, now_ms
    await session.flush()


async def _active(session: AsyncSession, *, lock: bool = False) -> GenerationRow | None:
    query = select(GenerationRow).where(GenerationRow.state == GenerationState.ACTIVE)
    found: GenerationRow | None = await session.scalar(query.with_for_update() if lock else query)
    return found


async def _row(session: AsyncSession, generation: int, *, lock: bool = False) -> GenerationRow:
    row = await session.get(GenerationRow, generation, with_for_update=lock or None)
    if row is None or row.state == GenerationState.DROPPED:
        raise NotFound("generation", str(generation))
    return row


async def _refuse_another(session: AsyncSession) -> None:
    """Raise PreconditionFailed unless there may be one more generation."""
    query = select(GenerationRow.generation, GenerationRow.state).where(GenerationRow.state.not_in(_GOING))
    there = (await session.execute(query)).all()
    for number, state in there:
        if state in _COMING:
            raise PreconditionFailed(
                f"generation {number} is being built: wait for it, or drop it",
                reason="GENERATION_STATE",
                metadata={"generation": str(number), "state": state},
            )
    if len(there) >= MAX_GENERATIONS:
        raise PreconditionFailed(
            f"there are {len(there)} generations: drop one", reason="GENERATION_STATE", metadata={"state": "FULL"}
        )


def _refused(row: GenerationRow, what: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"generation {row.generation} is {row.state}: it cannot be {what}",
        reason="GENERATION_STATE",
        metadata={"generation": str(row.generation), "state": row.state},
    )
