"""Faults: a port, and what happens around one of its calls: an error, the death of the process, another writer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any


class Died(BaseException):
    """The process is gone: no handler of errors sees it."""


async def die() -> None:
    """End the process."""
    raise Died


class Around:
    """A port; ``action`` is awaited at the first call of ``method``, before it or after it took effect."""

    def __init__(
        self, port: object, method: str, action: Callable[[], Awaitable[object]], *, after: bool = False
    ) -> None:
        self._port, self._method, self._action, self._after = port, method, action, after
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._port, name)
        if name != self._method:
            return real

        async def call(*args: object, **options: object) -> object:
            self.calls += 1
            first = self.calls == 1
            if first and not self._after:
                await self._action()
            answer = await real(*args, **options)
            if first and self._after:
                await self._action()
            return answer

        return call


class Failing:
    """A port whose ``method`` raises ``error`` as often as told, and works then."""

    def __init__(self, port: object, method: str, error: Exception, *, times: int = 1) -> None:
        self._port, self._method, self._error, self.left = port, method, error, times

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._port, name)
        if name != self._method or not self.left:
            return real

        async def call(*args: object, **options: object) -> object:
            self.left -= 1
            raise self._error

        return call


class Noted:
    """A port whose calls are noted in ``log`` as ``what.method``."""

    def __init__(self, port: object, what: str, log: list[str]) -> None:
        self._port, self._what, self._log = port, what, log

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._port, name)

        def call(*args: object, **options: object) -> object:
            self._log.append(f"{self._what}.{name}")
            return real(*args, **options)

        return call
