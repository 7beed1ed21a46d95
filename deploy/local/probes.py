"""Probes: an address -> whether the process behind it answers in its own protocol, not merely accepts."""

from __future__ import annotations

import http.client
import socket
import struct
from dataclasses import dataclass
from typing import Final, Protocol

from deploy.local.ports import LOOPBACK

_TIMEOUT_S: Final = 3.0
_HTTP2_PREFACE: Final = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
)  # and empty SETTINGS
_HTTP2_SETTINGS: Final = 0x4
_KAFKA_API_VERSIONS: Final = 18


class Probe(Protocol):
    """Asks one process whether it answers."""

    def __call__(self) -> bool:
        """Return True when it answers well; never raise, never take more than a few seconds."""
        ...


@dataclass(frozen=True)
class HttpProbe:
    """GET on the loopback answers 200."""

    port: int
    path: str

    def __call__(self) -> bool:
        """Ask once."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@dataclass(frozen=True)
class KafkaProbe:
    """A broker answers ApiVersions without an error."""

    port: int

    def __call__(self) -> bool:
        """Ask once."""
        correlation = 7
        client = b"heimdex-probe"
        request = struct.pack(">hhih", _KAFKA_API_VERSIONS, 0, correlation, len(client)) + client
        answer = _exchange(self.port, struct.pack(">i", len(request)) + request, 10)
        if len(answer) < 10:  # noqa: PLR2004 -- size, correlation and error code
            return False
        _, answered, error = struct.unpack(">iih", answer[:10])
        return bool(answered == correlation and error == 0)


@dataclass(frozen=True)
class GrpcProbe:
    """A gRPC server answers the HTTP/2 preface with its SETTINGS frame."""

    port: int

    def __call__(self) -> bool:
        """Ask once."""
        answer = _exchange(self.port, _HTTP2_PREFACE, 9)
        return len(answer) >= 9 and answer[3] == _HTTP2_SETTINGS  # noqa: PLR2004 -- a frame's header


def _exchange(port: int, request: bytes, wanted_bytes: int) -> bytes:
    """Send `request` and return at least `wanted_bytes` of the answer, or less when it ends early or fails."""
    answer = b""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_S) as connection:
            connection.sendall(request)
            while len(answer) < wanted_bytes:
                piece = connection.recv(4096)
                if not piece:
                    break
                answer += piece
    except OSError:
        return b""
    return answer
