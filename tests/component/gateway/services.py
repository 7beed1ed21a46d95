"""Every service that clients may call, from the protos: name, methods, and how to call one by its descriptor."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

PROTOS = Path(__file__).resolve().parents[3] / "proto" / "heimdex"
INTERNAL = frozenset({"inference"})  # of the inference process: clients do not reach it


def services() -> dict[str, ServiceDescriptor]:
    """Return every service by full name."""
    found: dict[str, ServiceDescriptor] = {}
    for file in sorted(PROTOS.glob("*/v1/*_service.proto")):
        if file.parts[-3] not in INTERNAL:
            module = import_module(f"heimdex.{file.parts[-3]}.v1.{file.stem}_pb2")
            found |= {each.full_name: each for each in module.DESCRIPTOR.services_by_name.values()}
    return found


def methods() -> dict[str, MethodDescriptor]:
    """Return every method by ``Service.Method``."""
    return {f"{service.name}.{method.name}": method for service in services().values() for method in service.methods}


def request_of(method: MethodDescriptor, **fields: Any) -> Any:
    """Return a request of a method."""
    return GetMessageClass(method.input_type)(**fields)


def call(channel: Any, method: MethodDescriptor, request: Any, metadata: Any) -> Any:
    """Begin a call."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    begin = channel.unary_stream if method.server_streaming else channel.unary_unary
    response = GetMessageClass(method.output_type)
    multicallable = begin(
        path, request_serializer=lambda message: message.SerializeToString(), response_deserializer=response.FromString
    )
    return multicallable(request, metadata=metadata)
