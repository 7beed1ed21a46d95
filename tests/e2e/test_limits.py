"""Limits that an operator may raise: an hour of video is refused by default and goes through when it is taken.

A stack with another limit would be a second stack, so this is the line of stages, with the limit its plan carries.
"""

from __future__ import annotations

import pytest

from tests.component.processors.line import NOUNS, Line
from tests.media import make

HOUR_S = 3600.0


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An hour of a picture every five minutes, one frame a second, silent."""
    scenes = [(make.card(seed, (64, 48)), 300.0) for seed in range(12)]
    path = make.make_video(tmp_path_factory.mktemp("films") / "hour.mp4", scenes, fps=1, size=(64, 48), gop=600)
    return path.read_bytes()


async def test_an_hour_is_refused_by_default(hour: bytes) -> None:
    line = await Line(hour).run()
    assert line.outcomes() == {"validate": "REJECTED"}
    assert line.reason("validate") == "TOO_LONG"


async def test_an_hour_is_taken_when_the_limit_is_raised(hour: bytes) -> None:
    line = await Line(hour, max_duration_s=4000.0).run()
    assert set(line.outcomes()) == set(NOUNS)
    assert not {"FAILED", "REJECTED"} & set(line.outcomes().values())
    assert line.counts("validate")["duration_ms"] == HOUR_S * 1000
    scenes = [record.scene for record in (await line.sidecar()).scenes]
    edges = [(s.start_offset.ToMilliseconds(), s.end_offset.ToMilliseconds()) for s in scenes]
    assert edges == [(minute * 60_000, (minute + 1) * 60_000) for minute in range(60)]
    assert all(scene.keyframe.object_key for scene in scenes)
