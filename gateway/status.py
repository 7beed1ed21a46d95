"""Status: an error of the tree -> ``google.rpc.Status`` with its details. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from contracts.errors import (
    DOMAIN,
    AlreadyExists,
    HeimdexError,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    PreconditionFailed,
)

_QUOTA = "QUOTA_EXCEEDED"
_REJECTED = "REJECTED"


def status_of(error: HeimdexError) -> status_pb2.Status:
    """Return the status of an error: ``ErrorInfo`` first, then what its class calls for, then ``RetryInfo``."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata),
        *_details(error),
    ]
    if error.retryable and error.reason != _QUOTA:
        details.append(error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_after_s)))
    return _status(error.code, error.message, details)


def internal(trace_id: str) -> status_pb2.Status:
    """Return the status of what we did not foresee: no text of it, only where to find it in the log."""
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"trace_id": trace_id})
    return _status("INTERNAL", "something of ours went wrong: the log has it under this trace id", [info])


def ending(outcome: str, reason: str, message: str, metadata: Iterable[tuple[str, str]] = ()) -> status_pb2.Status:
    """Return why a stage or a video failed; ``outcome`` REJECTED is the input's fault, any other is ours."""
    code = "INVALID_ARGUMENT" if outcome == _REJECTED else "INTERNAL"
    info = error_details_pb2.ErrorInfo(reason=reason or "INTERNAL", domain=DOMAIN, metadata=dict(metadata))
    return _status(code, message, [info])


def _details(error: HeimdexError) -> list[Message]:
    match error:
        case InvalidRequest():
            fields = [
                error_details_pb2.BadRequest.FieldViolation(
                    field=v.field, description=v.description, reason=error.reason
                )
                for v in error.violations
            ]
            return [error_details_pb2.BadRequest(field_violations=fields)]
        case NotFound():
            return [_resource(error.kind, error.name, error.message)]
        case AlreadyExists():
            return [_resource(error.kind, error.name, error.message)]
        case PreconditionFailed():
            subject = ",".join(f"{name}={value}" for name, value in sorted(error.metadata.items()))
            violation = error_details_pb2.PreconditionFailure.Violation(
                type=error.reason, subject=subject, description=error.message
            )
            return [error_details_pb2.PreconditionFailure(violations=[violation])]
        case LimitExceeded():
            subject = error.metadata.get("subject", error.reason)
            limit = error_details_pb2.QuotaFailure.Violation(subject=subject, description=error.message)
            return [error_details_pb2.QuotaFailure(violations=[limit])]
    return []


def _resource(kind: str, name: str, description: str) -> error_details_pb2.ResourceInfo:
    return error_details_pb2.ResourceInfo(resource_type=f"heimdex/{kind}", resource_name=name, description=description)


def _status(code: str, message: str, details: list[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=grpc.StatusCode[code].value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
