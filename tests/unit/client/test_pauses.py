"""Pauses: how long the SDK waits before a call is made again."""

from __future__ import annotations

import grpc
import pytest

from heimdex.client._async import _LONGEST_S, _MAX_PAUSE_S, _bounded, _pause_s
from heimdex.client.errors import HeimdexError, ResourceExhausted


def refused(retry_after_s: float | None) -> HeimdexError:
    return ResourceExhausted(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "full", reason="OVERLOADED", retry_after_s=retry_after_s
    )


@pytest.mark.parametrize("told_s", [0.2, 1.0, 4.7, 10.0, 60.0])
def test_never_sooner_than_told_and_not_all_at_once(told_s: float) -> None:
    pauses_s = {_pause_s(refused(told_s), 1) for _ in range(100)}
    assert told_s <= min(pauses_s) < max(pauses_s) <= told_s * 1.3
    assert len(pauses_s) > 50


def test_longer_each_time_up_to_a_bound() -> None:
    for attempt, least_s in ((1, 2.0), (2, 4.0), (3, 8.0), (4, _MAX_PAUSE_S), (9, _MAX_PAUSE_S)):
        assert least_s <= _pause_s(refused(2.0), attempt) <= least_s * 1.3


def test_a_timeout_without_end_is_one_that_can_be_counted() -> None:
    assert [_bounded(seconds) for seconds in (5.0, 1e12, float("inf"))] == [5.0, _LONGEST_S, _LONGEST_S]
    with pytest.raises(ValueError, match="timeout_s"):
        _bounded(float("nan"))
