"""Temporary catalogue: nothing -> a migrated catalogue on SQLite in a folder that goes with it; the memory form."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.catalog.engine import unix_ms
from adapters.catalog.migrate import migrate
from adapters.catalog.sql import SqlCatalog


@asynccontextmanager
async def temporary_catalog(*, clock: Callable[[], int] = unix_ms) -> AsyncIterator[SqlCatalog]:
    """Yield a catalogue of its own."""
    with tempfile.TemporaryDirectory(prefix="heimdex-catalog-") as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'catalog.db'}"
        await migrate(url)
        async with SqlCatalog(url, clock=clock) as catalog:
            yield catalog
