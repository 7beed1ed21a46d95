"""Stages: a file -> its video, the time from the first byte sent to searchable, and what each stage took of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from adapters.catalog.sql import SqlCatalog
from contracts.catalog import Video
from heimdex.cli.output import stage_name
from heimdex.client import Client
from heimdex.video.v1 import video_pb2
from tests.bench.report import table
from tests.stack import Stack, finished, outcomes


@dataclass(frozen=True, slots=True)
class Ingested:
    """A video in its final state.

    Attributes:
        upload_s: seconds of the call of ``upload``, which reads the file twice: for its digest and to send it.
        seconds: from the begin of that call until the final state was seen.
        spans_s: stage noun -> when it began and ended, seconds from that begin, by the catalogue.
    """

    video: video_pb2.Video
    upload_s: float
    seconds: float
    spans_s: dict[str, tuple[float, float]]

    def outcomes(self) -> dict[str, str]:
        """Return stage noun -> outcome."""
        return outcomes(self.video)


def ingest_timed(stack: Stack, client: Client, tenant: str, path: Path, *, again: bool = False) -> Ingested:
    """Upload a file and wait until its video is in a final state; ``again`` for content that is there already."""
    begin, begin_s = time.perf_counter(), time.time()
    video_id = client.upload(path, allow_duplicate=again).video_id
    sent = time.perf_counter()
    video = finished(client, video_id)
    seconds = time.perf_counter() - begin
    runs = asyncio.run(_video(stack, tenant, video_id)).stages
    spans_s = {run.stage: (run.start_ms / 1000 - begin_s, run.end_ms / 1000 - begin_s) for run in runs}
    return Ingested(video, sent - begin, seconds, spans_s)


def show(title: str, ingested: Ingested) -> None:
    """Print what each stage took; stages run beside each other, so the shares are of their sum."""
    spent = {stage_name(s.stage): s.elapsed.ToMilliseconds() / 1000 for s in ingested.video.stages}
    total_s = sum(spent.values())
    said = ingested.outcomes()
    table(
        f"{title}: {ingested.seconds:.1f} s end to end (upload {ingested.upload_s:.1f} s)",
        ("stage", "outcome", "from s", "to s", "took s", "share"),
        [(noun, said.get(noun, "-"), *ingested.spans_s[noun], s, f"{s / total_s:.0%}") for noun, s in spent.items()],
    )


async def _video(stack: Stack, tenant: str, video_id: str) -> Video:
    async with SqlCatalog(stack.environment()["HEIMDEX_CATALOG"]) as catalog:
        return await catalog.get_video(tenant, video_id)
