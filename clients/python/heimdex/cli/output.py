"""Output: messages -> lines and tables for people (wide characters align) and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping

from google.protobuf.duration_pb2 import Duration
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from heimdex.common.v1 import common_pb2
from heimdex.scene.v1.scene_pb2 import Scene
from heimdex.video.v1 import video_pb2

_UNBOUNDED = 10_000
IS_TERMINAL = sys.stdout is not None and sys.stdout.isatty()  # it is None where the caller has closed it
console = Console(highlight=False, soft_wrap=False, emoji=False, width=None if IS_TERMINAL else _UNBOUNDED)
"""Fits lines into a terminal; pipes and files get them whole."""


def emit_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def table(*columns: str, whole: int = 1) -> Table:
    """Return a plain table whose first ``whole`` columns are never folded: ids are there to be copied."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, column in enumerate(columns):
        made.add_column(column, overflow="fold", no_wrap=place < whole)
    return made


def add_row(shown: Table, *cells: str) -> None:
    """Add a row of plain texts: what people have written is no markup."""
    shown.add_row(*(Text(cell) for cell in cells))


def print_below(text: Text) -> None:
    """Print a text that belongs to the line above it: indented, also where it is folded."""
    console.print(Padding(text, (0, 0, 0, 4), expand=False))


def padded(text: str, width: int) -> str:
    """Return a text with spaces up to ``width`` columns of a terminal, in which Hangul takes two."""
    return text + " " * max(0, width - cell_len(text))


def seconds(duration: Duration) -> float:
    """Return a Duration in seconds, to the millisecond."""
    return round(duration.seconds + duration.nanos / 1e9, 3)


def clock(duration: Duration) -> str:
    """Return a position as ``m:ss.t``."""
    tenths = round(seconds(duration) * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def span(scene: Scene) -> str:
    """Return ``[start–end]`` of a scene."""
    return f"[{clock(scene.start_offset)}–{clock(scene.end_offset)}]"


def state_name(state: video_pb2.VideoState.ValueType) -> str:
    """Return ``indexed`` for ``VIDEO_STATE_INDEXED``."""
    return video_pb2.VideoState.Name(state).removeprefix("VIDEO_STATE_").lower()


def stage_name(stage: common_pb2.Stage.ValueType) -> str:
    """Return ``asr`` for ``STAGE_ASR``."""
    return common_pb2.Stage.Name(stage).removeprefix("STAGE_").lower()


def outcome_name(outcome: common_pb2.Outcome.ValueType) -> str:
    """Return ``no speech`` for ``OUTCOME_NO_SPEECH``."""
    return common_pb2.Outcome.Name(outcome).removeprefix("OUTCOME_").lower().replace("_", " ")


def tag(tag_id: str, *names: str) -> str:
    """Return a tag's names, and in brackets its id, by which it is searched; the id alone where no name differs."""
    others = ", ".join(name for name in names if name != tag_id)
    return f"{others} ({tag_id})" if others else tag_id


def tag_names(scene: Scene) -> list[str]:
    """Return every name of a scene's tags, ids included, best first, each once."""
    return list(dict.fromkeys(name for tag in scene.tags for name in (*tag.names, tag.tag)))


def transcript(scene: Scene) -> str:
    """Return what is said in a scene, as one text."""
    return " ".join(line.text.strip() for line in scene.transcript)


def join(names: Iterable[str], limit: int = 4) -> str:
    """Return the first names, comma separated."""
    chosen = list(names)
    return ", ".join(chosen[:limit]) + (" …" if len(chosen) > limit else "")
