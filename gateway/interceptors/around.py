"""Around: a call's handler -> the same handler with something before and after it, unary and streaming alike."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from contracts.errors import FieldViolation, InvalidRequest, LimitExceeded

WRITE_TIMEOUT_S = 30.0
"""How long a client may leave a frame unread before its stream is ended. Source: settled question 28."""

Read = Callable[[Any], Any]

_PUBLIC = ("/grpc.health.v1.Health/", "/grpc.reflection.")


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        method: ``/heimdex.video.v1.VideoService/GetVideo``.
        streams: whether it answers with a stream.
    """

    method: str
    streams: bool
    metadata: dict[str, str]
    context: Any


class Around(grpc.aio.ServerInterceptor, ABC):
    """An interceptor that is one context manager around the handler, all of it in the call's own task.

    gRPC hands interceptors the handler before it runs, so exceptions can only be seen by wrapping it. Streams are
    iterated within, and sent from within: their errors are seen, and they are closed when the client is gone.
    Health and reflection are left alone.
    """

    def __init__(self, *, write_timeout_s: float = WRITE_TIMEOUT_S) -> None:
        self._write_timeout_s = write_timeout_s

    @abstractmethod
    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Return what surrounds the handler of ``call``."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Wrap the handler."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_PUBLIC):
            return handler
        if handler.request_streaming:
            raise NotImplementedError(f"{method} takes a stream: no call of ours does")
        metadata = {name: value for name, value in handler_call_details.invocation_metadata or () if type(value) is str}
        read = _reader(handler.request_deserializer)
        answer = {"response_serializer": handler.response_serializer}
        if handler.response_streaming:
            stream = self._stream(handler.unary_stream, read, method, metadata)
            return grpc.unary_stream_rpc_method_handler(stream, **answer)
        return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary, read, method, metadata), **answer)

    def _unary(self, inner: Callable[..., Awaitable[Any]], read: Read, method: str, metadata: dict[str, str]) -> Any:
        async def unary(request: Any, context: Any) -> Any:
            async with self.around(Call(method, streams=False, metadata=metadata, context=context)):
                return await inner(read(request), context)
            raise AssertionError("unreachable")  # `around` lets no exception disappear

        return unary

    def _stream(self, inner: Callable[..., Any], read: Read, method: str, metadata: dict[str, str]) -> Any:
        async def stream(request: Any, context: Any) -> None:
            async with self.around(Call(method, streams=True, metadata=metadata, context=context)):
                frames = inner(read(request), context)
                if isinstance(frames, AsyncIterator):
                    await self._send(frames, context)
                else:
                    await frames  # another interceptor of ours, which sends by itself

        return stream

    async def _send(self, frames: Any, context: Any) -> None:
        begun = False
        async with aclosing(frames):
            async for frame in frames:
                if not begun:
                    # By themselves: else they go with the first frame, and a status cannot follow one that is stuck.
                    await context.send_initial_metadata(())
                    begun = True
                try:
                    async with asyncio.timeout(self._write_timeout_s):
                        await context.write(frame)
                except TimeoutError:
                    raise LimitExceeded(
                        f"a frame was not read within {self._write_timeout_s:g} s", metadata={"subject": "reader"}
                    ) from None


def _reader(deserializer: Callable[[bytes], Any] | None) -> Read:
    """Return what reads a request. gRPC is told of none, for it answers bytes that are no message with UNKNOWN: the
    innermost interceptor reads them, so those around it see the error and who may not call is told that first.
    """

    def read(request: Any) -> Any:
        if deserializer is None:  # an interceptor within reads it
            return request
        try:
            return deserializer(request)
        except DecodeError:
            raise InvalidRequest(FieldViolation("request", "is not a message of this method")) from None

    return read
