"""Request: arguments -> a message; what none can hold is refused as the gateway does, or as Python does. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from heimdex.client.errors import FieldViolation, InvalidArgument

M = TypeVar("M", bound=Message)
T = TypeVar("T")
P = ParamSpec("P")

File = str | os.PathLike[str]


class Strings(Protocol):
    """Strings, such as a list of them; not a string alone, which is one of its letters to Python."""

    # A string takes none but strings here: type checkers tell the two apart by this.
    def __contains__(self, item: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...


def message(kind: Callable[P, M], /, *_: P.args, **fields: P.kwargs) -> M:
    """Return a message of these fields.

    Raises:
        InvalidArgument: a field's value is beyond what the message can hold; the violation names it.
        TypeError: a value has another type than its field, or is a string where several values are meant.
    """
    return _made(kind, fields, "")


def part(field: str, kind: Callable[P, M], /, *_: P.args, **fields: P.kwargs) -> M:
    """Return what stands in a field of a request, as ``message`` does; violations are named by both fields."""
    return _made(kind, fields, f"{field}.")


def a_string(name: str, value: str) -> str:
    """Return a string. Raises TypeError for anything else: None would be taken for a field that is not set."""
    if not isinstance(value, str):
        raise TypeError(f"{name} takes a string, not {value!r}")
    return value


def several(name: str, values: Iterable[T]) -> list[T]:
    """Return values as a list. Raises TypeError for one string, or one path, where several are meant."""
    if isinstance(values, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} takes several values, such as a list of them, not one: {values!r}")
    return list(values)


def refused(field: str, description: str) -> InvalidArgument:
    """Return the error that the gateway has for a field that is wrong."""
    violation = FieldViolation(field, description)
    text = f"{field}: {description}"
    return InvalidArgument(grpc.StatusCode.INVALID_ARGUMENT, text, reason="INVALID_FIELD", violations=(violation,))


def _made(kind: Callable[..., M], fields: Mapping[str, Any], prefix: str) -> M:
    described = kind.DESCRIPTOR.fields_by_name  # type: ignore[attr-defined]  # a class of messages
    given = {
        name: several(name, value) if described[name].is_repeated and value is not None else value
        for name, value in fields.items()
    }
    try:
        return kind(**given)
    except ValueError:
        for name, value in given.items():
            _check(kind, name, value, prefix)
        raise


def _check(kind: Callable[..., Message], name: str, value: object, prefix: str) -> None:
    try:
        kind(**{name: value})
    except UnicodeError:
        raise refused(f"{prefix}{name}", "is no text that UTF-8 can hold") from None
    except ValueError as error:
        reason = str(error)
        raise refused(f"{prefix}{name}", f"{reason[:1].lower()}{reason[1:]}") from None
