"""The ``heimdex`` command: arguments -> verbs; operator verbs come from ``heimdex.commands`` entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated

import typer

from heimdex.cli import (
    feedback,
    generations,
    library,
    people,
    reprocess,
    search,
    similar,
    suggest,
    upload,
    vocabulary,
)
from heimdex.cli.failure import EXIT_USAGE, exit_code, explain
from heimdex.cli.library import Home
from heimdex.cli.query import QueryCommand

INTERRUPTED = 130
OPERATOR_VERBS = ("up", "down", "status", "logs", "doctor", "migrate", "token", "tenant", "demo", "eval")

app = typer.Typer(
    name="heimdex",
    help="Heimdex makes video findable: upload videos, search their scenes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    home: Home = None,
) -> None:
    """Pick a stack for every verb that follows."""
    if home is not None:
        os.environ["HEIMDEX_HOME"] = str(home)
        for name in ("HEIMDEX_ENDPOINT", "HEIMDEX_TOKEN", "HEIMDEX_INSECURE"):  # of another stack
            os.environ.pop(name, None)


app.command("upload")(upload.upload)
app.command("videos")(library.videos)
app.command("scenes")(library.scenes)
app.command("scene")(library.scene)
app.command("reprocess")(reprocess.reprocess)
app.command("delete")(library.delete)
app.command("search", cls=QueryCommand)(search.search)
app.command("similar")(similar.similar)
app.command("suggest")(suggest.suggest)
app.command("feedback")(feedback.feedback)
app.add_typer(people.app, name="people")
app.add_typer(vocabulary.app, name="vocabulary")
app.add_typer(generations.app, name="generations")


@cache
def _register_operator_verbs() -> None:
    plugins = list(entry_points(group="heimdex.commands"))
    for plugin in plugins:
        plugin.load()(app)
    if not plugins:
        for verb in OPERATOR_VERBS:
            app.command(verb, hidden=True, context_settings={"ignore_unknown_options": True})(_missing(verb))


def _missing(verb: str) -> Callable[..., None]:
    def missing(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:  # noqa: ARG001  # any
        typer.echo(f"heimdex {verb} runs a stack: install the package heimdex-server beside this one", err=True)
        raise typer.Exit(EXIT_USAGE)

    return missing


def main() -> None:
    """Run the command; every failure ends in one line and its exit code."""
    _register_operator_verbs()
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer's for Ctrl-C
            typer.echo("\nstopped; run the same command again to go on", err=True)
        raise
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        typer.echo(f"heimdex: {explain(error)}", err=True)
        sys.exit(code)
