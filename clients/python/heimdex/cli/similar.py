"""Similar verb: a scene -> scenes that say or show the same, shown as those of a search."""

from __future__ import annotations

from typing import Annotated

import typer

from heimdex.cli.library import Home, Json
from heimdex.cli.search import Weights, emit, parsed_weights, print_hits
from heimdex.client import Client
from heimdex.search.v1 import search_service_pb2 as pb


def similar(
    scene_id: Annotated[str, typer.Argument()],
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many hits.")] = 20,
    weights: Weights = "",
    same_video: Annotated[bool, typer.Option("--same-video", help="Scenes of the same video too.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Find scenes that say or show what a scene does."""
    own_weights = parsed_weights(weights)
    with Client(home=home) as client:
        found = client.similar(scene_id, limit=limit, include_same_video=same_video, weights=own_weights)
    done = pb.SearchScenesResponse(kind=pb.FRAME_KIND_DONE, hits=found.hits, summary=found.summary)
    if json:
        emit("", done)
        return
    print_hits(done)
