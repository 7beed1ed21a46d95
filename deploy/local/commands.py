"""Commands: the operator's verbs of the `heimdex` command (entry point group `heimdex.commands`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.local.failure import DeployError, NoSuchThing
from heimdex.cli.home import folder

_EXIT_NOT_FOUND: Final = 3
_EXIT_UNAVAILABLE: Final = 5
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        parser=folder,
        metavar="PATH",
        help="Folder of the stack. [$HEIMDEX_HOME, else ~/.local/share/heimdex]",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the operator's verbs to the command."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(logs)
    app.command()(doctor)
    app.command()(migrate)
    app.command()(token)
    tenant = typer.Typer(help="Settings of a tenant.", no_args_is_help=True)
    tenant.command("set")(tenant_set)
    app.add_typer(tenant, name="tenant")


def up(  # noqa: PLR0917 -- typer makes each parameter an option
    home: HomeOption = None,
    servers_only: Annotated[bool, typer.Option("--servers-only", help="Only the backing servers.")] = False,  # noqa: FBT002
    profile: Annotated[str | None, typer.Option(help="Models: fake, small or production; remembered. [small]")] = None,
    catalog: Annotated[
        str | None, typer.Option(help="URL of the catalogue, such as postgresql://…; remembered. [SQLite in the home]")
    ] = None,
    ports: Annotated[
        int | None, typer.Option(min=1024, max=65_504, help="First of 32 ports in a row for this stack.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE for all processes; remembered.")
    ] = None,
) -> None:
    """Start the stack and return when all of it is ready. Starts nothing twice."""
    from deploy.local.home import home_at
    from deploy.local.stack import Options
    from deploy.local.stack import up as bring_up

    if catalog and not re.match(r"(sqlite|postgres(ql)?)(\+\w+)?://", catalog):
        raise typer.BadParameter("is sqlite:///path or postgresql://…", param_hint="--catalog")
    chosen = home_at(home)
    with _taught():
        options = Options(
            servers_only=servers_only,
            profile=profile,
            catalog=catalog,
            first_port=ports,
            settings=_assignments(settings or []),
        )
        config = bring_up(chosen, options, typer.echo)
    if servers_only:
        typer.echo(f"servers of {chosen.root} are up")
    else:
        typer.echo(f"Heimdex answers at 127.0.0.1:{config.ports['gateway']}  (home {chosen.root})")


def down(home: HomeOption = None) -> None:
    """Stop the stack in order; its data stays."""
    from deploy.local.home import home_at
    from deploy.local.stack import down as bring_down

    with _taught():
        bring_down(home_at(home), typer.echo)


def status(home: HomeOption = None) -> None:
    """Show every process: state, pid, memory, port. Exit code 0 when all are ready."""
    from rich.console import Console
    from rich.table import Table

    from deploy.local.home import home_at
    from deploy.local.status import manager_row, rows

    with _taught():
        chosen = home_at(home)
        found = rows(chosen)
        found += manager_row(chosen, found)
    grid = Table(box=None, pad_edge=False)
    for title in ("process", "state", "pid", "memory", "port"):
        grid.add_column(title, justify="left" if title in {"process", "state"} else "right", no_wrap=True)
    grid.add_column("", no_wrap=False)
    for row in found:
        memory = f"{row.pss_bytes / 1e6:.0f} MB" if row.pid else ""
        note = row.note if row.state != "ready" else ""
        grid.add_row(row.name, row.state, str(row.pid or ""), memory, str(row.port or ""), note)
    grid.add_row("total", "", "", f"{sum(row.pss_bytes for row in found) / 1e6:.0f} MB", "", "")
    Console().print(grid)
    if any(row.state != "ready" for row in found):
        raise typer.Exit(_EXIT_UNAVAILABLE)


def logs(
    name: Annotated[str | None, typer.Argument(help="Process, as in `status`; all when left out.")] = None,
    home: HomeOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,  # noqa: FBT002
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show what the processes wrote."""
    from deploy.local import logs as log_book
    from deploy.local.home import home_at, require_config

    chosen = home_at(home)
    with _taught():
        require_config(chosen)
        paths = log_book.log_files(chosen, name)
    for path in paths:
        for line in log_book.tail(path, lines):
            typer.echo(line if name else f"{path.stem:<14} {line}")
    if follow:
        try:
            for process, line in log_book.follow(paths):
                typer.echo(line if name else f"{process:<14} {line}")
        except KeyboardInterrupt:
            return


def doctor(home: HomeOption = None) -> None:
    """Check this machine and the stack, and say what to do about what is wrong."""
    from deploy.local.doctor import examine
    from deploy.local.home import home_at

    with _taught():
        findings = examine(home_at(home))
    for finding in findings:
        told = finding.seen if finding.is_well else f"{finding.seen}; {finding.remedy}"
        typer.echo(f"{'ok ' if finding.is_well else 'BAD'} {finding.name:<18} {told}")
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(_EXIT_UNAVAILABLE)


