"""Evaluation verb: a folder of scenes and queries -> a table of how well each channel and the whole find."""

from __future__ import annotations

import json
import signal
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from deploy.local.commands import HomeOption
from deploy.local.failure import DeployError

if TYPE_CHECKING:
    from deploy.evaluation.run import Place
    from indexer.evaluation.folder import Collection

_EXIT_USAGE: Final = 2
_EXIT_UNAVAILABLE: Final = 5
_EXIT_INTERRUPTED: Final = 128 + signal.SIGINT  # as shells have it
_EXIT_TERMINATED: Final = 128 + signal.SIGTERM
_THREADS: Final = 2

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("eval")(evaluate)


def evaluate(  # noqa: PLR0917 -- typer makes each parameter an option
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="corpus.jsonl, queries.jsonl and qrels/test.tsv, as BEIR has them."),
    ] = None,
    home: HomeOption = None,
    profile: Annotated[str | None, typer.Option(help="Models that read it. [the home's]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, on one line.")] = False,  # noqa: FBT002
    fit: Annotated[bool, typer.Option("--fit", help="Fit the ranking's scales instead.")] = False,  # noqa: FBT002
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="BEFORE AFTER", help="Compare two reports of --json instead.")
    ] = None,
) -> None:
    """Say how well the search of a running home finds what it should, channel by channel.

    The folder is indexed into an index and collections of its own on the home's servers, and removed again. With
    --fit, say what the scales of confidence would be on it, for a ranking file.
    """
    from contracts.errors import HeimdexError, InvalidRequest

    if (folder is None) == (compare is None):
        raise typer.BadParameter("name a folder, or two reports with --compare", param_hint="DIR")
    if fit and compare is not None:
        raise typer.BadParameter("fits a folder, and two reports are none", param_hint="--fit")
    try:
        if compare is not None:
            _print_changes(*compare, as_json=as_json)
        elif folder is not None and fit:
            typer.echo(json.dumps(_fitted(folder, home, profile), ensure_ascii=False, indent=None if as_json else 2))
        elif folder is not None:
            _print_report(_evaluated(folder, home, profile), as_json=as_json)
    except InvalidRequest as error:
        typer.echo(f"heimdex: {error}", err=True)
        raise typer.Exit(_EXIT_USAGE) from error
    except (DeployError, HeimdexError) as error:
        typer.echo(f"heimdex: {error}", err=True)
        raise typer.Exit(_EXIT_UNAVAILABLE) from error


def _evaluated(folder: Path, home: Path | None, profile: str | None) -> dict[str, Any]:
    from deploy.evaluation.run import run
    from indexer.evaluation.folder import read
    from indexer.evaluation.report import report

    collection, place = read(folder), _place(home, profile)
    judged = _finished(run(collection, place, lambda line: typer.echo(line, err=True)))
    return report(_about(collection, place), judged)


def _fitted(folder: Path, home: Path | None, profile: str | None) -> dict[str, Any]:
    """Return the scales under the names of a ranking file, each with what it makes of the folder."""
    from dataclasses import asdict

    from deploy.evaluation.run import fit
    from indexer.evaluation.folder import read

    collection, place = read(folder), _place(home, profile)
    found = _finished(fit(collection, place, lambda line: typer.echo(line, err=True)))
    return {**_about(collection, place), **asdict(found)}


