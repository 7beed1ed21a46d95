"""Adapters: thin, swappable implementations of ``contracts.ports``, one folder a kind of thing."""
