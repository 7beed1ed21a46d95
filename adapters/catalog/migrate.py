"""Migrate: a catalogue's URL -> a catalogue of this version, or one line that says why not.

``python -m adapters.catalog.migrate`` takes the URL from HEIMDEX_CATALOG. Everything else refuses to start on another
version (``SqlCatalog.ready``).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from adapters.catalog.engine import begin_exclusive, create_engine
from adapters.catalog.models import Base
from contracts.errors import DependencyUnavailable, PreconditionFailed

_SCRIPTS = Path(__file__).parent / "migrations"
_THREAD_S = 5.0
_LOCK = 0x4845494D  # "HEIM": PostgreSQL's advisory lock against another migration


def scripts() -> Config:
    """Return what Alembic needs to know."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


async def migrate(url: str) -> str:
    """Bring the catalogue at ``url`` to this version and return that version. Does nothing when it is there already.

    Raises:
        ValueError: Not a URL of a catalogue. Permanent.
        PreconditionFailed: It is of a later version, or holds something else. Permanent.
        DependencyUnavailable: The database does not answer. Transient.
    """
    engine = create_engine(url)
    try:
        async with begin_exclusive(engine) as connection:
            return await connection.run_sync(_upgrade)
    except (SQLAlchemyError, OSError) as error:
        raise DependencyUnavailable("catalog", f"the catalogue does not answer: {type(error).__name__}") from error
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> str:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = scripts()
    directory = ScriptDirectory.from_config(config)
    head = str(directory.get_current_head())
    found = _version(connection)
    known = {script.revision for script in directory.walk_revisions()}
    if found and found not in known:
        raise PreconditionFailed(
            f"the catalogue is at version {found}, later than {head} of this program: use the program that made it"
        )
    if not found and set(inspect(connection).get_table_names()) & set(Base.metadata.tables):
        raise PreconditionFailed("the database holds tables of the same names that are no catalogue: use another one")
    if found != head:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return head


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


async def _migrate_quietly(url: str) -> str:
    """Migrate, and let aiosqlite's thread end before the loop does: else it prints that it could not."""
    try:
        return await migrate(url)
    finally:
        for thread in threading.enumerate():
            if "_connection_worker_thread" in thread.name:
                await asyncio.to_thread(thread.join, _THREAD_S)


def main() -> int:
    """Migrate the catalogue that HEIMDEX_CATALOG names; 1 and one line when it cannot be."""
    url = os.environ.get("HEIMDEX_CATALOG", "")
    try:
        version = asyncio.run(_migrate_quietly(url))
    except (ValueError, PreconditionFailed, DependencyUnavailable) as error:
        sys.stderr.write(f"migrate: {error}\n")
        return 1
    sys.stdout.write(f"the catalogue is at version {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
