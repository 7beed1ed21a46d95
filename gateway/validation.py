"""Validation: fields of a request -> clean values, or InvalidRequest with their proto paths. Pure.

Every function raises InvalidRequest (permanent) and nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from contracts.errors import FieldViolation, InvalidRequest
from contracts.ids import ID_PATTERN
from contracts.text import may_fit

MAX_REQUEST_ID_LENGTH = 128
MAX_FILE_NAME_LENGTH = 255
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}")
_OCTETS = "application/octet-stream"


def invalid(field: str, description: str, *, reason: str | None = None) -> InvalidRequest:
    """Return the error that one field is wrong."""
    return InvalidRequest(FieldViolation(field, description), reason=reason)


def resource_id(value: str, field: str, prefix: str) -> str:
    """Return an id of ours; ``prefix`` is ``vid``, ``upl``, ``scn``, ``per`` or ``qry``."""
    if not value:
        raise invalid(field, "is required")
    if not value.startswith(f"{prefix}_") or not ID_PATTERN.fullmatch(value):
        raise invalid(field, f"is no id of the form {prefix}_…")
    return value


def resource_ids(values: Sequence[str], field: str, prefix: str, *, most: int) -> tuple[str, ...]:
    """Return ids of ours in their order, each once; paths name the wrong one: ``filter.video_ids[3]``."""
    if len(values) > most:
        raise invalid(field, f"has {len(values)} ids, more than {most}")
    return tuple(dict.fromkeys(resource_id(v, f"{field}[{i}]", prefix) for i, v in enumerate(values)))


def request_id(value: str) -> str:
    """Return a request id: 1 to 128 characters, none of them a control character."""
    if not value:
        raise invalid("request_id", "is required; a UUID is recommended")
    if len(value) > MAX_REQUEST_ID_LENGTH:
        raise invalid("request_id", f"is longer than {MAX_REQUEST_ID_LENGTH} characters")
    if not value.isprintable():
        raise invalid("request_id", "has control characters")
    return value


def page_size(value: int, *, default: int = DEFAULT_PAGE_SIZE, most: int = MAX_PAGE_SIZE) -> int:
    """Return a page size; 0 is ``default``."""
    if not 0 <= value <= most:
        raise invalid("page_size", f"is {value}, outside of [0, {most}]")
    return value or default


def sha256(value: str, field: str = "sha256") -> str:
    """Return a digest: 64 lower-case hex digits."""
    if not value:
        raise invalid(field, "is required")
    if not _SHA256.fullmatch(value):
        raise invalid(field, "is not 64 lower-case hex digits")
    return value


def content_type(value: str) -> str:
    """Return a media type; octets for an empty one. It is a hint: the content decides."""
    if not value:
        return _OCTETS
    if not _MEDIA_TYPE.fullmatch(value):
        raise invalid("content_type", "is no media type such as video/mp4")
    return value


def file_name(value: str) -> str:
    """Return the base name of a user's file, NFC; it never becomes part of a key."""
    name = short(re.split(r"[/\\]", value)[-1], "file_name", most=MAX_FILE_NAME_LENGTH)
    name = unicodedata.normalize("NFC", name).strip()
    if not name or name in {".", ".."}:
        raise invalid("file_name", "is required")
    if len(name) > MAX_FILE_NAME_LENGTH:
        raise invalid("file_name", f"is longer than {MAX_FILE_NAME_LENGTH} code points")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in name):
        raise invalid("file_name", "has control characters")
    return name


def short(value: str, field: str, *, most: int) -> str:
    """Return text as it is, once it is known to be short enough for a closer look: see ``contracts.text``."""
    if not may_fit(value, most):
        raise invalid(field, f"is longer than {most} code points")
    return value


def display_text(value: str, field: str, *, most: int) -> str:
    """Return text that people read, NFC and stripped: 1 to ``most`` code points without control characters."""
    text = unicodedata.normalize("NFC", short(value, field, most=most)).strip()
    if not text:
        raise invalid(field, "is required")
    if len(text) > most:
        raise invalid(field, f"is longer than {most} code points")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in text):
        raise invalid(field, "has control characters")
    return text
