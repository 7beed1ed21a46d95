"""In process: a searcher, without the door, asked by a number of callers in this process -> times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing

from indexer.search.searcher import Searcher
from indexer.search.types import SearchRequest, Update
from tests.bench.closed_loop import Answered, Timing, drive

_DEADLINE_S = 120.0  # so that nothing is left out for the time that it takes


async def drive_searcher(searcher: Searcher, tenant: str, queries: Sequence[str], callers: int, limit: int) -> Timing:
    """Search without the door: a searcher in this process."""

    async def ask(query: str) -> Answered:
        begin = time.perf_counter()
        last = await last_update(searcher, SearchRequest(tenant, query, limit, progressive=False))
        assert last.summary is not None
        whole_ms = (time.perf_counter() - begin) * 1000
        return Answered(whole_ms, whole_ms, len(last.hits), complete=not last.summary.degraded)

    return await drive(queries, callers, ask)


async def last_update(searcher: Searcher, request: SearchRequest) -> Update:
    """Return DONE."""
    last: Update | None = None
    async with aclosing(searcher.search(request, deadline_s=_DEADLINE_S)) as updates:
        async for update in updates:
            last = update
    assert last is not None
    return last
