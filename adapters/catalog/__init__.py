"""Catalogue: the truth in SQL, on SQLite and on PostgreSQL, behind ``contracts.catalog.Catalog``."""

from adapters.catalog.sql import SqlCatalog

__all__ = ["SqlCatalog"]
