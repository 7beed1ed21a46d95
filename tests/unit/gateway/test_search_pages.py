"""Search pages: what is packed comes back, near enough, and small."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import new_id, row_id, scene_id
from contracts.ports import MAX_VIEWS
from gateway.identity import Principal
from gateway.pages import PageTokens
from gateway.search_pages import Frozen, pack, unpack
from indexer.search.types import Cause, Channel, Degraded, MatchQuality, Ranked

_QUALITIES = [MatchQuality.SUPPORTED, MatchQuality.BEST_GUESS]
_SHARES = st.floats(0, 1)
_VIEWS = st.none() | st.integers(0, MAX_VIEWS - 1)


def ranked(
    number: int,
    weights: dict[Channel, float],
    similar: list[float],
    raw: list[float],
    sure: float,
    *,
    view: int | None,
) -> Ranked:
    return Ranked(
        row_id(scene_id("vid_1", number, number + 1), number + 1),
        sum(share * weight for share, weight in zip(similar, weights.values(), strict=True)),
        sure,
        _QUALITIES[number % 2],
        tuple(weights),
        tuple(similar),
        tuple(weights.values()),
        tuple(raw),
        view,
    )


@st.composite
def lists(draw: st.DrawFn) -> Frozen:
    channels = draw(st.lists(st.sampled_from(list(Channel)), min_size=1, unique=True))
    of_row = st.lists(_SHARES, min_size=len(channels), max_size=len(channels))
    own = st.lists(st.floats(-1, 1000), min_size=len(channels), max_size=len(channels))
    count = draw(st.integers(0, 5))
    return Frozen(
        query_id=draw(st.sampled_from(["", new_id("qry")])),
        total_is_lower_bound=draw(st.booleans()),
        people=tuple(draw(st.lists(st.just(new_id("per")), max_size=400))),
        generation=draw(st.integers(0, 2**40)),
        first_rank=draw(st.integers(1, 201)),
        total_hits=draw(st.integers(0, 100_000)),
        match_quality=draw(st.sampled_from(_QUALITIES)),
        answered=tuple(channels),
        degraded=tuple(Degraded(c, draw(st.sampled_from(list(Cause)))) for c in Channel if c not in channels),
        ranking=draw(st.text(max_size=20)),
        marking=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=1000)),
        rest=tuple(
            ranked(
                n,
                dict(zip(channels, draw(of_row), strict=True)),
                draw(of_row),
                draw(own),
                draw(_SHARES),
                view=draw(_VIEWS),
            )
            for n in range(count)
        ),
    )


@given(lists())
def test_a_list_comes_back(frozen: Frozen) -> None:
    back = unpack(pack(frozen))
    assert back is not None
    for name in (
        "query_id", "generation", "first_rank", "total_hits", "total_is_lower_bound", "match_quality", "answered",
        "degraded", "ranking", "people", "marking",
    ):  # fmt: skip
        assert getattr(back, name) == getattr(frozen, name)
    assert [row.row_id for row in back.rest] == [row.row_id for row in frozen.rest]
    for got, was in zip(back.rest, frozen.rest, strict=True):
        assert (got.match_quality, got.view) == (was.match_quality, was.view)
        assert got.confidence == pytest.approx(was.confidence, abs=1e-5)
        assert got.score == pytest.approx(was.score, abs=1e-4)
        assert got.score == pytest.approx(sum(part.points for part in got.contributions))
        assert [part.points for part in got.contributions] == sorted(
            (p.points for p in got.contributions), reverse=True
        )
        before = {part.channel: part for part in was.contributions}
        for part in got.contributions:
            assert part.weight == pytest.approx(before[part.channel].weight, abs=1e-6)
            assert part.similarity == pytest.approx(before[part.channel].similarity, abs=1e-5)
            assert part.raw == pytest.approx(before[part.channel].raw, rel=1e-3, abs=1e-3)


def test_the_largest_list_makes_a_token_of_some_kilobytes() -> None:
    seed = random.Random(4)
    weights = dict.fromkeys(Channel, 0.2)
    rest = tuple(
        ranked(
            n,
            weights,
            [seed.random() for _ in weights],
            [seed.random() * 9 for _ in weights],
            seed.random(),
            view=seed.randrange(MAX_VIEWS),
        )
        for n in range(199)
    )
    frozen = Frozen(
        new_id("qry"), 1, 2, 200, True, MatchQuality.SUPPORTED, tuple(Channel), (), "small-v1", (), "가" * 1000, rest
    )
    token = PageTokens(b"k" * 32).seal(Principal("team", "ann", 1), "s", pack(frozen), now_ms=0)
    assert len(token) < 14_000


def test_what_another_version_has_packed_is_not_read() -> None:
    frozen = Frozen("qry_1", 1, 2, 0, False, MatchQuality.NONE, (), (), "r", (), "", ())
    other = bytearray(zlib.decompress(pack(frozen)))
    other[0] += 1
    assert unpack(zlib.compress(bytes(other))) is None
