"""Vocabulary verbs: show, set: the deployment's own words, as files with a word or a group a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from heimdex.admin.v1 import admin_service_pb2 as pb
from heimdex.cli import generations, output
from heimdex.cli.failure import EXIT_USAGE, Usage
from heimdex.cli.library import Home, Json
from heimdex.client import Client, InvalidArgument

app = typer.Typer(
    help="Words and synonyms of the deployment's own (needs the role admin).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_PLACE = re.compile(r"vocabulary\.(dictionary|synonyms)\[(\d+)\](\.words(\[\d+\])?)?")
_COMMENT = "#"


@dataclass(frozen=True, slots=True)
class _File:
    """Lines of a file but for empty ones and comments, with their numbers from 1."""

    path: Path
    numbers: Sequence[int]
    lines: Sequence[str]


@app.command()
def show(
    *,
    generation: Annotated[int | None, typer.Option(min=1, help="Of this one; else of the one that serves.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show the words that a generation has beside the committed ones."""
    with Client(home=home) as client:
        found = client.get_generation(generation or 0)
    words = found.vocabulary
    if json:
        said = {"dictionary": list(words.dictionary), "synonyms": [list(group.words) for group in words.synonyms]}
        output.emit_json({"type": "vocabulary", "generation": found.generation, **said})
        return
    output.console.print(f"# generation {found.generation} ({generations.state_name(found)})")
    for title, lines in (
        ("dictionary", words.dictionary),
        ("synonyms", [", ".join(group.words) for group in words.synonyms]),
    ):
        output.console.print(f"# {title}: {len(lines)}")
        for line in lines:
            output.console.print(line, markup=False)


@app.command("set")
def set_(
    *,
    dictionary: Annotated[
        Path | None, typer.Option(help="File with a word a line; a compound is followed by its parts.")
    ] = None,
    synonyms: Annotated[Path | None, typer.Option(help="File with a group a line, its words parted by commas.")] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Have searches use them as soon as they are built.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show how it goes, to the end.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Build a generation with these words; a file that is not given leaves its words as they are, an empty one none.

    Searches go on meanwhile, and use the old words until the generation is promoted.
    """
    if dictionary is None and synonyms is None:
        raise Usage("say what to set: --dictionary FILE, --synonyms FILE")
    files = {name: _read(path) for name, path in (("dictionary", dictionary), ("synonyms", synonyms)) if path}
    with Client(home=home) as client:
        words = client.get_generation().vocabulary if len(files) == 1 else pb.Vocabulary()
        lines = files["dictionary"].lines if dictionary else words.dictionary
        groups = (
            [line.split(",") for line in files["synonyms"].lines]
            if synonyms
            else [group.words for group in words.synonyms]
        )
        try:
            made = client.create_generation(dictionary=lines, synonyms=groups, promote_when_ready=promote)
        except InvalidArgument as error:
            error.violations = tuple(
                replace(violation, field=_in_files(violation.field, files)) for violation in error.violations
            )
            raise
        for each in client.watch_generation(made.generation) if watch else [made]:
            if each.HasField("error"):
                each.error.message = _in_files(each.error.message, files)
            generations.show(each, json=json)
            made = each
    if made.state == pb.GENERATION_STATE_FAILED:
        raise typer.Exit(EXIT_USAGE)


def _read(path: Path) -> _File:
    """Return a file's lines. Raises FileNotFoundError, and Usage when it is no text."""
    try:
        texts = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is no text in UTF-8") from error
    kept = [(number, text) for number, text in enumerate(texts, 1) if text and not text.startswith(_COMMENT)]
    return _File(path, [number for number, _ in kept], [text for _, text in kept])


def _in_files(text: str, files: Mapping[str, _File]) -> str:
    """Return a text in which fields of a request are places in files: ``words.txt:7``."""

    def place(found: re.Match[str]) -> str:
        file = files.get(found[1])
        return f"{file.path}:{file.numbers[int(found[2])]}" if file else found[0]

    return _PLACE.sub(place, text)
