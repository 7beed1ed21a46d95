"""Milvus: a client for what tests look at and clear away below the product."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymilvus import MilvusClient


@contextmanager
def milvus(uri: str) -> Iterator[MilvusClient]:
    """Yield a client with a connection of its own.

    A shared one is never closed, and pymilvus would ping it every 10 s: Milvus Lite takes more than one ping in five
    minutes for abuse and hangs up on whoever comes next.
    """
    from pymilvus import MilvusClient

    client = MilvusClient(uri, dedicated=True, grpc_options={"grpc.keepalive_time_ms": 360_000})
    try:
        yield client
    finally:
        client.close()
