"""The schema step on a real SQLite catalogue: makes the first generation, accepts its own, refuses another's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.catalog.migrate import migrate


def _step(catalog: Path, profile: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "indexer.schema"],
        env={"HEIMDEX_CATALOG": f"sqlite+aiosqlite:///{catalog}", "HEIMDEX_PROFILE": profile},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
async def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.db"
    await migrate(f"sqlite+aiosqlite:///{path}")
    return path


def test_first_its_own_and_another_ones(catalog: Path) -> None:
    for _ in range(2):
        done = _step(catalog, "small")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("generation 1: ")
    refused = _step(catalog, "fake")
    assert refused.returncode == 1
    assert refused.stderr.startswith("this library was indexed by e5-small")
    assert refused.stderr.count("\n") == 1


async def test_the_words_of_an_older_version_are_refused(catalog: Path) -> None:
    assert _step(catalog, "small").returncode == 0
    engine = create_async_engine(f"sqlite+aiosqlite:///{catalog}")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE generations SET text_index = 'heimdex-scenes-1-a1'"))
    await engine.dispose()
    refused = _step(catalog, "small")
    assert refused.returncode == 1
    assert refused.stderr.startswith("the words of this library are in heimdex-scenes-1-a1, and this version writes ")
    assert refused.stderr.endswith("or begin a new home (--home)\n")
    assert refused.stderr.count("\n") == 1
