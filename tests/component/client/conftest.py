"""A gateway in this process with storage that speaks HTTP, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heimdex.client import AsyncClient
from tests.component.client.storage import HttpObjects, http_objects
from tests.component.gateway.door import Door, open_door


@pytest.fixture
async def objects() -> AsyncIterator[HttpObjects]:
    """Object storage over HTTP."""
    async with http_objects() as store:
        yield store


@pytest.fixture
async def door(tmp_path: Path, objects: HttpObjects) -> AsyncIterator[Door]:
    """A gateway that signs URLs of that storage."""
    async with open_door(tmp_path, objects=objects) as opened:
        yield opened


@pytest.fixture
async def client(door: Door) -> AsyncIterator[AsyncClient]:
    """An SDK client of the gateway."""
    async with AsyncClient(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as made:
        yield made
