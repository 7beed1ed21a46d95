"""Turns: those who are refused come back one after another, as places become free."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.interceptors.turns import MAX_S, MIN_S, Turns

PLACES = 100


def line(*, call_s: float) -> Turns:
    """Return the line of a door whose calls have taken so long for a while."""
    turns = Turns()
    for _ in range(1000):
        turns.ended(call_s)
    return turns


def test_whoever_is_refused_alone_comes_back_soon() -> None:
    turns = line(call_s=2.0)
    assert turns.take(50.0, PLACES) == MIN_S
    assert turns.take(60.0, PLACES) == MIN_S, "an old turn holds nobody back"


def test_a_crowd_comes_back_at_half_the_pace_at_which_places_become_free() -> None:
    turns = line(call_s=1.0)
    delays_s = [turns.take(50.0, PLACES) for _ in range(200)]
    assert delays_s[0] == MIN_S
    assert [later - sooner for sooner, later in pairwise(delays_s)] == pytest.approx([0.02] * 199)


def test_turns_go_by_the_time_of_their_coming() -> None:
    turns = line(call_s=1.0)
    early = 50.0 + turns.take(50.0, PLACES)
    late = 50.005 + turns.take(50.005, PLACES)
    assert late - early == pytest.approx(0.02)


def test_short_calls_give_more_turns_than_long_ones() -> None:
    crowd = 50
    short, long = line(call_s=0.1), line(call_s=5.0)
    assert [turns.take(0.0, PLACES) for turns in (short, long) for _ in range(crowd)][crowd - 1 :: crowd] == [
        pytest.approx(MIN_S + 49 * 0.002),
        pytest.approx(MIN_S + 49 * 0.1),
    ]


def test_nobody_is_sent_away_for_longer_than_the_longest() -> None:
    turns = line(call_s=3600.0)  # watches
    assert [turns.take(50.0, 1) for _ in range(3)] == [MIN_S, MAX_S, MAX_S]
    assert turns.take(55.0, 1) == MAX_S


def test_before_a_call_has_ended_a_second_is_taken_for_its_time() -> None:
    turns = Turns()
    assert [turns.take(0.0, 4) for _ in range(3)] == pytest.approx([MIN_S, MIN_S + 0.5, MIN_S + 1.0])


def test_the_pace_follows_the_calls() -> None:
    turns = line(call_s=0.1)
    for _ in range(1000):
        turns.ended(4.0)
    turns.take(0.0, PLACES)
    assert turns.take(0.0, PLACES) == pytest.approx(MIN_S + 0.08)
