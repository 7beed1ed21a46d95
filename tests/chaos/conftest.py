"""Chaos works on the same stack and material as the end-to-end tests."""

from tests.e2e.conftest import client, pictures, portraits, tenant

__all__ = ["client", "pictures", "portraits", "tenant"]
