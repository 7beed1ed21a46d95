"""Delivery: one stage's share of one event, ready to be handled; and what handles it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from contracts import flow
from contracts.errors import HeimdexError
from contracts.ports import Record
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import context_pb2, manifest_pb2


@dataclass(frozen=True, slots=True)
class Delivery:
    """Work of one stage for one spec: the event is decoded, the video is not erased, all inputs exist.

    Attributes:
        record: as it came from the bus.
        context: which run of which video.
        plan: of the revision.
        spec: to be worked on.
        index: position of the spec: of ``plan.generations`` where the plan has one a generation, else 0.
        inputs: noun -> manifest of every ancestor stage, whatever its outcome.
        attempt: try, from 1.
    """

    stage: flow.Stage
    record: Record
    context: context_pb2.EventContext
    plan: manifest_pb2.Plan
    spec: str
    index: int
    inputs: Mapping[str, manifest_pb2.Manifest]
    attempt: int


Ended = Callable[[common_pb2.Outcome.ValueType], None]

Observe = Callable[[Delivery], AbstractContextManager[Ended]]
"""Watches one run of a stage, for metrics and traces. The block is the run; it says how it ended, if it did."""


def unobserved(_: Delivery) -> AbstractContextManager[Ended]:
    """Watch nothing."""
    return nullcontext(lambda _: None)


class StageHandler(Protocol):
    """What a stage does with a delivery; the intake around it decodes, joins, retries and dead-letters.

    Every way to end is repeatable: the same delivery may come again at any time.
    """

    async def run(self, delivery: Delivery) -> bool:
        """Do the work and make its ending known, or do that again for work that is already done.

        Returns whether the ending is FAILED from an earlier try (its dead letter is then sent again).

        Raises:
            Erased: the video is being erased; nothing was left behind.
            Rejected: the input's fault.
            HeimdexError: ``retryable`` ones are tried again, others end in FAILED.
        """
        ...

    async def end(self, delivery: Delivery, error: HeimdexError) -> None:
        """Write the ending of work that is given up, REJECTED for ``Rejected`` and else FAILED; make it known."""
        ...

    async def retrying(self, delivery: Delivery) -> None:
        """Tell that another try will come."""
        ...
