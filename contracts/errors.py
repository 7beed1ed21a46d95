"""Errors: the one tree; what went wrong -> class, reason, gRPC code name and whether time heals it.

``gateway/interceptors`` maps it to ``google.rpc.Status``, the runner to REJECTED, retry or FAILED.
Reasons are the names of ``heimdex.common.v1.ErrorReason`` without their prefix.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

DOMAIN = "heimdex"

_LACKING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What a machine has too little of for a while: space, files, memory."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A request field (proto path, ``filter.video_ids[0]``) and what is wrong with it."""

    field: str
    description: str


class HeimdexError(Exception):
    """Base of the tree.

    Attributes:
        code: name of the gRPC status code.
        retryable: whether the same call may succeed later.
        reason: ErrorReason without prefix.
        message: English, brief, says what to do; no text or name of the user.
        metadata: for ``ErrorInfo.metadata``; units go in the key.
        retry_after_s: with ``retryable``, when to try again.
    """

    code: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float = 1.0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the pipe of the model child."""
        return (_rebuild, (type(self), self.message, self.__dict__))


def _rebuild(cls: type[HeimdexError], message: str, state: dict[str, object]) -> HeimdexError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class InvalidRequest(HeimdexError):
    """The request is malformed: permanent."""

    code = "INVALID_ARGUMENT"
    default_reason = "INVALID_FIELD"

    def __init__(self, *violations: FieldViolation, reason: str | None = None) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations), reason=reason)
        self.violations = violations


class Unauthenticated(HeimdexError):
    """No token, or one that does not verify: permanent for that token."""

    code = "UNAUTHENTICATED"
    default_reason = "INVALID_TOKEN"


class PermissionDenied(HeimdexError):
    """A good token that may not do this. Another tenant's thing is NotFound, never this."""

    code = "PERMISSION_DENIED"
    default_reason = "PERMISSION_DENIED"


class NotFound(HeimdexError):
    """No such thing in this tenant: permanent."""

    code = "NOT_FOUND"
    default_reason = "NOT_FOUND"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no {kind} {name!r}")
        self.kind, self.name = kind, name


class AlreadyExists(HeimdexError):
    """The same thing is there; ``name`` is the existing one's id."""

    code = "ALREADY_EXISTS"
    default_reason = "ALREADY_EXISTS"

    def __init__(self, kind: str, name: str, message: str, *, reason: str | None = None) -> None:
        super().__init__(message, reason=reason, metadata={f"{kind}_id": name} if name else {})
        self.kind, self.name = kind, name


class PreconditionFailed(HeimdexError):
    """The state of things does not allow it."""

    code = "FAILED_PRECONDITION"
    default_reason = "VIDEO_STATE"


class LimitExceeded(HeimdexError):
    """A quota (``reason`` QUOTA_EXCEEDED, permanent) or an admission limit (OVERLOADED, transient)."""

    code = "RESOURCE_EXHAUSTED"
    retryable = True
    default_reason = "OVERLOADED"


class DependencyUnavailable(HeimdexError):
    """A part of Heimdex does not answer: transient."""

    code = "UNAVAILABLE"
    retryable = True
    default_reason = "DEPENDENCY_UNAVAILABLE"

    def __init__(self, dependency: str, message: str, *, reason: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, reason=reason, metadata={"dependency": dependency}, retry_after_s=retry_after_s)
        self.dependency = dependency


class ModelUnavailable(DependencyUnavailable):
    """Weights are missing, the runtime failed, or the worker ended (CRASHED, DEADLINE_EXCEEDED): transient."""

    default_reason = "MODEL_UNAVAILABLE"


class Internal(HeimdexError):
    """A defect of ours: permanent for this input."""


class BadArtifact(Internal):
    """An input's artifact or event is malformed: permanent."""

    default_reason = "BAD_ARTIFACT"


class Rejected(HeimdexError):
    """A stage's input is at fault: outcome REJECTED, never a dead letter. ``reason`` is required."""

    code = "INVALID_ARGUMENT"

    def __init__(self, reason: str, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message, reason=reason, metadata=metadata)


class Erased(HeimdexError):
    """The video is being erased: the run ends without a trace (no manifest, no event)."""

    code = "NOT_FOUND"
    default_reason = "NOT_FOUND"


def from_exception(error: Exception, where: str) -> HeimdexError:
    """Return what an exception that nobody gave a type means: a machine that lacks something, else a defect.

    Its text is for the log only: it may hold what users said.

    Args:
        where: what was being done, of ours: a stage, a function.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _LACKING):
        lacking = "memory" if isinstance(error, MemoryError) else errno.errorcode[error.errno or 0]
        return DependencyUnavailable("machine", f"the machine of {where} has too little: {lacking}")
    return Internal(f"{type(error).__name__} in {where}")
