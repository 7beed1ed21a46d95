"""Engine: a URL -> connections and short transactions, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Any, Self, TypeVar

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from adapters.catalog.models import VERSION
from contracts.errors import DependencyUnavailable, Internal

T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]

BUSY_TIMEOUT_MS = 5_000
_TRIES = 4
_BEGIN = "heimdex_begin"
_EXCLUSIVE = "EXCLUSIVE"
_EXCLUSIVE_TIMEOUT_MS = 60_000  # for migrations: several at once take turns, and each lasts a second on a busy machine
# Source: PostgreSQL error codes, appendix A
_DEADLOCK, _SERIALIZATION, _DATA_EXCEPTION = "40P01", "40001", "22"
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}

# WAL lets readers go on while one writes. FULL syncs the log at each commit: what CompleteUpload has answered must
# survive a power cut, and the catalogue is small. NORMAL would only survive the death of the process.
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
)


def unix_ms() -> int:
    """Return the time: Unix milliseconds, UTC."""
    return time.time_ns() // 1_000_000


def create_engine(url: str) -> AsyncEngine:
    """Return an engine; nothing is opened yet.

    Args:
        url: ``sqlite[+aiosqlite]:///path`` or ``postgresql[+asyncpg]://…``.

    Raises:
        ValueError: Another database, or no URL at all. Permanent.
    """
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.get_backend_name()]
        engine = create_async_engine(parsed.set(drivername=driver), pool_pre_ping=not driver.startswith("sqlite"))
    except (ArgumentError, NoSuchModuleError, KeyError) as error:
        raise ValueError("the catalogue's URL must be sqlite:///path or postgresql://…") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred and late: `_begin_sqlite` says it instead
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    mode = connection.get_execution_options().get(_BEGIN, "DEFERRED")
    if mode == _EXCLUSIVE:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_EXCLUSIVE_TIMEOUT_MS}")
    if mode:
        connection.exec_driver_sql(f"BEGIN {mode}")


@asynccontextmanager
async def begin_exclusive(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open one transaction that nobody else writes beside, on SQLite; on PostgreSQL an ordinary one."""
    connection = await _connect(engine.execution_options(**{_BEGIN: _EXCLUSIVE}))
    async with aclosing(connection), connection.begin():
        yield connection


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    """Connect, and again while others do: of several that make a new file a WAL one, SQLite lets one succeed."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _EXCLUSIVE_TIMEOUT_MS / 1000
    while True:
        try:
            return await engine.connect()
        except DBAPIError as error:
            if not _met_another(error) or loop.time() >= until_s:
                raise


class Transactions:
    """Runs short transactions: reads see one snapshot, writes take the lock at their start and are never cut short."""

    def __init__(self, url: str, *, clock: Callable[[], int] = unix_ms) -> None:
        self._engine = create_engine(url)
        self._now_ms = clock
        snapshot = self._engine  # a deferred transaction of SQLite is one already
        if not self.is_sqlite:
            snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._reader = async_sessionmaker(snapshot, expire_on_commit=False)
        immediate = self._engine.execution_options(**{_BEGIN: "IMMEDIATE"})
        self._writer = async_sessionmaker(immediate, expire_on_commit=False)
        # SQLite has one writer. Queueing here is fair and wakes at once; its busy handler polls and starves.
        self._turn = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._running: set[asyncio.Task[Any]] = set()
        self._poller: AsyncConnection | None = None
        self._poll_turn = asyncio.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded form."""
        return self._engine.dialect.name == "sqlite"

    async def __aenter__(self) -> Self:
        """Return the catalogue itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Let running transactions end, then close every connection."""
        if self._running:
            await asyncio.wait(self._running)
        if self._poller is not None:
            await self._poller.close()
            self._poller = None
        await self._engine.dispose()

    async def ready(self) -> None:
        """Raise DependencyUnavailable when the schema is not of this version or SQL is down."""
        found = await self.version()
        if found != VERSION:
            raise DependencyUnavailable(
                "catalog", f"the catalogue is at version {found or 'none'}, not {VERSION}: run `heimdex migrate`"
            )

    async def version(self) -> str:
        """Return the schema's version; empty when there is none yet."""

        async def work(session: AsyncSession) -> str:
            connection = await session.connection()
            if not await connection.run_sync(lambda c: c.dialect.has_table(c, "alembic_version")):
                return ""
            return str((await session.execute(text("SELECT version_num FROM alembic_version"))).scalar() or "")

        return await self._read(work)

    async def data_version(self) -> int:
        """Return a number that changes when anybody has committed; for the one poller of a process.

        SQLite counts the commits of *other* connections, so the poller has one of its own. PostgreSQL's snapshot
        names every transaction that has ended.
        """
        return await self._shielded(self._poll())

    async def _poll(self) -> int:
        async with self._poll_turn:
            try:
                if self._poller is None:
                    self._poller = await self._engine.connect()
                    await self._poller.execution_options(isolation_level="AUTOCOMMIT", **{_BEGIN: ""})
                query = "PRAGMA data_version" if self.is_sqlite else "SELECT pg_current_snapshot()::text"
                value = (await self._poller.exec_driver_sql(query)).scalar()
            except (SQLAlchemyError, OSError) as error:
                if self._poller is not None:
                    await self._poller.invalidate()
                    self._poller = None
                raise _unavailable(error) from error
        if isinstance(value, int):
            return value
        return int.from_bytes(hashlib.blake2b(str(value).encode(), digest_size=7).digest())

    async def _read(self, work: Work[T]) -> T:
        """Run ``work`` on one snapshot."""
        return await self._shielded(self._run(self._reader, work))

    async def _write(self, work: Work[T]) -> T:
        """Run ``work`` in one write transaction; again when it met another one (``work`` must be repeatable)."""
        return await self._shielded(self._run_in_turn(work))

    async def _run_in_turn(self, work: Work[T]) -> T:
        async with self._turn:
            return await self._run(self._writer, work)

    async def _run(self, sessions: async_sessionmaker[AsyncSession], work: Work[T]) -> T:
        for left in reversed(range(_TRIES)):
            try:
                async with sessions() as session, session.begin():
                    return await work(session)
            except DBAPIError as error:
                if left and _met_another(error):
                    continue
                if _refused(error):
                    raise Internal(f"the catalogue refused a row: {type(error.orig).__name__}") from error
                raise _unavailable(error) from error
            except (SQLAlchemyError, OSError) as error:  # no connection, or none free in time
                raise _unavailable(error) from error
        raise AssertionError("unreachable")

    async def _shielded(self, work: Awaitable[T]) -> T:
        """Let a transaction end even when its caller is cancelled: a half-cancelled driver call is worse than late."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that is gone cannot look


def _met_another(error: DBAPIError) -> bool:
    """Return whether a transaction lost against another one, so that doing it again will find the other's result."""
    if isinstance(error, IntegrityError):
        return True
    code = getattr(error.orig, "sqlstate", "") or getattr(error.orig, "sqlite_errorname", "")
    return code in {_DEADLOCK, _SERIALIZATION} or str(code).startswith("SQLITE_BUSY")


def _refused(error: DBAPIError) -> bool:
    """Return whether the database, or its driver, understood and said no: no repetition heals that."""
    if isinstance(error, IntegrityError | DataError):
        return True
    code = str(getattr(error.orig, "sqlstate", None) or "")
    return code.startswith(_DATA_EXCEPTION) or isinstance(getattr(error.orig, "__cause__", None), ValueError)


def _unavailable(error: BaseException) -> DependencyUnavailable:
    return DependencyUnavailable("catalog", f"the catalogue does not answer: {type(error).__name__}")
