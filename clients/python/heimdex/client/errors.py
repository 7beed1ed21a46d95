"""Errors: a failed call -> one typed exception with reason, metadata and when to try again."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

_DOMAIN = "heimdex"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A request field (proto path) and what is wrong with it."""

    field: str
    description: str


class HeimdexError(Exception):
    """A call that failed.

    Attributes:
        code: gRPC status code.
        reason: name of ``heimdex.common.v1.ErrorReason`` without prefix; empty when the server gave none.
        message: English, brief.
        metadata: of ErrorInfo, for example ``video_id`` or ``declared_bytes``.
        retry_after_s: from RetryInfo; None when trying again does not help.
        violations: fields that are wrong (InvalidArgument).
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.violations = tuple(violations)

    def __str__(self) -> str:
        return f"{self.message} [{self.reason or self.code.name}]"

    def __reduce__(self) -> tuple[object, ...]:
        """Be made again without ``__init__``, whose arguments ``args`` does not have: else no pool could return it."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InvalidArgument(HeimdexError):
    """The request is malformed."""


class Unauthenticated(HeimdexError):
    """No token, or one that does not verify or has expired."""


class PermissionDenied(HeimdexError):
    """The token may not do this."""


class NotFound(HeimdexError):
    """No such thing in this tenant."""


class AlreadyExists(HeimdexError):
    """The same thing is there; for videos ``metadata['video_id']`` names it."""


class FailedPrecondition(HeimdexError):
    """The state of things does not allow it."""


class ResourceExhausted(HeimdexError):
    """A quota, an admission limit, or a message that is too large."""


class Unavailable(HeimdexError):
    """The server, or a part of it, does not answer."""


class DeadlineExceeded(HeimdexError):
    """The call did not end in time."""


class Cancelled(HeimdexError):
    """The call was cancelled."""


class Closed(Cancelled):
    """The client is closed: the call was not made, or did not come to its end."""

    def __init__(self) -> None:
        super().__init__(grpc.StatusCode.CANCELLED, "the client is closed", reason="CLIENT_CLOSED")


class TransferFailed(HeimdexError):
    """Object storage refused the bytes, or the connection broke too often."""

    def __init__(self, message: str, *, reason: str = "TRANSFER_FAILED") -> None:
        super().__init__(grpc.StatusCode.UNAVAILABLE, message, reason=reason)


_CLASSES: Mapping[grpc.StatusCode, type[HeimdexError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def from_rpc(error: grpc.RpcError) -> HeimdexError:
    """Return the typed error of a failed call (an ``AioRpcError`` or a sync call that failed)."""
    code: grpc.StatusCode = error.code()
    message = error.details() or code.name
    reason, metadata, retry_after_s = "", {}, None
    violations: list[FieldViolation] = []
    for detail in _details(error):
        if isinstance(detail, error_details_pb2.ErrorInfo) and detail.domain == _DOMAIN:
            reason, metadata = detail.reason, dict(detail.metadata)
        elif isinstance(detail, error_details_pb2.RetryInfo):
            retry_after_s = detail.retry_delay.ToTimedelta().total_seconds()
        elif isinstance(detail, error_details_pb2.BadRequest):
            violations += [FieldViolation(v.field, v.description) for v in detail.field_violations]
    if not reason and code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        # gRPC refuses a message over the limit before any code of ours runs: no ErrorInfo.
        reason, message = "MESSAGE_TOO_LARGE", "the message is larger than the server takes"
    if not reason and code is grpc.StatusCode.UNAVAILABLE:
        retry_after_s = 0.2
    return _CLASSES.get(code, HeimdexError)(
        code, message, reason=reason, metadata=metadata, retry_after_s=retry_after_s, violations=violations
    )


def _details(error: grpc.RpcError) -> list[Message]:
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # errors of calls are calls
    except (AttributeError, ValueError):
        return []
    out: list[Message] = []
    for packed in status.details if status else ():
        for cls in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.BadRequest):
            if packed.Is(cls.DESCRIPTOR):
                detail = cls()
                packed.Unpack(detail)
                out.append(detail)
    return out
