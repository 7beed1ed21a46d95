"""Reprocess verb: a video that has ended -> another revision of it, with what is deployed and enabled now."""

from __future__ import annotations

from typing import Annotated

import typer

from heimdex.cli import output
from heimdex.cli.failure import EXIT_VIDEO_FAILED
from heimdex.cli.library import Home, Json, only_video, video_json
from heimdex.cli.upload import bars, follow, sentence
from heimdex.client import Client
from heimdex.video.v1 import video_pb2


def reprocess(
    video: Annotated[str, typer.Argument(help="Id or file name.")],
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until it has ended.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Process a video again: what failed, and what has changed since (models, settings, faces switched on)."""
    with Client(home=home) as client:
        begun = client.reprocess_video(only_video(client, video))
        if watch:
            with bars(quiet=json) as bar:
                begun = follow(client, begun.video_id, bar)
    if json:
        output.emit_json(video_json(begun))
    else:
        output.console.print(sentence(begun), markup=False)
    if begun.state == video_pb2.VIDEO_STATE_FAILED:
        raise typer.Exit(EXIT_VIDEO_FAILED)
