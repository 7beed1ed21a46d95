"""The inference process: settings -> encoders and face reader on a gRPC port. ``python -m adapters.inference``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import grpc
import structlog
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from adapters import logs, ops
from adapters.inference.codec import MAX_MESSAGE_BYTES
from adapters.inference.service import InferenceService
from adapters.models import profiles
from adapters.models.settings import Device, ModelSettings
from contracts.errors import HeimdexError
from heimdex.inference.v1 import inference_service_pb2
from heimdex.inference.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server

_SERVICE = inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name
_GRACE_S = 5.0
_RETRY_S = 5.0  # until missing weights are looked for again
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Settings(BaseSettings):
    """What the process reads from its environment, all with the prefix HEIMDEX_."""

    model_config = SettingsConfigDict(env_prefix="HEIMDEX_", frozen=True, env_ignore_empty=True)

    inference: str = Field(description="host:port of the inference process")
    profile: str = Field(default="small", description="fake, small or production")
    models_dir: Path = Field(default=Path("models"), description="folder of model files")
    faces_model: Path | None = Field(default=None, description="YuNet's file, only where it is present")
    threads: int = Field(default=1, ge=1, description="threads of one model call")
    device: Device = Field(default="cpu", description="cpu or cuda")
    ops_port: int | None = Field(default=None, description="port for /live, /ready and /metrics; none without it")


async def main(settings: Settings) -> None:
    """Listen, load, serve until SIGTERM or SIGINT; NOT_SERVING before the encoders are warm and while draining."""
    log = structlog.get_logger()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    models = ModelSettings(settings.models_dir, settings.faces_model, settings.threads, settings.device)
    profile = profiles.profile(settings.profile)
    service = InferenceService(
        profile.text.make(models),
        profile.vision.make(models),
        lambda: profile.faces.make(models),
        lambda: profile.vision.make(models),
    )
    statuses = health.aio.HealthServicer()

    async def announce(status: int) -> None:
        for name in ("", _SERVICE):
            await statuses.set(name, status)

    await announce(_NOT_SERVING)
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        )
    )
    add_InferenceServiceServicer_to_server(service, server)
    health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
    server.add_insecure_port(settings.inference)
    ready = asyncio.Event()
    pages = await ops.serve(settings.ops_port, live=lambda: True, ready=ready.is_set) if settings.ops_port else None
    await server.start()
    log.info("loading", address=settings.inference, profile=settings.profile)
    try:
        if await _warm(service, stop):
            await announce(_SERVING)
            ready.set()
            log.info("serving", **profiles.versions(settings.profile, models))
            await stop.wait()
    finally:
        ready.clear()
        await announce(_NOT_SERVING)
        await server.stop(_GRACE_S)
        await service.close()
        if pages is not None:
            pages.close()
        log.info("stopped")


async def _warm(service: InferenceService, stop: asyncio.Event) -> bool:
    """Load the encoders; where that fails, say why, once, and try again until it is time to stop. Return whether."""
    said = ""
    while not stop.is_set():
        try:
            await service.warm()
        except HeimdexError as error:
            if error.message != said:
                said = error.message
                structlog.get_logger().error("not ready", reason=error.reason, error=said)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RETRY_S)
        else:
            return True
    return False


if __name__ == "__main__":
    logs.configure()
    uvloop.run(main(Settings()))  # type: ignore[call-arg]  # the environment gives them
