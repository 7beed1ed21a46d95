"""Relay: the catalogue's outbox -> the bus."""
