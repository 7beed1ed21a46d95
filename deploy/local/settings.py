"""Settings: what may be set for the processes of a stack, by the settings classes of their composition roots."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Final

from pydantic_settings import BaseSettings

PROCESSES: Final = {
    "gateway": "gateway.__main__",
    "inference": "adapters.inference.__main__",
    "stages": "processors.__main__",
    "commit": "indexer.commit.__main__",
    "control": "control.__main__",
    "schema": "indexer.schema.__main__",
}
"""Kind of process -> the module that composes it."""


def taken() -> Iterator[tuple[str, type[BaseSettings]]]:
    """Yield each kind of process with what it reads. Imports all of them, which takes seconds."""
    for process, module in PROCESSES.items():
        for found in vars(import_module(module)).values():
            if isinstance(found, type) and issubclass(found, BaseSettings) and found.__module__ == module:
                yield process, found


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return f"HEIMDEX_{field.upper()}"


def variables() -> frozenset[str]:
    """Return every environment variable that some process reads."""
    return frozenset(variable(field) for _, settings in taken() for field in settings.model_fields)
