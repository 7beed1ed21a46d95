"""The pipe between a process and its model child: objects <-> length-prefixed pickles. Both ends are ours."""

from __future__ import annotations

import pickle
import socket
import struct
from dataclasses import dataclass

from contracts.errors import HeimdexError

HEADER = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Call:
    """Parent to child: run ``perform`` (``module:function``) on ``job``."""

    perform: str
    job: object


@dataclass(frozen=True, slots=True)
class Beat:
    """Child to parent while it works: it lives."""


@dataclass(frozen=True, slots=True)
class Share:
    """Child to parent: the finished share in [0, 1]."""

    value: float


@dataclass(frozen=True, slots=True)
class Done:
    """Child to parent, last: a result or an error, and the memory the child then holds."""

    result: object
    error: HeimdexError | None
    rss_bytes: int


def pack(message: object) -> bytes:
    """Return the bytes of one message."""
    body = pickle.dumps(message, protocol=5)
    return HEADER.pack(len(body)) + body


def size_of(header: bytes) -> int:
    """Return how many bytes follow ``header``."""
    size: int = HEADER.unpack(header)[0]
    return size


def unpack(body: bytes) -> object:
    """Return the message in ``body``."""
    return pickle.loads(body)  # noqa: S301 - from our own child or parent


def receive(connection: socket.socket) -> object:
    """Return the next message, blocking. Raises EOFError at the end of the stream."""
    return unpack(_exactly(connection, size_of(_exactly(connection, HEADER.size))))


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
