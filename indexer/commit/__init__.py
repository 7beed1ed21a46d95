"""Commit: a sidecar -> rows in both stores and the catalogue; the one stage whose commit point is SQL."""
