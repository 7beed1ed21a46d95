"""The SDK's wheels alone, in an empty environment, against the real stack: upload, watch, search."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deploy.demo.film import Shot, make
from heimdex.client import Client
from tests.distributions import run
from tests.stack import Stack, ingest

pytestmark = pytest.mark.e2e


def test_it_searches_from_the_command_line(  # noqa: PLR0917  # fixtures
    stack: Stack, client: Client, tenant: str, sdk_python: Path, pictures: Path, tmp_path: Path
) -> None:
    make(tmp_path / "cat.mp4", (Shot(pictures / "chelsea.png", 2),))
    video = ingest(client, tmp_path / "cat.mp4")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HEIMDEX_ENDPOINT": stack.endpoint,
        "HEIMDEX_TOKEN": stack.token(tenant),
    }
    heimdex = sdk_python.with_name("heimdex")
    done = run(heimdex, "search", "고양이", "--json", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    *hits, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [hit["video_id"] for hit in hits] == [video.video_id]
    assert (hits[0]["type"], hits[0]["file_name"], summary["type"]) == ("hit", "cat.mp4", "summary")
    assert sum(hits[0]["contributions"].values()) == pytest.approx(hits[0]["score"], abs=1e-4)
    again = run(heimdex, "upload", tmp_path / "cat.mp4", "--watch", cwd=tmp_path, env=environment)
    assert again.returncode == 0, again.stderr
    assert "already there" in again.stdout
