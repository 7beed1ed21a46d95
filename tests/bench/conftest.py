"""The machine and its load before and after; a tenant and a client for each measurement."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from heimdex.client import Client
from tests.bench.film import Film
from tests.bench.report import load_average, say
from tests.stack import Stack


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What is asked from here is asked by the loop that the gateway has."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def machine() -> Iterator[None]:
    """Say what is measured on, and how busy it is besides, before the stack starts and after it has stopped."""
    say(f"\nbench: {os.cpu_count()} cores, {_processor()}; load average at the start {load_average()}")
    yield
    say(f"\nbench: load average at the end {load_average()}")


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Films of any length."""
    return Film(tmp_path_factory.mktemp("films"))


@pytest.fixture
def tenant() -> str:
    """A tenant of the measurement's own."""
    return f"b-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client(stack: Stack, tenant: str) -> Iterator[Client]:
    """A client of that tenant, which looks for faces."""
    stack.enable_faces(tenant)
    with stack.client(tenant) as made:
        yield made


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else "unknown processor"
