"""SQL catalogue: ``contracts.catalog.Catalog`` on SQLite and PostgreSQL, put together from one module a caller."""

from __future__ import annotations

from adapters.catalog.builds import Builds
from adapters.catalog.commit import Commit
from adapters.catalog.erasure import Erasure
from adapters.catalog.generations import Generations
from adapters.catalog.matches import Matches
from adapters.catalog.outbox import Outbox
from adapters.catalog.people import People
from adapters.catalog.revisions import Revisions
from adapters.catalog.scenes import Scenes
from adapters.catalog.searches import Searches
from adapters.catalog.tenants import Tenants
from adapters.catalog.tracker import Tracking
from adapters.catalog.upkeep import Upkeep
from adapters.catalog.uploads import Uploads
from adapters.catalog.videos import Videos
from adapters.catalog.watch import Watch


class SqlCatalog(
    Tenants,
    Uploads,
    Videos,
    Revisions,
    Scenes,
    Watch,
    People,
    Searches,
    Generations,
    Builds,
    Commit,
    Tracking,
    Matches,
    Erasure,
    Outbox,
    Upkeep,
):
    """The catalogue in SQL: ``SqlCatalog("sqlite:////path/catalog.db")`` or ``SqlCatalog("postgresql://…")``.

    Nothing is opened before the first call; ``close`` it, or use it as an asynchronous context manager. It belongs to
    the event loop that first uses it.
    """
