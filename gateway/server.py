"""Server: servicers and interceptors -> a gRPC server that says when it serves, and ends in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.trace import Tracer

from contracts.ports import AlarmClock
from gateway.interceptors.admission import MAX_SEARCHES, Admission, limits
from gateway.interceptors.around import WRITE_TIMEOUT_S, Around, Surroundings
from gateway.interceptors.auth import Auth
from gateway.interceptors.calls import Calls
from gateway.interceptors.deadline import Deadline
from gateway.interceptors.errors import Errors
from gateway.tokens import TokenVerifier

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest request: gRPC's own default. It refuses larger ones before any code of ours runs."""
GRACE_S = 10.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 4 * MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a second gateway on the port must fail, not share it
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # clients may ping: the SDK does every 30 s
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its full name, gRPC's generated function that adds it, and who serves it."""

    name: str
    add: Callable[[Any, Any], None]
    servicer: Any


def interceptors(
    verifier: TokenVerifier, tracer: Tracer, clock: AlarmClock, *, max_searches: int = MAX_SEARCHES
) -> tuple[Around, ...]:
    """Return what surrounds every call, outermost first: each sees the errors of those within."""
    admission = Admission(clock, limits(max_searches))
    return (Calls(tracer), Errors(clock), Auth(verifier), admission, Deadline())


class GatewayServer:
    """A gRPC server with health and reflection."""

    def __init__(
        self, services: Sequence[Service], around: Sequence[Around], *, write_timeout_s: float = WRITE_TIMEOUT_S
    ) -> None:
        self._names = tuple(service.name for service in services)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[Surroundings(around, write_timeout_s=write_timeout_s)], options=_OPTIONS
        )
        self._serving = False
        self._stopping = False
        for service in services:
            service.add(service.servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Take ``host:port`` and return the port; plain text without ``credentials``. RuntimeError when it is taken."""
        if credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, credentials)

    async def start(self) -> None:
        """Answer calls, NOT_SERVING until ``set_serving``."""
        await self._announce(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()

    @property
    def serving(self) -> bool:
        """Whether it has said that it serves."""
        return self._serving

    async def set_serving(self, *, serving: bool) -> None:
        """Say whether calls are welcome, for every service by name and for all of them ("")."""
        if serving is not self._serving and not self._stopping:
            self._serving = serving
            status = health_pb2.HealthCheckResponse
            await self._announce(status.SERVING if serving else status.NOT_SERVING)
            _log.info("serving" if serving else "not serving")

    async def stop(self, end_watches: Callable[[], Awaitable[None]], *, grace_s: float = GRACE_S) -> None:
        """End in order: NOT_SERVING, watches, then the calls under way; those that outlast the grace are cancelled.

        Args:
            end_watches: tells every watcher to go elsewhere.
        """
        self._stopping, self._serving = True, False
        await self._health.enter_graceful_shutdown()
        await end_watches()
        await self._server.stop(grace_s)

    async def _announce(self, status: Any) -> None:
        for name in ("", *self._names):
            await self._health.set(name, status)
