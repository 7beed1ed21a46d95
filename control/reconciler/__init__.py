"""Reconciler: what got stuck or was left behind -> moved on or cleared away."""
