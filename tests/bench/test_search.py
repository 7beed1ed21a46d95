"""Search: 10,000 scenes, distinct Korean queries, 1, 16 and 100 callers, against each part alone and the naive form.

Besides: three times as many callers as are served well, and as many scenes in the hands of eight tenants.

``BENCH_SCENES`` is another number of scenes; with ``BENCH_ABLATIONS`` each thing that is done for speed is left out
once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import pytest

from deploy.local.status import rows
from gateway.__main__ import spare_the_collector
from indexer.search.searcher import DEFAULT_BUDGETS
from tests.bench.closed_loop import Timing, joined
from tests.bench.cpu import REST, SERVING, idle_cores
from tests.bench.in_process import drive_searcher
from tests.bench.library import fill
from tests.bench.measuring import GENERATOR, OWN, PAGE, Measured, Questions, load_own, load_parts, load_whole, pooled
from tests.bench.report import say, table
from tests.bench.stores import Stores, models_dir, opened
from tests.stack import Stack

pytestmark = pytest.mark.bench

_ROUNDS = 2
"""Each measures everything once: a machine that others share is fast in one minute and slow in the next, so what is
compared takes turns."""

_CALLERS = (1, 16, 100)
_TOO_MANY = 300
_TENANTS = 8
_WARM_UP = 6000  # OpenSearch compiles itself: a query of the first thousands costs it twice what it does later
_QUERIES = 2000
_ALONE = 300  # queries of the single caller
_OF_PARTS = 1000
_NAIVE = 300  # each is slow, and few wait for the last at the end
_PATIENT = replace(DEFAULT_BUDGETS, lexical_s=60.0, dense_s=60.0, vision_s=60.0, people_s=60.0, backfill_s=60.0)
"""Of a searcher in this process, whatever its form: one that leaves out what it is late with would look fast."""

_NAIVE_BUDGETS = replace(_PATIENT, leg_rows=50, words_rows=50)  # before it was measured how few are enough


@dataclass(frozen=True, slots=True)
class _Round:
    """All that is compared with each other, measured once; by callers where there are several numbers of them."""

    final: Mapping[int, Measured]
    first: Measured
    too_many: Measured
    parts: Mapping[int, Mapping[str, Measured]]
    in_process: Mapping[int, Mapping[str, Timing]]
    idle_cores: float


async def test_search_under_load(stack: Stack, tenant: str, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    kept = Path(pytestconfig.cache.mkdir("bench"))
    scenes = int(os.environ.get("BENCH_SCENES", "10000"))
    async with opened(stack.environment()) as stores, opened(stack.environment(), batched=False) as naive:
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
        spare_the_collector()  # as the gateway
        # It keeps the vectors that it has met, as the gateway has by now.
        await load_parts(stack, stores, tenant, filled, questions.take(_OF_PARTS // 2), callers=_CALLERS[-1])

        async def measured() -> _Round:
            idle = await idle_cores(stack)
            final = {1: await whole(1, _ALONE)}
            first = await whole(16, _QUERIES, progressive=True)
            parts = {}
            for callers in _CALLERS[1:]:  # what is divided by each other follows each other
                parts[callers] = {
                    **await load_parts(stack, stores, tenant, filled, questions.take(_OF_PARTS), callers=callers),
                    **await load_own(stack, tenant, questions.take(_OF_PARTS), callers=callers),
                }
                final[callers] = await whole(callers, _QUERIES)
            too_many = await whole(_TOO_MANY, _QUERIES)
            in_process = {
                callers: {
                    name: await drive_searcher(form.searcher(budgets), tenant, questions.take(count), callers, PAGE)
                    for name, (form, budgets, count) in {
                        "batched": (stores, _PATIENT, _QUERIES),
                        "each call by itself": (naive, _PATIENT, _NAIVE),
                        "naive": (naive, _NAIVE_BUDGETS, _NAIVE),
                    }.items()
                }
                for callers in _CALLERS[1:]
            }
            return _Round(final, first, too_many, parts, in_process, idle)

        got = _pooled([await measured() for _ in range(_ROUNDS)])
        memory = {row.name: row.pss_bytes / 1e6 for row in rows(stack.home)}
        ablations = await _ablations(stores, naive, tenant, questions) if os.environ.get("BENCH_ABLATIONS") else {}
        several = [f"{tenant}-{number}" for number in range(_TENANTS)]
        for each in several:
            await fill(stores, each, scenes // _TENANTS, models=models_dir(stack), kept=kept)
        await whole(100, _WARM_UP // 6, tenants=several)
        mixed = await whole(100, _QUERIES, tenants=several)
        one = await whole(100, _QUERIES)
    _show_whole(got.final, got.first, got.too_many)
    say(f"  {_TENANTS} tenants ÷ one, 100 callers: {mixed.timing.per_second / one.timing.per_second:.2f}")
    _show_processes(got.final, got.first, memory)
    _show_parts(got.final, got.parts, got.idle_cores)
    _show_in_process(got.in_process)
    if ablations:
        _show_ablations(ablations)
    for load in (got.first, got.too_many, mixed, one, *got.final.values()):
        _check(load.timing)
    for timing in (*(timing for forms in got.in_process.values() for timing in forms.values()), *ablations.values()):
        _check(timing)
    for forms in got.in_process.values():  # what others leave out makes them faster
        assert all(answer.complete for answer in forms["batched"].answers)
    for part in (part for level in got.parts.values() for part in level.values()):
        assert not part.timing.errors, part.timing.errors


def _pooled(rounds: Sequence[_Round]) -> _Round:
    """Return all rounds as one."""
    one = rounds[0]
    return _Round(
        {callers: pooled([each.final[callers] for each in rounds]) for callers in one.final},
        pooled([each.first for each in rounds]),
        pooled([each.too_many for each in rounds]),
        {
            callers: {name: pooled([each.parts[callers][name] for each in rounds]) for name in level}
            for callers, level in one.parts.items()
        },
        {
            callers: {name: joined([each.in_process[callers][name] for each in rounds]) for name in forms}
            for callers, forms in one.in_process.items()
        },
        fmean(each.idle_cores for each in rounds),
    )


def _check(timing: Timing) -> None:
    """Every query was answered, with a full page; whether a channel was late is a figure, no fault.

    Of a small library one in hundreds finds nothing that answers it.
    """
    assert not timing.errors, timing.errors
    full = sum(answer.hits == PAGE for answer in timing.answers)
    assert {answer.hits for answer in timing.answers} <= {PAGE, 0}
    assert full >= 0.99 * len(timing.answers)


async def _ablations(stores: Stores, naive: Stores, tenant: str, questions: Questions) -> Mapping[str, Timing]:
    """Return what a searcher in this process makes of all that is done for speed, and with one thing left out."""
    forms = {
        "all": (stores, _PATIENT),
        "encoders one by one": (replace(stores, encoder=naive.encoder), _PATIENT),
        "OpenSearch one by one": (replace(stores, text=naive.text), _PATIENT),
        "Milvus one by one, no vectors kept": (
            replace(stores, text_vectors=naive.text_vectors, vision_vectors=naive.vision_vectors),
            _PATIENT,
        ),
        "50 rows a channel": (stores, _NAIVE_BUDGETS),
    }
    return {
        name: await drive_searcher(form.searcher(budgets), tenant, questions.take(_OF_PARTS), _CALLERS[-1], PAGE)
        for name, (form, budgets) in forms.items()
    }


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


def _show_processes(final: Mapping[int, Measured], first: Measured, memory: Mapping[str, float]) -> None:
    columns = [*final.values(), first]
    table(
        "processor time of a query, ms, and memory after all of that",
        ("process", *(f"{measured.timing.callers} callers" for measured in final.values()), "16, every frame", "MB"),
        [
            *(
                (name, *(measured.cpu_ms[name] for measured in columns), round(memory[name]) if name in memory else "")
                for name in (*SERVING, GENERATOR)
            ),
            ("all", *(measured.all_ms for measured in columns), ""),
            (REST, *(measured.cpu_ms[REST] for measured in columns), ""),
        ],
    )


def _show_parts(final: Mapping[int, Measured], parts: Mapping[int, Mapping[str, Measured]], taken_cores: float) -> None:
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
        got = final[callers].timing.per_second
        rates = {name: part.timing.per_second for name, part in level.items() if name not in OWN}
        slowest = min(rates, key=rates.__getitem__)
        say(f"  whole ÷ slowest part alone ({slowest}), {callers} callers: {got / rates[slowest]:.2f}")
        asking = final[callers].cpu_ms[GENERATOR]
        cores = os.cpu_count() or 1
        for parts_of, own, free_cores in (
            ("stores and encoders", (), cores),
            ("the gateway, too", OWN, cores),
            (f"beside an idle stack, which takes {taken_cores:.2f} of a core", OWN, cores - taken_cores),
        ):
            all_ms = sum(part.all_ms for name, part in level.items() if name in own or name not in OWN) + asking
            bound = free_cores * 1000 / all_ms
            say(
                f"  whole ÷ bound by the sum of the parts ({parts_of}: {bound:.0f} q/s), {callers} callers: "
                f"{got / bound:.2f}"
            )


def _show_in_process(in_process: Mapping[int, Mapping[str, Timing]]) -> None:
    table(
        "a searcher in this process: batched; each call by itself, no vectors kept; naive: 50 rows a channel, too",
        (
            "form",
            *(
                f"{what}, {callers} callers"
                for callers in in_process
                for what in ("q/s", "batched ÷", "P95 ms", "degraded")
            ),
        ),
        [
            (
                name,
                *(
                    figure
                    for forms in in_process.values()
                    for figure in (
                        round(forms[name].per_second, 1),
                        forms["batched"].per_second / forms[name].per_second,
                        round(forms[name].whole_ms(0.95)),
                        sum(not answer.complete for answer in forms[name].answers),
                    )
                ),
            )
            for name in next(iter(in_process.values()))
        ],
    )


def _show_ablations(ablations: Mapping[str, Timing]) -> None:
    table(
        f"a searcher in this process with one thing left out, {_CALLERS[-1]} callers",
        ("form", "q/s", "÷ all", "P95 ms"),
        [
            (
                name,
                round(timing.per_second, 1),
                timing.per_second / ablations["all"].per_second,
                round(timing.whole_ms(0.95)),
            )
            for name, timing in ablations.items()
        ],
    )
