"""Suggest verb: what is being typed -> people, tags and words that it may become."""

from __future__ import annotations

from typing import Annotated

import typer

from heimdex.cli import output
from heimdex.cli.library import Home, Json
from heimdex.client import Client
from heimdex.search.v1 import search_service_pb2 as pb


def suggest(
    text: Annotated[str, typer.Argument(help="What has been typed so far: 김치ㅉ, ㄱㅊㅉㄱ, rlacl.")],
    *,
    limit: Annotated[int, typer.Option(min=0, max=20, help="At most so many, up to 20.")] = 8,
    json: Json = False,
    home: Home = None,
) -> None:
    """Complete what is being typed: people, tags and words that are said."""
    with Client(home=home) as client:
        suggestions = client.suggest(text, page_size=limit)
    if json:
        for each in suggestions:
            output.emit_json({"text": each.text, "kind": _kind(each), "scene_count": each.scene_count})
        return
    shown = output.table("", "is", "scenes")
    for each in suggestions:
        output.add_row(shown, each.text, _kind(each), str(each.scene_count))
    output.console.print(shown if suggestions else "nothing goes on like that")


def _kind(suggestion: pb.Suggestion) -> str:
    """Return ``word`` for ``SUGGESTION_KIND_WORD``."""
    return pb.SuggestionKind.Name(suggestion.kind).removeprefix("SUGGESTION_KIND_").lower()
