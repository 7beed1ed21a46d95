"""Errors: whatever a handler raises -> the status that says it; text of defects goes to the log only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import structlog
from google.rpc import status_pb2
from grpc_status import rpc_status

from contracts.errors import HeimdexError
from contracts.ports import AlarmClock
from gateway import identity, status
from gateway.interceptors.around import Around, Call
from gateway.interceptors.refusals import Refusals

_EXPECTED = "DRAINING"
_OVERLOADED = "OVERLOADED"

_log = structlog.get_logger()


class Errors(Around):
    """Ends calls with ``google.rpc.Status``. Aborts and cancellations pass as they are."""

    def __init__(self, clock: AlarmClock) -> None:
        self._refusals = Refusals(clock)

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Turn exceptions into a status."""
        try:
            yield
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except HeimdexError as error:
            if error.code == "INTERNAL":
                _log.exception("call failed", reason=error.reason)
                await self._abort(call, status.internal(identity.trace().trace_id))
            if error.reason == _OVERLOADED:
                self._refusals.add(error.reason, error.message)
            elif error.retryable and error.reason != _EXPECTED:
                _log.warning("call refused", reason=error.reason, error=error.message)
            await self._abort(call, status.status_of(error))
        except Exception as error:
            if call.context.cancelled():
                raise asyncio.CancelledError from error  # the client is gone: a failed write is no defect
            _log.exception("call failed", error_type=type(error).__name__)
            await self._abort(call, status.internal(identity.trace().trace_id))

    async def _abort(self, call: Call, said: status_pb2.Status) -> None:
        """End the call with a status. It queues behind what the client has not read: no long wait for that."""
        try:
            async with asyncio.timeout(call.write_timeout_s) as bound:
                await call.context.abort_with_status(rpc_status.to_status(said))
        except TimeoutError:
            if not bound.expired():
                raise
            raise asyncio.CancelledError from None  # it goes out when the client reads on, if ever
