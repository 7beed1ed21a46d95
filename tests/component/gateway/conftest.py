"""The door that tests knock at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.component.gateway.door import Door, open_door


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """A gateway with the real interceptors and every service."""
    async with open_door(tmp_path) as opened:
        yield opened
