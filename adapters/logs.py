"""Logs: one JSON object a line: what Heimdex says on standard output, what its libraries say on standard error."""

from __future__ import annotations

import logging
import time

import structlog

_SELDOM_S = 10.0


def configure() -> None:
    """Set up structlog and send the standard library's warnings the same way."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    structlog.configure(
        processors=[*shared, *render],
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    handler.addFilter(_Seldom())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)


class _Seldom(logging.Filter):
    """Lets one line a place in the code through in ten seconds: a client without its server says 100 a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now_s, place = time.monotonic(), (record.pathname, record.lineno)
        if now_s - self._last_s.get(place, -_SELDOM_S) < _SELDOM_S:
            return False
        self._last_s[place] = now_s
        return True
