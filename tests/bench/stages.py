"""Stages: a file -> its video, the time from the first byte sent to searchable, and what each stage took of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from heimdex.cli.output import stage_name
from heimdex.client import Client
from heimdex.video.v1 import video_pb2
from tests.bench.report import table
from tests.stack import finished, outcomes


@dataclass(frozen=True, slots=True)
class Ingested:
    """A video in its final state, and the seconds from the call of ``upload`` until that was seen."""

    video: video_pb2.Video
    upload_s: float
    seconds: float

    def outcomes(self) -> dict[str, str]:
        """Return stage noun -> outcome."""
        return outcomes(self.video)


def ingest_timed(client: Client, path: Path, *, again: bool = False) -> Ingested:
    """Upload a file and wait until its video is in a final state; ``again`` for content that is there already."""
    begin = time.perf_counter()
    video_id = client.upload(path, allow_duplicate=again).video_id
    sent = time.perf_counter()
    video = finished(client, video_id)
    return Ingested(video, sent - begin, time.perf_counter() - begin)


def show(title: str, ingested: Ingested) -> None:
    """Print what each stage took; stages run beside each other, so the shares are of their sum."""
    spent = {stage_name(s.stage): s.elapsed.ToMilliseconds() / 1000 for s in ingested.video.stages}
    total_s = sum(spent.values())
    said = ingested.outcomes()
    table(
        f"{title}: {ingested.seconds:.1f} s end to end (upload {ingested.upload_s:.1f} s)",
        ("stage", "outcome", "s", "share"),
        [(noun, said.get(noun, "-"), s, f"{s / total_s:.0%}") for noun, s in spent.items()],
    )
