"""Logs: last lines, new lines, also across a rotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.failure import DeployError
from deploy.local.home import Home
from deploy.local.logs import follow, log_files, tail


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    (home.logs / "kafka.log").write_text("".join(f"line {number}\n" for number in range(100)))
    (home.logs / "asr.log").write_text("")
    return home


def test_tail_gives_the_last_lines(home: Home) -> None:
    assert tail(home.logs / "kafka.log", 2) == ["line 98", "line 99"]
    assert tail(home.logs / "asr.log", 2) == []
    assert tail(home.logs / "kafka.log", 0) == []


def test_a_name_that_is_none_lists_those_that_are(home: Home) -> None:
    assert [path.stem for path in log_files(home, None)] == ["asr", "kafka"]
    with pytest.raises(DeployError, match="no log called nope; there are: asr, kafka"):
        log_files(home, "nope")


def test_follow_gives_whole_new_lines_and_survives_a_rotation(home: Home) -> None:
    path = home.logs / "kafka.log"
    lines = follow([path])
    stream = path.open("a")
    stream.write("half")
    stream.flush()

    def say(text: str) -> None:
        stream.write(text)
        stream.flush()

    say(" and whole\nnext\n")
    assert [next(lines), next(lines)] == [("kafka", "half and whole"), ("kafka", "next")]
    stream.close()
    path.rename(path.with_suffix(".log.1"))
    path.write_text("after\n")
    assert next(lines) == ("kafka", "after")
