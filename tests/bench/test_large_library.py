"""A large library: 100,000 scenes of one tenant, 16 callers, and what limits them: each part alone beside the whole.

Five times what one Milvus Lite is for. Texts are encoded in some 15 minutes the first time. ``BENCH_LARGE`` is another
number of scenes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.library import fill
from tests.bench.measuring import PAGE, Questions, load_parts, load_whole
from tests.bench.report import say, table
from tests.bench.stores import models_dir, opened
from tests.stack import Stack

pytestmark = pytest.mark.bench

_CALLERS = 16
_WARM_UP = 2000
_QUERIES = 1000
_OF_PARTS = 500


async def test_a_large_library(stack: Stack, tenant: str, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    kept = Path(pytestconfig.cache.mkdir("bench"))
    scenes = int(os.environ.get("BENCH_LARGE", "100000"))
    questions = Questions()
    async with opened(stack.environment()) as stores:
        filled = await fill(stores, tenant, scenes, models=models_dir(stack), kept=kept)
        say(f"\nlarge library: {scenes} scenes, encoded in {filled.encode_s:.0f} s, written in {filled.write_s:.0f} s")
        await load_whole(stack, [tenant], questions.take(_WARM_UP), _CALLERS)
        whole = await load_whole(stack, [tenant], questions.take(_QUERIES), _CALLERS)
        parts = await load_parts(stack, stores, tenant, filled, questions.take(_OF_PARTS), callers=_CALLERS)
    table(
        f"large library: {_CALLERS} callers, {scenes} scenes (ms: processor time of a query)",
        ("what", "q/s", "P50 ms", "P95 ms", "ms"),
        [
            (
                name,
                round(each.timing.per_second, 1),
                round(each.timing.whole_ms(0.5)),
                round(each.timing.whole_ms(0.95)),
                each.all_ms,
            )
            for name, each in {"whole": whole, **parts}.items()
        ],
    )
    table("processor time of a query, ms", ("process", "ms"), list(whole.cpu_ms.items()))
    assert not whole.timing.errors, whole.timing.errors
    assert {answer.hits for answer in whole.timing.answers} == {PAGE}
