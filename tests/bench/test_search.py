"""Search: 10,000 scenes, distinct Korean queries, 1, 16 and 100 callers, against each part alone and the naive form.

Besides: three times as many callers as are served well, and as many scenes in the hands of eight tenants.

``BENCH_SCENES`` is another number of scenes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from indexer.search.types import SearchRequest, Update
from tests.bench.closed_loop import Answered, Timing, drive
from tests.bench.cpu import SERVING
from tests.bench.library import fill
from tests.bench.measuring import GENERATOR, PAGE, Measured, Questions, load_parts, load_whole
from tests.bench.report import say, table
from tests.bench.stores import Stores, models_dir, opened
from tests.stack import Stack

pytestmark = pytest.mark.bench

_CALLERS = (1, 16, 100)
_TOO_MANY = 300
_TENANTS = 8
_WARM_UP = 3000
_QUERIES = 2000
_ALONE = 300  # queries of the single caller
_OF_PARTS = 1000
_NAIVE = 300
_DEADLINE_S = 30.0


async def test_search_under_load(stack: Stack, tenant: str, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    kept = Path(pytestconfig.cache.mkdir("bench"))
    scenes = int(os.environ.get("BENCH_SCENES", "10000"))
    async with opened(stack) as stores, opened(stack, batched=False) as naive:
        filled = await fill(stores, tenant, scenes, models=models_dir(stack), kept=kept)
        said = f"texts encoded in {filled.encode_s:.0f} s" if filled.encode_s else "vectors kept from an earlier run"
        say(f"\nsearch: {scenes} scenes of one tenant, {said}, written in {filled.write_s:.0f} s")
        questions = Questions()

        async def whole(
            callers: int, count: int, *, progressive: bool = False, tenants: Sequence[str] = (tenant,)
        ) -> Measured:
            return await load_whole(stack, tenants, questions.take(count), callers, progressive=progressive)

        warm_up = await whole(100, _WARM_UP)
        said = f"{warm_up.timing.per_second:.0f} a second, {sum(warm_up.timing.errors.values())} errors"
        say(f"  warmed up by {_WARM_UP} queries: {said}")
        final = {callers: await whole(callers, _ALONE if callers == 1 else _QUERIES) for callers in _CALLERS}
        first = await whole(16, _QUERIES, progressive=True)
        too_many = await whole(_TOO_MANY, _QUERIES)
        for form in (stores, naive):  # each keeps what it has met
            await _searches(form, tenant, questions.take(_NAIVE // 2), 16)
        parts, in_process, one_by_one = {}, {}, {}
        for callers in _CALLERS[1:]:
            parts[callers] = await load_parts(stack, stores, tenant, filled, questions.take(_OF_PARTS), callers=callers)
            in_process[callers] = await _searches(stores, tenant, questions.take(_NAIVE), callers)
            one_by_one[callers] = await _searches(naive, tenant, questions.take(_NAIVE), callers)
        several = [f"{tenant}-{number}" for number in range(_TENANTS)]
        for each in several:
            await fill(stores, each, scenes // _TENANTS, models=models_dir(stack), kept=kept)
        await whole(100, _WARM_UP // 3, tenants=several)
        mixed = await whole(100, _QUERIES, tenants=several)
    _show_whole(final, first, too_many)
    say(f"  {_TENANTS} tenants ÷ one, 100 callers: {mixed.timing.per_second / final[100].timing.per_second:.2f}")
    _show_cpu(final, first)
    _show_parts(final, parts)
    _show_naive(in_process, one_by_one)
    for timing in (first.timing, too_many.timing, mixed.timing, *(measured.timing for measured in final.values())):
        _check(timing)
    for timing in (*in_process.values(), *one_by_one.values()):
        _check(timing)
    for part in (part for level in parts.values() for part in level.values()):
        assert not part.timing.errors, part.timing.errors


def _check(timing: Timing) -> None:
    """Every query was answered, with a full page; whether a channel was late is a figure, no fault."""
    assert not timing.errors, timing.errors
    assert {answer.hits for answer in timing.answers} == {PAGE}


# ---- measuring ----------------------------------------------------------------------------------------


async def _searches(stores: Stores, tenant: str, queries: Sequence[str], callers: int) -> Timing:
    """Search without the door: a searcher in this process."""
    searcher = stores.searcher()

    async def ask(query: str) -> Answered:
        begin = time.perf_counter()
        request = SearchRequest(tenant, query, PAGE, progressive=False)
        last: Update | None = None
        async with aclosing(searcher.search(request, deadline_s=_DEADLINE_S)) as updates:
            async for update in updates:
                last = update
        assert last is not None
        assert last.summary is not None
        whole_ms = (time.perf_counter() - begin) * 1000
        return Answered(whole_ms, whole_ms, len(last.hits), complete=not last.summary.degraded)

    return await drive(queries, callers, ask)


# ---- showing ------------------------------------------------------------------------------------------


def _show_whole(final: Mapping[int, Measured], first: Measured, too_many: Measured) -> None:
    rows = [
        _row(f"{callers}", measured.timing, "last frame only", shows_first=False) for callers, measured in final.items()
    ]
    rows.append(_row(f"{first.timing.callers}", first.timing, "every frame", shows_first=True))
    rows.append(_row(f"{_TOO_MANY}", too_many.timing, "last frame only", shows_first=False))
    table(
        f"search: answers of {PAGE} hits, ms",
        (
            "callers",
            "queries",
            "sent",
            "q/s",
            "P50",
            "P95",
            "P99",
            "first P50",
            "first P95",
            "refused",
            "errors",
            "degraded",
        ),
        rows,
    )
    ratio = too_many.timing.whole_ms(0.95) / final[100].timing.whole_ms(0.95)
    say(f"  P95 of what is let in of {_TOO_MANY} callers ÷ P95 of 100: {ratio:.2f}")


def _row(label: str, timing: Timing, sent: str, *, shows_first: bool) -> tuple[object, ...]:
    first = (round(timing.first_ms(0.5)), round(timing.first_ms(0.95))) if shows_first else ("", "")
    return (
        label,
        len(timing.answers),
        sent,
        round(timing.per_second, 1),
        *(round(timing.whole_ms(share)) for share in (0.5, 0.95, 0.99)),
        *first,
        timing.refused,
        sum(timing.errors.values()),
        sum(not answer.complete for answer in timing.answers),
    )


def _show_cpu(final: Mapping[int, Measured], first: Measured) -> None:
    columns = [*final.values(), first]
    names = (*SERVING, GENERATOR)
    table(
        "processor time of a query, ms",
        ("process", *(f"{measured.timing.callers} callers" for measured in final.values()), "16, every frame"),
        [
            *((name, *(measured.cpu_ms[name] for measured in columns)) for name in names),
            ("all", *(measured.all_ms for measured in columns)),
        ],
    )


def _show_parts(final: Mapping[int, Measured], parts: Mapping[int, Mapping[str, Measured]]) -> None:
    names = list(next(iter(parts.values())))
    table(
        "each part alone, batched as in the whole (ms: processor time of a query, the asking included)",
        ("part", *(f"{what}, {callers} callers" for callers in parts for what in ("q/s", "P95 ms", "ms"))),
        [
            (
                name,
                *(
                    figure
                    for level in parts.values()
                    for figure in (
                        round(level[name].timing.per_second, 1),
                        round(level[name].timing.whole_ms(0.95)),
                        level[name].all_ms,
                    )
                ),
            )
            for name in names
        ],
    )
    for callers, level in parts.items():
        slowest = min(level, key=lambda name, level=level: level[name].timing.per_second)  # type: ignore[misc]
        got = final[callers].timing.per_second
        say(
            f"  whole ÷ slowest part alone ({slowest}), {callers} callers: {got / level[slowest].timing.per_second:.2f}"
        )
        asking = final[callers].cpu_ms[GENERATOR]
        bound = (os.cpu_count() or 1) * 1000 / (sum(part.all_ms for part in level.values()) + asking)
        say(f"  whole ÷ bound by the sum of the parts ({bound:.0f} q/s), {callers} callers: {got / bound:.2f}")


def _show_naive(in_process: Mapping[int, Timing], one_by_one: Mapping[int, Timing]) -> None:
    table(
        "a searcher in this process: batched, and naive (each call by itself)",
        ("callers", "batched q/s", "naive q/s", "batched ÷ naive", "batched P95 ms", "naive P95 ms"),
        [
            (
                callers,
                round(in_process[callers].per_second, 1),
                round(one_by_one[callers].per_second, 1),
                in_process[callers].per_second / one_by_one[callers].per_second,
                round(in_process[callers].whole_ms(0.95)),
                round(one_by_one[callers].whole_ms(0.95)),
            )
            for callers in in_process
        ],
    )
