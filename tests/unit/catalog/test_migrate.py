"""Migrate: to this version whole or not at all, and one line where it cannot be."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from adapters.catalog import SqlCatalog
from adapters.catalog import migrate as migration
from adapters.catalog.engine import begin_exclusive, create_engine
from adapters.catalog.migrate import migrate
from adapters.catalog.models import VERSION
from contracts.catalog import Build, Generation, Tenant
from contracts.errors import PreconditionFailed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


def url(file: Path) -> str:
    return f"sqlite:///{file}"


def tables(file: Path) -> set[str]:
    with sqlite3.connect(file) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_the_version_that_programs_ask_for_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(migration.scripts()).get_current_head() == VERSION


async def test_one_that_breaks_off_leaves_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = command.upgrade

    def broken(*arguments: Any) -> None:
        upgrade(*arguments)
        raise RuntimeError("power cut")

    monkeypatch.setattr(command, "upgrade", broken)
    with pytest.raises(RuntimeError):
        await migrate(url(file))
    assert tables(file) == set()
    monkeypatch.undo()
    assert await migrate(url(file)) == VERSION


async def test_an_older_version_is_brought_to_this_one_with_what_it_holds(file: Path) -> None:
    engine = create_engine(url(file))
    config = migration.scripts()

    def to_first(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    async with begin_exclusive(engine) as connection:
        await connection.run_sync(to_first)
    await engine.dispose()
    with sqlite3.connect(file) as older:
        older.execute("INSERT INTO tenants VALUES ('acme', 1, 3)")
        older.execute("INSERT INTO generations VALUES (1, 'ACTIVE', 'ct', 'cv', 'i', 't', 'v', 'r')")
    assert await migrate(url(file)) == VERSION
    async with SqlCatalog(url(file)) as catalog:
        assert await catalog.tenant("acme") == Tenant("acme", faces_enabled=True, gallery_version=3)
        assert await catalog.list_generations() == [Build(Generation(1, "ACTIVE", "ct", "cv", "i", "t", "v", "r"))]


async def test_several_at_once_take_turns(file: Path) -> None:
    assert await asyncio.gather(*(migrate(url(file)) for _ in range(3))) == [VERSION] * 3


async def test_a_later_version_is_refused_and_left_alone(file: Path) -> None:
    await migrate(url(file))
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(PreconditionFailed, match="at version 9999, later than"):
        await migrate(url(file))


async def test_somebody_elses_tables_are_refused_and_left_alone(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE videos (title TEXT)")
    with pytest.raises(PreconditionFailed, match="use another one"):
        await migrate(url(file))
    assert tables(file) == {"videos"}


@pytest.mark.parametrize("text", ["", "mysql://host/db", "no url", "sqlite:////no/such/folder/catalog.db"])
def test_what_cannot_be_is_one_line(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "adapters.catalog.migrate"],
        env={"HEIMDEX_CATALOG": text},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("migrate: ")
    assert done.stderr.count("\n") == 1
