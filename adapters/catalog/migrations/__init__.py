"""Migrations of the catalogue, one file a version; `adapters.catalog.migrate` runs them."""
