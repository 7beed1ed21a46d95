"""Upload verb: files or folders -> videos, with progress, an outcome each; the same command again goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from heimdex.cli import output
from heimdex.cli.failure import EXIT_VIDEO_FAILED, Usage, exit_code, explain
from heimdex.cli.library import Home, Json, error_json
from heimdex.client import Client, HeimdexError, Uploaded
from heimdex.common.v1 import common_pb2
from heimdex.video.v1 import video_pb2

_NAME_COLUMNS = 12
_MAX_NAME_COLUMNS = 34
SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})


def upload(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders with videos.")],
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until each video is searchable.")] = False,
    allow_duplicate: Annotated[bool, typer.Option(help="Take a file even if the tenant has it.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Upload videos. Interrupted, the same command goes on where it was."""
    files = collect(paths)
    worst = 0
    with Client(home=home) as client:
        for file in files:
            try:
                code = _one(client, file, watch=watch, allow_duplicate=allow_duplicate, json=json)
            except (HeimdexError, OSError) as error:
                code = exit_code(error) or 1
                if json:
                    output.emit_json({"type": "upload", "file_name": file.name, "error": {"message": explain(error)}})
                else:
                    name = "heimdex" if isinstance(error, OSError) else file.name  # which says itself of what it is
                    typer.echo(f"{name}: {explain(error)}", err=True)
            worst = max(worst, code)
    if worst:
        raise typer.Exit(worst)


def collect(paths: Sequence[Path]) -> list[Path]:
    """Return the files of ``paths``, also those that are not there; of a folder those with a video's suffix, by name.

    Raises: Usage for none.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            files.append(path)
    if not files:
        raise Usage(f"no videos ({', '.join(sorted(SUFFIXES))}) in {', '.join(map(str, paths))}")
    return files


def _one(client: Client, file: Path, *, watch: bool, allow_duplicate: bool, json: bool) -> int:
    with bars(quiet=json) as bar:
        done = send(client, file, bar, allow_duplicate=allow_duplicate)
        video = follow(client, done.video_id, bar) if watch else client.get_video(done.video_id)
    if json:
        output.emit_json(
            {
                "type": "upload",
                "file_name": video.file_name,
                "video_id": video.video_id,
                "already_there": done.already_there,
                "state": output.state_name(video.state),
                "error": error_json(video),
            }
        )
    else:
        output.console.print(sentence(video, " (already there)" if done.already_there else ""), markup=False)
    return EXIT_VIDEO_FAILED if video.state == video_pb2.VIDEO_STATE_FAILED else 0


def sentence(video: video_pb2.Video, note: str = "") -> str:
    """Return how a video stands: what it is without and why it failed; ``note`` follows the state."""
    why = f": {video.error.message}" if video.error.message else ""
    degraded = output.join((output.stage_name(s) for s in video.degraded_stages), limit=12)
    without = f" (without {degraded})" if degraded else ""
    return f"{video.file_name} {video.video_id} {output.state_name(video.state)}{note}{without}{why}"


class Bars(Protocol):
    """Progress of named things."""

    def add(self, name: str) -> int:
        """Begin a bar."""

    def set(self, bar: int, share: float) -> None:
        """Move a bar to a share in [0, 1]."""

    def end(self, bar: int, note: str) -> None:
        """Fill a bar and say how it ended."""


def send(client: Client, file: Path, bar: Bars, *, allow_duplicate: bool = False) -> Uploaded:
    """Upload a file under a bar."""
    sending = bar.add(f"upload {file.name}")
    done = client.upload(
        file,
        allow_duplicate=allow_duplicate,
        progress=lambda sent, total: bar.set(sending, sent / total if total else 1.0),
    )
    bar.end(sending, "already there" if done.already_there else "sent")
    return done


def follow(client: Client, video_id: str, bar: Bars) -> video_pb2.Video:
    """Show a bar a stage until the video is in a final state; return it."""
    shown: dict[int, int] = {}
    ended: set[int] = set()
    video = video_pb2.Video(video_id=video_id)
    for video in client.watch_video(video_id):  # the last one is the answer
        for stage in video.stages:
            if stage.state == video_pb2.STAGE_STATE_PENDING or stage.stage in ended:
                continue
            if stage.stage not in shown:
                shown[stage.stage] = bar.add(output.stage_name(stage.stage))
            if stage.state == video_pb2.STAGE_STATE_ENDED:
                ended.add(stage.stage)
                bar.end(shown[stage.stage], describe(stage))
            else:
                bar.set(shown[stage.stage], stage.progress)
    return video


def describe(stage: video_pb2.StageStatus) -> str:
    """Return how a stage ended, with its seconds."""
    note = output.outcome_name(stage.outcome)
    if stage.outcome in (common_pb2.OUTCOME_REJECTED, common_pb2.OUTCOME_FAILED) and stage.error.message:
        note += f": {stage.error.message}"
    return f"{note}  {output.seconds(stage.elapsed):.1f} s"


class _RichBars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def add(self, name: str) -> int:
        return int(self._progress.add_task(name, total=1.0, note=""))

    def set(self, bar: int, share: float) -> None:
        self._progress.update(TaskID(bar), completed=share)

    def end(self, bar: int, note: str) -> None:
        self._progress.update(TaskID(bar), completed=1.0, note=note)


class _PlainBars:
    """For pipes and logs: one line where a thing ends."""

    def __init__(self, *, quiet: bool) -> None:
        self._names: list[str] = []
        self._quiet = quiet

    def add(self, name: str) -> int:
        self._names.append(name)
        return len(self._names) - 1

    def set(self, bar: int, share: float) -> None:
        pass

    def end(self, bar: int, note: str) -> None:
        if not self._quiet:
            output.console.print(f"  {output.padded(self._names[bar], _NAME_COLUMNS)} {note}", markup=False)


@contextmanager
def bars(*, quiet: bool = False) -> Iterator[Bars]:
    """Yield live bars on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet or not output.console.is_terminal:
        yield _PlainBars(quiet=quiet)
        return
    columns = (
        TextColumn(
            "  {task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", max_width=_MAX_NAME_COLUMNS),
        ),
        BarColumn(bar_width=None),  # what the others leave
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=output.console, expand=True) as progress:
        yield _RichBars(progress)
