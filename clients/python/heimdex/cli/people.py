"""People verbs: list, add, remove."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Annotated

import grpc
import typer

from heimdex.cli import output
from heimdex.cli.failure import Usage
from heimdex.cli.library import Home, Json
from heimdex.client import Client, NotFound
from heimdex.people.v1 import people_service_pb2 as people_pb2

app = typer.Typer(help="People whose scenes are found by name.", invoke_without_command=True, rich_markup_mode=None)


def _verdict(photo: people_pb2.EnrolledPhoto) -> str:
    name = people_pb2.PhotoVerdict.Name(photo.verdict).removeprefix("PHOTO_VERDICT_")
    return name.lower().replace("_", " ")


def _json(person: people_pb2.Person) -> dict[str, object]:
    return {
        "type": "person",
        "person_id": person.person_id,
        "display_name": person.display_name,
        "aliases": list(person.aliases),
        "scene_count": person.scene_count,
        "matched": person.matched,
        "photos": [{"file_name": p.file_name, "verdict": _verdict(p)} for p in person.photos],
    }


@app.callback()
def people(context: typer.Context, *, json: Json = False, home: Home = None) -> None:
    """List the enrolled people (without a verb)."""
    if context.invoked_subcommand:
        return
    shown = output.table("person", "name", "scenes", "photos")
    with Client(home=home) as client:
        for person in client.list_people():
            if json:
                output.emit_json(_json(person))
            else:
                output.add_row(
                    shown,
                    person.person_id,
                    ", ".join((person.display_name, *person.aliases)),
                    str(person.scene_count) if person.matched else f"{person.scene_count} (still looking)",
                    str(sum(p.verdict == people_pb2.PHOTO_VERDICT_ACCEPTED for p in person.photos)),
                )
    if not json:
        output.console.print(shown if shown.rows else "nobody yet: heimdex people add NAME PHOTO…")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name to search by.")],
    photos: Annotated[list[Path], typer.Argument(help="Photos with this one face.")],
    *,
    alias: Annotated[list[str] | None, typer.Option(help="Another name; may be repeated.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Enrol somebody by photos; earlier and later videos are looked through."""
    with Client(home=home) as client:
        person = client.enrol_person(name, photos, aliases=alias or [])
    if json:
        output.emit_json(_json(person))
        return
    output.console.print(f"{person.display_name} {person.person_id}", markup=False)
    for photo in person.photos:
        output.console.print(f"  {photo.file_name}: {_verdict(photo)}", markup=False)


@app.command()
def remove(name: Annotated[str, typer.Argument(help="Id or name.")], *, home: Home = None) -> None:
    """Erase somebody: photos, vectors and matches."""
    with Client(home=home) as client:
        person_id = find_person(client, name)
        client.delete_person(person_id)
    output.console.print(f"{person_id} erased")


def find_people(client: Client, name: str) -> list[str]:
    """Return the ids of everybody of that id, name or alias, written as a query may write it. Raises NotFound."""
    if name.startswith("per_"):
        return [client.get_person(name).person_id]
    found = [p.person_id for p in client.list_people() if _folded(name) in map(_folded, (p.display_name, *p.aliases))]
    if not found:
        raise NotFound(grpc.StatusCode.NOT_FOUND, f"nobody called {name!r}", reason="NOT_FOUND")
    return found


def find_person(client: Client, name: str) -> str:
    """Return the id of the only one of that id, name or alias. Raises NotFound; Usage when there are several."""
    person_id, *others = find_people(client, name)
    if others:
        raise Usage(f"several people are called {name!r}, give an id: {', '.join((person_id, *others))}")
    return person_id


def _folded(name: str) -> str:
    """Return a name without case, and without the spaces between parts of a Korean one."""
    return re.sub(r"(?<=[가-힣]) (?=[가-힣])", "", " ".join(unicodedata.normalize("NFC", name).casefold().split()))
