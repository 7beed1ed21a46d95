"""Ten minutes: how long the longest video that is taken by default needs."""

from __future__ import annotations

import pytest

from heimdex.client import Client
from heimdex.video.v1 import video_pb2
from tests.bench.film import Film
from tests.bench.stages import ingest_timed, show
from tests.stack import Stack

pytestmark = pytest.mark.bench

_SECONDS = 600.0


def test_ten_minutes_end_to_end(stack: Stack, client: Client, tenant: str, film: Film) -> None:
    ingested = ingest_timed(stack, client, tenant, film.of(_SECONDS))
    show(f"ingest of {_SECONDS:.0f} s", ingested)
    assert ingested.video.state == video_pb2.VIDEO_STATE_INDEXED, ingested.video.error.message
    assert set(ingested.outcomes().values()) == {"ok"}
