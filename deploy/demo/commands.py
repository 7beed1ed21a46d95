"""Demo verb: start the stack, ingest two videos, enrol somebody, search five times."""

from __future__ import annotations

import shlex
import time

import typer

from deploy.local.commands import HomeOption
from deploy.local.failure import DeployError
from deploy.local.home import Home, home_at, usual_home
from heimdex.cli.failure import EXIT_UNAVAILABLE

NEXT = "오바마가 웃는 장면"
"""Something to search for next, which the demo's own videos have."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(demo)


def demo(
    home: HomeOption = None,
) -> None:
    """The main job: start the stack, ingest two real videos, find their scenes."""
    try:
        _demo(home_at(home))
    except DeployError as error:
        typer.echo(f"error: {error.problem}\n  {error.remedy}", err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from error


def _demo(home: Home) -> None:
    from deploy.demo.material import prepare
    from deploy.local.environment import S3_BUCKET
    from deploy.local.stack import DEFAULT_TENANT, Options
    from deploy.local.stack import up as bring_up
    from deploy.local.tenant import set_faces

    began = time.monotonic()
    bring_up(home, Options(), typer.echo)
    material = prepare(home.root / "demo", typer.echo)

    from heimdex.cli.output import console
    from heimdex.cli.search import print_hits
    from heimdex.cli.upload import bars, follow, send
    from heimdex.client import Client
    from heimdex.video.v1 import video_pb2

    keyframes = str(home.data / "objects" / "root" / S3_BUCKET)
    with Client(home=home.root) as client:
        set_faces(home, DEFAULT_TENANT, enabled=True)
        name, photos = material.person
        if not any(person.display_name == name for person in client.list_people()):
            person = client.enrol_person(name, photos, aliases=["오바마", "Obama"])
            console.print(f"enrolled {person.display_name} from {len(person.photos)} photos", markup=False)
        for path in material.videos:
            console.print(f"\n[bold]{path.name}[/bold]")
            start = time.monotonic()
            with bars() as bar:
                done = send(client, path, bar)
                video = follow(client, done.video_id, bar)
            state = video_pb2.VideoState.Name(video.state).removeprefix("VIDEO_STATE_").lower()
            console.print(f"  {state}: {video.scene_count} scenes in {time.monotonic() - start:.1f} s")
            if video.state != video_pb2.VIDEO_STATE_INDEXED:
                raise DeployError(f"{path.name} is {state}: {video.error.message}", "see `heimdex logs`")
        _wait_for_people(client, name)
        for shows, query in material.queries:
            console.print(f"\n[bold]{shows}:[/bold] heimdex search '{query}'", highlight=False)
            *_, answer = client.search(query, limit=3)
            print_hits(answer, keyframe_root=keyframes)
    console.print(_last_lines(home, time.monotonic() - began), markup=False, soft_wrap=True)


def _wait_for_people(client: object, name: str, timeout_s: float = 30.0) -> None:
    """Wait until the person's scenes are known: matching follows indexing by a moment."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        people = client.list_people()  # type: ignore[attr-defined]
        if any(p.display_name == name and p.scene_count for p in people):
            return
        time.sleep(0.2)


def _last_lines(home: Home, took_s: float) -> str:
    flag = "" if home == usual_home() else f" --home {shlex.quote(str(home.root))}"
    command = f".venv/bin/heimdex{flag}"
    return (
        f"\nAll of this took {took_s:.0f} s. The stack stays up.\n"
        f"  search            {command} search '{NEXT}'\n"
        f"  your own video    {command} upload FILE --watch\n"
        f"  look at logs      {command} logs asr -f\n"
        f"  stop              {command} down"
    )