def migrate(home: HomeOption = None) -> None:
    """Bring the catalogue to this version; `up` does it by itself."""
    from deploy.local.environment import environment
    from deploy.local.home import home_at, require_config
    from deploy.local.processes import MIGRATE
    from deploy.local.provision import cache_folder
    from deploy.local.stack import run_once

    chosen = home_at(home)
    with _taught():
        run_once(chosen, "migrate", MIGRATE, environment(chosen, require_config(chosen), cache_folder() / "models"))
    typer.echo("the catalogue is at this version")


def token(
    tenant: Annotated[str, typer.Option(help="Tenant the token is for.")],
    user: Annotated[str, typer.Option(help="User the token is for.")],
    ttl: Annotated[str, typer.Option(help="How long it is valid: a number with s, m, h or d.")] = "12h",
    admin: Annotated[bool, typer.Option("--admin", help="For who administers the deployment too.")] = False,  # noqa: FBT002
    home: HomeOption = None,
) -> None:
    """Print a token that the stack's gateway accepts."""
    from contracts.ids import MAX_SUBJECT_LENGTH, TENANT_PATTERN
    from deploy.local.home import home_at
    from deploy.local.keys import sign_token

    if not TENANT_PATTERN.fullmatch(tenant):
        raise typer.BadParameter("lower-case letters, digits and hyphens, at most 63", param_hint="--tenant")
    if not 0 < len(user) <= MAX_SUBJECT_LENGTH:
        raise typer.BadParameter(f"1 to {MAX_SUBJECT_LENGTH} characters", param_hint="--user")
    with _taught():
        typer.echo(sign_token(home_at(home), tenant=tenant, user=user, ttl_s=_duration_s(ttl), admin=admin))


def tenant_set(
    tenant: Annotated[str, typer.Argument(help="Tenant to change.")],
    faces: Annotated[str, typer.Option(help="on or off: look for people in this tenant's videos.")] = "",
    keep_queries: Annotated[str, typer.Option(help="on or off: keep what is searched for, for 30 days.")] = "",
    home: HomeOption = None,
) -> None:
    """Change what is done for a tenant. Faces are biometric, texts of queries personal data: off unless switched on
    here; off again, the texts are deleted at once.
    """
    from contracts.ids import TENANT_PATTERN

    if not TENANT_PATTERN.fullmatch(tenant):
        raise typer.BadParameter("lower-case letters, digits and hyphens, at most 63", param_hint="TENANT")
    for option, value in (("--faces", faces), ("--keep-queries", keep_queries)):
        if value not in {"", "on", "off"}:
            raise typer.BadParameter("is on or off", param_hint=option)
    if not (faces or keep_queries):
        raise typer.BadParameter("say what to change", param_hint="--faces, --keep-queries")
    from deploy.local import tenant as settings
    from deploy.local.home import home_at

    with _taught():
        if faces:
            settings.set_faces(home_at(home), tenant, enabled=faces == "on")
            typer.echo(f"faces are {faces} for {tenant}")
        if keep_queries:
            settings.keep_queries(home_at(home), tenant, kept=keep_queries == "on")
            typer.echo(f"queries are {'kept for 30 days' if keep_queries == 'on' else 'not kept'} for {tenant}")


def _assignments(texts: Sequence[str]) -> dict[str, str]:
    """Return the settings given, each of which some process must read."""
    from deploy.local.settings import variables

    known = variables() if texts else frozenset()
    chosen: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"{text!r} is not HEIMDEX_NAME=VALUE", param_hint="--set")
        if name not in known:
            like = "".join(f"; did you mean {near}?" for near in get_close_matches(name, known, 1))
            raise typer.BadParameter(f"{name!r} is no setting (docs/settings.md){like}", param_hint="--set")
        chosen[name] = value
    return chosen


def _duration_s(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,8})([smhd])", text)
    if match is None:
        raise typer.BadParameter("a number with s, m, h or d, such as 12h", param_hint="--ttl")
    return int(match[1]) * _UNITS_S[match[2]]


@contextmanager
def _taught() -> Iterator[None]:
    """Turn what went wrong into one line and an exit code."""
    try:
        yield
    except DeployError as error:
        typer.echo(f"heimdex: {error}", err=True)
        raise typer.Exit(_EXIT_NOT_FOUND if isinstance(error, NoSuchThing) else _EXIT_UNAVAILABLE) from error
    except OSError as error:  # no space, no permission
        typer.echo(f"heimdex: {error}; see `heimdex doctor`", err=True)
        raise typer.Exit(_EXIT_UNAVAILABLE) from error