def _finished(work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` makes. Stopped, by whichever signal, it removes what it has written."""
    import asyncio

    async def until_told() -> T:
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    try:
        return asyncio.run(until_told())
    except asyncio.CancelledError:
        raise typer.Exit(_EXIT_TERMINATED) from None
    except KeyboardInterrupt:
        raise typer.Exit(_EXIT_INTERRUPTED) from None


def _place(home: Path | None, profile: str | None) -> Place:
    from adapters.models import profiles
    from adapters.models.settings import ModelSettings
    from deploy.evaluation.run import Place
    from deploy.local.environment import environment
    from deploy.local.home import home_at, require_config
    from deploy.local.provision import cache_folder

    chosen = home_at(home)
    config = require_config(chosen)
    values = environment(chosen, config, cache_folder() / "models")
    name = profile or config.profile
    if name not in profiles.PROFILES:
        raise typer.BadParameter(f"is one of {', '.join(profiles.PROFILES)}", param_hint="--profile")
    return Place(
        opensearch=values["HEIMDEX_OPENSEARCH"],
        milvus_text=values["HEIMDEX_MILVUS_TEXT"],
        milvus_vision=values["HEIMDEX_MILVUS_VISION"],
        profile=name,
        models=ModelSettings(
            models_dir=Path(values["HEIMDEX_MODELS_DIR"]),
            threads=_THREADS,
            device="cuda" if values.get("HEIMDEX_DEVICE") == "cuda" else "cpu",
        ),
    )


def _about(collection: Collection, place: Place) -> dict[str, Any]:
    from adapters.models import profiles
    from indexer.search.ranking import FIRST

    versions = profiles.versions(place.profile, place.models)
    return {
        "collection": collection.name,
        "scenes": len(collection.scenes),
        "profile": place.profile,
        "text_model": versions["embeddings"],
        "vision_model": versions["vision"],
        "ranking": FIRST,
    }


def _print_report(made: Mapping[str, Any], *, as_json: bool) -> None:
    from heimdex.cli.output import add_row, console, emit_json, table
    from indexer.evaluation.lists import FUSED, NAMES
    from indexer.evaluation.metrics import MEASURES

    if as_json:
        emit_json(made)
        return
    nothing = made["nothing_matches"]
    head = f"{made['collection']}: {made['scenes']} scenes, {nothing['answerable'] + nothing['unanswerable']} queries"
    console.print(f"{head}  ({made['profile']}, {made['ranking']})", markup=False)
    if made["channels"]:
        overall = table("channel", *MEASURES, "95 % of ndcg@10")
        for name in NAMES:
            means = made["channels"][name]
            low, high = means["ndcg@10_interval"]
            add_row(overall, name, *(f"{means[measure]:.3f}" for measure in MEASURES), f"{low:.3f}-{high:.3f}")
        console.print(overall)
    if made["categories"]:
        by_category = table("ndcg@10", "queries", *NAMES, "95 % of fused", "lost")
        for category, of_it in made["categories"].items():
            figures = (f"{of_it['channels'][name]['ndcg@10']:.3f}" for name in NAMES)
            low, high = of_it["channels"][FUSED]["ndcg@10_interval"]
            lost = f"{of_it['lost_rate']:.0%}"
            add_row(by_category, category, str(of_it["queries"]), *figures, f"{low:.3f}-{high:.3f}", lost)
        console.print(by_category)
    if nothing["unanswerable"]:
        right = f"{nothing['none_rate']:.1%} of {nothing['unanswerable']} queries that nothing answers find nothing"
        console.print(right, markup=False)
    if nothing["answerable"]:
        lost = f"{nothing['lost_rate']:.1%} of {nothing['answerable']} that have an answer find nothing"
        console.print(lost, markup=False)


def _print_changes(before: Path, after: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from heimdex.cli.output import add_row, console, emit_json, table
    from indexer.evaluation.report import compare

    try:
        runs = [json.loads(path.read_text(encoding="utf-8")) for path in (before, after)]
        changes = compare(*runs)
    except (OSError, ValueError) as error:
        typer.echo(f"heimdex: {before} and {after} cannot be compared: {error}", err=True)
        raise typer.Exit(_EXIT_USAGE) from error
    collections = [(run.get("collection"), run.get("scenes")) for run in runs]
    if collections[0] != collections[1]:
        said = " and ".join(f"{name} of {scenes} scenes" for name, scenes in collections)
        typer.echo(f"these are of two collections, {said}: queries of one id may be different", err=True)
    if as_json:
        emit_json({"changes": [asdict(change) for change in changes]})
        return
    shown = table("channel", "category", "queries", "before", "after", "change", "95 %", "")
    for change in changes:
        add_row(
            shown,
            change.channel,
            change.category,
            str(change.queries),
            f"{change.before:.3f}",
            f"{change.after:.3f}",
            f"{change.after - change.before:+.3f}",
            f"{change.low:+.3f} to {change.high:+.3f}",
            "certain" if change.certain else "",
        )
    console.print(shown)
