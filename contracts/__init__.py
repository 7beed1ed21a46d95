"""Contracts: what crosses a boundary. Read ``flow`` first; imports only the messages in ``gen``."""
