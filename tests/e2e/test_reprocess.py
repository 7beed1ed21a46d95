"""A video is processed again: what is new is found in it, and it stays findable all the while."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.demo.film import Shot, make
from heimdex.client import Client, FailedPrecondition
from heimdex.video.v1 import video_pb2
from tests.stack import Stack, eventually, ingest, outcomes, search

pytestmark = pytest.mark.e2e


def test_faces_are_found_in_a_video_from_before_they_were_enabled(  # noqa: PLR0917  # fixtures
    stack: Stack, client: Client, tenant: str, pictures: Path, portraits: dict[str, Path], tmp_path: Path
) -> None:
    film = tmp_path / "일찍.mp4"
    make(film, (Shot(portraits["obama"], 3), Shot(pictures / "chelsea.png", 3)))
    video = ingest(client, film)
    assert outcomes(video)["faces"] == "disabled"
    stack.enable_faces(tenant)
    client.enrol_person("오바마", [portraits["obama2"], portraits["obama3"]])
    scenes = [scene.scene_id for scene in client.list_scenes(video.video_id)]

    begun = client.reprocess_video(video.video_id)
    assert (begun.state, begun.revision, begun.searchable_revision) == (video_pb2.VIDEO_STATE_VALIDATING, 2, 1)
    with pytest.raises(FailedPrecondition):
        client.reprocess_video(video.video_id)
    for told in client.watch_video(begun.video_id):
        video = told
        assert search(client, "고양이").hits, "it is searchable all the while"
    assert (video.state, video.revision, video.searchable_revision) == (video_pb2.VIDEO_STATE_INDEXED, 2, 2)
    assert outcomes(video)["faces"] == "ok"
    assert [scene.scene_id for scene in client.list_scenes(video.video_id)] == scenes, "the same cuts"
    eventually(lambda: search(client, "오바마").hits, "he is found", timeout_s=60)
    assert search(client, "오바마").hits[0].scene.scene_id == scenes[0]
    assert len(search(client, "고양이").hits) == 1, "no scene is there twice"
