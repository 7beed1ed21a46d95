"""Videos of the command line: which one a file name means."""

from __future__ import annotations

from typing import Self, cast

import pytest
from typer.testing import CliRunner

from heimdex.cli import library
from heimdex.cli.main import app
from heimdex.client import Client
from heimdex.video.v1.video_pb2 import Video


class Listed:
    """A client that knows some videos, newest first."""

    def list_videos(self) -> list[Video]:
        return [
            Video(video_id="vid_open", file_name="talk.mp4"),
            Video(video_id="vid_new", file_name="talk.mp4", searchable_revision=1),
            Video(video_id="vid_old", file_name="talk.mp4", searchable_revision=2),
            Video(video_id="vid_coming", file_name="walk.mp4"),
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def delete_video(self, video_id: str) -> Video:
        raise AssertionError(video_id)


def test_it_is_one_that_can_be_searched_though_another_was_begun_since() -> None:
    client = cast("Client", Listed())
    assert library.find_video(client, "talk.mp4") == "vid_new"
    assert library.find_video(client, "walk.mp4") == "vid_coming"
    assert library.find_video(client, "vid_old") == "vid_old"


def test_of_several_none_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "Client", lambda **_: Listed())
    result = CliRunner().invoke(app, ["delete", "talk.mp4"])
    assert "vid_new, vid_old, vid_open" in str(result.exception)
