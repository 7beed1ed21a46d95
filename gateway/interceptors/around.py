"""Around: a call's handler -> the same handler with things before and after it, unary and streaming alike."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from contracts.errors import FieldViolation, InvalidRequest, LimitExceeded

WRITE_TIMEOUT_S = 30.0
"""How long a client may leave a frame unread before its stream is ended: one that hangs would be held for ever."""

_PUBLIC = ("/grpc.health.v1.Health/", "/grpc.reflection.")


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        method: ``/heimdex.video.v1.VideoService/GetVideo``.
        streams: whether it answers with a stream.
        write_timeout_s: how long its client may leave anything unread.
    """

    method: str
    streams: bool
    metadata: dict[str, str]
    context: Any
    write_timeout_s: float


class Around(ABC):
    """One context manager around a call's handler, in the call's own task: it sees the errors of all within."""

    @abstractmethod
    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Return what surrounds the handler of ``call``."""


class Surroundings(grpc.aio.ServerInterceptor):
    """All that surrounds calls, outermost first, as gRPC's one interceptor.

    gRPC hands interceptors the handler before it runs, so exceptions can only be seen by wrapping it. Requests are read
    and streams are iterated and sent within: their errors are seen, and streams are closed when the client is gone.
    Health and reflection are left alone.
    """

    def __init__(self, arounds: Sequence[Around], *, write_timeout_s: float = WRITE_TIMEOUT_S) -> None:
        self._arounds = tuple(arounds)
        self._write_timeout_s = write_timeout_s

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Wrap the handler."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_PUBLIC):
            return handler
        if handler.request_streaming:
            raise NotImplementedError(f"{method} takes a stream: no call of ours does")
        metadata = {name: value for name, value in handler_call_details.invocation_metadata or () if type(value) is str}
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler, method, metadata), response_serializer=handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler, method, metadata), response_serializer=handler.response_serializer
        )

    def _unary(self, handler: Any, method: str, metadata: dict[str, str]) -> Any:
        async def unary(body: bytes, context: Any) -> Any:
            async with AsyncExitStack() as stack:
                await self._enter(stack, Call(method, False, metadata, context, self._write_timeout_s))
                return await handler.unary_unary(_read(handler, body), context)
            raise AssertionError("unreachable")  # `around` lets no exception disappear

        return unary

    def _stream(self, handler: Any, method: str, metadata: dict[str, str]) -> Any:
        async def stream(body: bytes, context: Any) -> None:
            async with AsyncExitStack() as stack:
                await self._enter(stack, Call(method, True, metadata, context, self._write_timeout_s))
                await self._send(handler.unary_stream(_read(handler, body), context), context)

        return stream

    async def _enter(self, stack: AsyncExitStack, call: Call) -> None:
        for each in self._arounds:
            await stack.enter_async_context(each.around(call))

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


def _read(handler: Any, body: bytes) -> Any:
    """Return the request. Raises InvalidRequest (permanent); gRPC itself would call it an unknown error."""
    try:
        return handler.request_deserializer(body)
    except DecodeError as error:
        raise InvalidRequest(FieldViolation("request", "is not a message of this method")) from error
