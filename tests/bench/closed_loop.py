"""Closed loop: a number of callers, each asking its next question when the one before is answered -> times."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answered:
    """One question that was answered.

    Attributes:
        first_ms: until something could be shown.
        whole_ms: until all was there.
        hits: how many.
        complete: whether every part of the system took part.
    """

    first_ms: float
    whole_ms: float
    hits: int
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Timing:
    """What came of a load.

    Attributes:
        seconds: from the first question to the last answer.
        cpu_s: processor time that asking took itself.
        answers: in the order of their ends.
        errors: text -> how often.
        refused: how often a caller was told to come back later, and did.
    """

    callers: int
    seconds: float
    cpu_s: float
    answers: tuple[Answered, ...]
    errors: dict[str, int]
    refused: int = 0

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.answers) / self.seconds

    def whole_ms(self, share: float) -> float:
        """Return the time within which ``share`` of the answers were whole."""
        return quantile([answer.whole_ms for answer in self.answers], share)

    def first_ms(self, share: float) -> float:
        """Return the time within which ``share`` of the answers had begun."""
        return quantile([answer.first_ms for answer in self.answers], share)


async def drive(questions: Sequence[str], callers: int, ask: Callable[[str], Awaitable[Answered]]) -> Timing:
    """Ask every question once, ``callers`` of them at any time."""
    waiting = iter(questions)
    answers: list[Answered] = []
    errors: dict[str, int] = {}

    async def caller() -> None:
        for question in waiting:
            try:
                answers.append(await ask(question))
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is counted and shown
                text = f"{type(error).__name__}: {error}"[:200]
                errors[text] = errors.get(text, 0) + 1

    begin, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return Timing(callers, time.perf_counter() - begin, time.process_time() - cpu, tuple(answers), errors)


def joined(timings: Sequence[Timing]) -> Timing:
    """Return several loads of as many callers, one after another, as one."""
    errors: Counter[str] = Counter()
    for timing in timings:
        errors.update(timing.errors)
    return Timing(
        callers=timings[0].callers,
        seconds=sum(timing.seconds for timing in timings),
        cpu_s=sum(timing.cpu_s for timing in timings),
        answers=tuple(answer for timing in timings for answer in timing.answers),
        errors=dict(errors),
        refused=sum(timing.refused for timing in timings),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all are not above; NaN for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * len(ordered)))] if ordered else float("nan")
