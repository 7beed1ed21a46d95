"""Failure: an exception -> its exit code and the one line that says what to do."""

from __future__ import annotations

from heimdex.client import errors
from heimdex.client.config import NotConfigured

EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_AUTH = 4
EXIT_UNAVAILABLE = 5
EXIT_VIDEO_FAILED = 6


class Usage(Exception):
    """The arguments make no sense; the message says which."""


_CODES: tuple[tuple[type[Exception], int], ...] = (
    (Usage, EXIT_USAGE),
    (errors.InvalidArgument, EXIT_USAGE),
    (errors.FailedPrecondition, EXIT_USAGE),
    (errors.AlreadyExists, EXIT_USAGE),
    (errors.NotFound, EXIT_NOT_FOUND),
    (FileNotFoundError, EXIT_NOT_FOUND),
    (errors.Unauthenticated, EXIT_AUTH),
    (errors.PermissionDenied, EXIT_AUTH),
    (errors.HeimdexError, EXIT_UNAVAILABLE),
    (NotConfigured, EXIT_UNAVAILABLE),
    (OSError, EXIT_USAGE),
    (UnicodeEncodeError, EXIT_USAGE),
)

_HINTS = {
    "TOKEN_EXPIRED": "make a new token with `heimdex token`, or run `heimdex up` again",
    "INVALID_TOKEN": "set HEIMDEX_TOKEN, or make one with `heimdex token`",
    "PERMISSION_DENIED": "make a token for it with `heimdex token --admin`",
    "FACES_DISABLED": "an operator enables them with `heimdex tenant set TENANT --faces on`",
}

_FIELD_HINTS = {"filter.tags": "; ids stand in brackets behind the names of tags, in answers and `heimdex scenes`"}


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an expected failure; None for a defect."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)


def explain(error: Exception) -> str:
    """Return one line: what went wrong and, where we know it, what to do."""
    if isinstance(error, errors.InvalidArgument) and error.violations:
        return "; ".join(f"{v.field}: {v.description}{_FIELD_HINTS.get(_plain(v.field), '')}" for v in error.violations)
    if isinstance(error, errors.Unavailable) and not error.reason:
        return "the gateway does not answer; is the stack up? (`heimdex status`)"
    if isinstance(error, errors.HeimdexError):
        hint = _HINTS.get(error.reason)
        return f"{error}; {hint}" if hint else str(error)
    if isinstance(error, UnicodeEncodeError):
        return f"the output cannot be written in {error.encoding}; set PYTHONIOENCODING=utf-8"
    return _explain_file(error) if isinstance(error, OSError) and error.filename else str(error)


def _explain_file(error: OSError) -> str:
    what = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror).lower()
    return f"{what}: {error.filename}"


def _plain(field: str) -> str:
    """Return ``filter.tags`` for ``filter.tags[0]``."""
    return field.partition("[")[0]
