"""Generations verbs: list, promote, drop: which index of the library searches read."""

from __future__ import annotations

from typing import Annotated

import typer

from heimdex.admin.v1 import admin_service_pb2 as pb
from heimdex.cli import output
from heimdex.cli.library import Home, Json
from heimdex.client import Client

app = typer.Typer(
    help="Indices of the library, one of which serves (needs the role admin).",
    invoke_without_command=True,
    rich_markup_mode=None,
)
Number = Annotated[int, typer.Argument(min=1, help="Of the generation.", metavar="N")]


@app.callback()
def generations(context: typer.Context, *, json: Json = False, home: Home = None) -> None:
    """List the generations (without a verb)."""
    if context.invoked_subcommand:
        return
    with Client(home=home) as client:
        found = client.list_generations()
    shown = output.table("generation", "state", "videos", "asked for by", "", whole=4)
    for each in found:
        if json:
            output.emit_json(generation_json(each))
        else:
            output.add_row(shown, str(each.generation), state_name(each), videos(each), each.created_by, _note(each))
    if not json:
        output.console.print(shown)


@app.command()
def promote(number: Number, *, json: Json = False, home: Home = None) -> None:
    """Have searches read a generation that is built; the one before stays, to go back to."""
    with Client(home=home) as client:
        show(client.promote_generation(number), json=json)


@app.command()
def drop(number: Number, *, home: Home = None) -> None:
    """Give up a generation that does not serve, also one that is being built."""
    with Client(home=home) as client:
        client.drop_generation(number)
    output.console.print(f"generation {number} is dropped")


def show(generation: pb.Generation, *, json: bool) -> None:
    """Print one generation."""
    if json:
        output.emit_json(generation_json(generation))
        return
    note = " ".join(filter(None, (videos(generation), _note(generation))))
    output.console.print(f"generation {generation.generation} {state_name(generation)} {note}".rstrip(), markup=False)


def state_name(generation: pb.Generation) -> str:
    """Return ``ready`` for ``GENERATION_STATE_READY``."""
    return pb.GenerationState.Name(generation.state).removeprefix("GENERATION_STATE_").lower()


def videos(generation: pb.Generation) -> str:
    """Return how many videos are in it, of how many; empty for one that was not built out of another."""
    return f"{generation.videos_done}/{generation.videos_total}" if generation.videos_total else ""


def _note(generation: pb.Generation) -> str:
    if generation.state == pb.GENERATION_STATE_READY:
        return f"next: heimdex generations promote {generation.generation}"
    return generation.error.message


def generation_json(generation: pb.Generation) -> dict[str, object]:
    """Return a generation for programs."""
    return {
        "type": "generation",
        "generation": generation.generation,
        "state": state_name(generation),
        "videos_done": generation.videos_done,
        "videos_total": generation.videos_total,
        "promote_when_ready": generation.promote_when_ready,
        "created_by": generation.created_by,
        "create_time": generation.create_time.ToJsonString() if generation.HasField("create_time") else None,
        "error": generation.error.message or None,
    }
