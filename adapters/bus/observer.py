"""Observer: a run of a stage -> its metrics and its span."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from adapters import metrics
from adapters.tracing import Spans, no_spans
from contracts.delivery import Delivery, Ended
from heimdex.common.v1 import common_pb2


class StageObserver:
    """Watches runs: ``run`` is a ``contracts.delivery.Observe``."""

    def __init__(self, spans: Spans = no_spans) -> None:
        """Configure; metrics are the process's own."""
        self._spans = spans

    @contextmanager
    def run(self, delivery: Delivery) -> Iterator[Ended]:
        """Time and trace the block; count how it says it ended."""
        seen = metrics.of_stage(delivery.stage.noun)
        start_s = time.monotonic()
        with self._spans(delivery) as say:

            def ended(outcome: common_pb2.Outcome.ValueType) -> None:
                name = outcome_name(outcome)
                seen.endings.labels(name).inc()
                say(name)

            try:
                yield ended
            finally:
                seen.run_seconds.observe(time.monotonic() - start_s)


def outcome_name(outcome: common_pb2.Outcome.ValueType) -> str:
    """Return ``OK`` for ``OUTCOME_OK``."""
    return common_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_")
