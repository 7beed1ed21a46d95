"""Alembic's environment: the connection that `adapters.catalog.migrate` hands over, in batch mode for SQLite."""

from __future__ import annotations

from alembic import context

from adapters.catalog.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, transactional_ddl=False)
context.run_migrations()
