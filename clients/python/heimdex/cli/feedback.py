"""Feedback verb: what became of an answer -> an event for analysts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from heimdex.cli.library import Home
from heimdex.client import Client
from heimdex.search.v1 import search_service_pb2 as pb


class Kind(StrEnum):
    """What became of a hit, or of the whole answer; names are those of ``heimdex.search.v1.FeedbackKind``."""

    OPENED = "opened"
    PLAYED = "played"
    RELEVANT = "relevant"
    IRRELEVANT = "irrelevant"
    NOT_FOUND = "not-found"


def feedback(
    query_id: Annotated[str, typer.Argument(help="Of the answer: see the summary of `heimdex search --json`.")],
    kind: Annotated[Kind, typer.Argument(help="What became of it; not-found is of the whole answer.")],
    *,
    scene: Annotated[str, typer.Option(help="Id of the scene.")] = "",
    rank: Annotated[int, typer.Option(min=0, max=200, help="Its place in the answer; 0 when unknown.")] = 0,
    home: Home = None,
) -> None:
    """Tell what became of an answer, for analysts."""
    with Client(home=home) as client:
        value = pb.FeedbackKind.Value(f"FEEDBACK_KIND_{kind.name}")
        client.record_feedback(query_id, value, scene_id=scene, rank=rank)
