"""Kill -9 and SIGTERM of any one process in mid-stage: the video still ends indexed, each scene once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from deploy.demo.film import Shot, make
from heimdex.client import Client
from heimdex.common.v1 import common_pb2
from heimdex.video.v1 import video_pb2
from tests.e2e.conftest import SPEECH
from tests.stack import Stack, eventually, finished, search

pytestmark = pytest.mark.chaos

_CASES = (
    ("light", common_pb2.STAGE_SCENES, signal.SIGKILL),
    ("light", common_pb2.STAGE_FRAMES, signal.SIGTERM),
    ("asr", common_pb2.STAGE_ASR, signal.SIGKILL),
    ("asr", common_pb2.STAGE_ASR, signal.SIGTERM),
    ("embeddings", common_pb2.STAGE_EMBEDDINGS, signal.SIGKILL),
    ("vision", common_pb2.STAGE_VISION, signal.SIGKILL),
    ("affect", common_pb2.STAGE_AFFECT, signal.SIGKILL),
    ("faces", common_pb2.STAGE_FACES, signal.SIGKILL),
    ("commit", common_pb2.STAGE_COMMIT, signal.SIGKILL),
    ("control", common_pb2.STAGE_VISION, signal.SIGKILL),
    ("kafka", common_pb2.STAGE_ASR, signal.SIGKILL),
    ("gateway", common_pb2.STAGE_ASR, signal.SIGKILL),
)


def _film(path: Path, pictures: Path, turn: int) -> Path:
    """A film of four scenes whose content is new in every case, so that no work is found done."""
    seconds = 2.0 + turn * 0.04
    make(
        path,
        (
            Shot(pictures / "chelsea.png", seconds + 2, (SPEECH / "speech-en-cat.ogg",)),
            Shot(pictures / "coffee.png", seconds),
            Shot(pictures / "astronaut.png", seconds),
            Shot(pictures / "rocket.jpg", seconds + 3, (SPEECH / "speech-en-moon.ogg",)),
        ),
    )
    return path


@pytest.mark.parametrize(("process", "stage", "how"), _CASES, ids=lambda v: getattr(v, "name", str(v)))
def test_video_ends_indexed_once(  # noqa: PLR0917  # fixtures
    stack: Stack, client: Client, tenant: str, pictures: Path, tmp_path: Path, process: str,
    stage: common_pb2.Stage.ValueType, how: signal.Signals,
) -> None:  # fmt: skip
    stack.enable_faces(tenant)
    film = _film(tmp_path / "film.mp4", pictures, time.time_ns() % 40)
    video_id = client.upload(film).video_id
    _wait_for_stage(client, video_id, stage)
    old = stack.kill(process, how)
    stack.wait_restarted(process, old)
    video = finished(client, video_id, timeout_s=300)
    assert video.state == video_pb2.VIDEO_STATE_INDEXED, video.error.message
    assert not video.degraded_stages
    _each_scene_once(stack, client, tenant, video)


def _wait_for_stage(client: Client, video_id: str, stage: common_pb2.Stage.ValueType) -> None:
    """Return as soon as the stage is at work (or, when it was too quick, has ended)."""
    begun = (video_pb2.STAGE_STATE_RUNNING, video_pb2.STAGE_STATE_ENDED)

    def check() -> bool:
        return any(s.stage == stage and s.state in begun for s in client.get_video(video_id).stages)

    eventually(check, "the stage begins", timeout_s=180, every_s=0.02)


def _each_scene_once(stack: Stack, client: Client, tenant: str, video: video_pb2.Video) -> None:
    from tests.e2e.stores import leftovers

    scenes = list(client.list_scenes(video.video_id))
    assert len(scenes) == video.scene_count == 4
    assert len({s.scene_id for s in scenes}) == 4
    assert leftovers(stack, tenant, video.video_id)["opensearch"] == 4
    hits = search(client, "고양이").hits
    assert len({h.scene.scene_id for h in hits}) == len(hits)
