"""Search verb: a sentence -> scenes, for people as they are found, for programs as JSON lines."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from heimdex.cli import output
from heimdex.cli.library import Home, Json, find_video
from heimdex.cli.people import find_people
from heimdex.client import Client
from heimdex.search.v1 import search_service_pb2 as pb


def search(
    query: Annotated[str, typer.Argument(help='What to find; "…" is a phrase, @name a person.')] = "",
    *,
    person: Annotated[list[str] | None, typer.Option(help="Only scenes with this person (name or id).")] = None,
    video: Annotated[list[str] | None, typer.Option(help="Only this video (id or file name).")] = None,
    limit: Annotated[int, typer.Option(help="At most so many hits, up to 200.")] = 20,
    min_confidence: Annotated[float, typer.Option(help="Only hits at least this sure, 0 to 1.")] = 0.0,
    json: Json = False,
    home: Home = None,
) -> None:
    """Find scenes by what is said, seen or felt, and by who is there."""
    with Client(home=home) as client:
        video_ids = [find_video(client, name) for name in video or ()]
        person_ids = [found for name in person or () for found in find_people(client, name)]
        frames = client.search(
            query,
            limit=limit,
            video_ids=video_ids,
            person_ids=person_ids,
            min_confidence=min_confidence,
            final_only=json or not sys.stdout.isatty(),
        )
        done = pb.SearchScenesResponse()
        if json or not sys.stdout.isatty():
            for done in frames:  # noqa: B007  # the last frame is the answer
                pass
        else:
            with Live(console=output.console, transient=True) as live:
                for done in frames:
                    live.update(hits_table(done))
    if json:
        emit(query, done)
        return
    print_hits(done)


def print_hits(done: pb.SearchScenesResponse, *, keyframe_root: str = "") -> None:
    """Print the final hits with everything that explains them.

    Args:
        keyframe_root: folder that the keyframes' object keys are below, where the caller knows one.
    """
    for hit in done.hits:
        scene = hit.scene
        parts = "  ".join(f"{channel(c.channel)} {c.points:.2f}" for c in hit.contributions if c.points > 0)
        quality = pb.MatchQuality.Name(hit.match_quality).removeprefix("MATCH_QUALITY_").lower().replace("_", " ")
        output.console.print(
            Text.assemble(
                (f"{hit.rank:>2}. ", "bold"), (scene.file_name, "bold"), f" {output.span(scene)}  ",
                (f"{hit.score:.2f}", "bold"), f" = {parts or 'nothing'}   confidence {hit.confidence:.2f}, {quality}",
            )
        )  # fmt: skip
        if hit.transcript:
            line = Text()
            for run in hit.transcript:
                line.append(run.text, "bold reverse" if run.highlighted else "")
            output.print_below(line)
        about = []
        if scene.people:
            about.append("who: " + output.join(p.display_name for p in scene.people))
        if scene.tags:
            about.append("seen: " + output.join(t.names[0] if t.names else t.tag for t in scene.tags))
        if about:
            output.print_below(Text("   ".join(about)))
        if scene.keyframe.object_key:
            root = f"{keyframe_root.rstrip('/')}/" if keyframe_root else ""
            output.console.print(f"    {root}{scene.keyframe.object_key}", style="dim", markup=False, soft_wrap=True)
    if not done.hits:
        output.console.print("nothing found")
    summary = done.summary
    took = output.seconds(summary.elapsed)
    missing = "".join(f"; without {channel(d.channel)} ({cause(d.cause)})" for d in summary.degraded)
    hits = "1 hit" if summary.total_hits == 1 else f"{summary.total_hits} hits"
    output.console.print(f"{hits} in {took * 1000:.0f} ms{missing}", style="dim")


def hits_table(frame: pb.SearchScenesResponse) -> Table:
    """Return the current list while the search goes on."""
    shown = output.table("", "score", "when", "file", "said", whole=3)
    for hit in frame.hits[:10]:
        said = "".join(run.text for run in hit.transcript)
        output.add_row(shown, str(hit.rank), f"{hit.score:.2f}", output.span(hit.scene), hit.scene.file_name, said[:60])
    return shown


def emit(query: str, done: pb.SearchScenesResponse) -> None:
    """Print the final hits, best first, and the summary, one JSON object a line."""
    for hit in done.hits:
        scene = hit.scene
        output.emit_json(
            {
                "type": "hit",
                "rank": hit.rank,
                "video_id": scene.video_id,
                "file_name": scene.file_name,
                "scene_id": scene.scene_id,
                "start_s": output.seconds(scene.start_offset),
                "end_s": output.seconds(scene.end_offset),
                "score": round(hit.score, 6),
                "confidence": round(hit.confidence, 6),
                "match_quality": pb.MatchQuality.Name(hit.match_quality).removeprefix("MATCH_QUALITY_"),
                "contributions": {channel(c.channel): round(c.points, 6) for c in hit.contributions},
                "transcript": "".join(run.text for run in hit.transcript),
                "people": [p.display_name for p in scene.people],
                "tags": output.tag_names(scene),
                "keyframe": scene.keyframe.object_key,
            }
        )
    summary = done.summary
    output.emit_json(
        {
            "type": "summary",
            "query": query,
            "total_hits": summary.total_hits,
            "match_quality": pb.MatchQuality.Name(summary.match_quality).removeprefix("MATCH_QUALITY_"),
            "degraded": [{"channel": channel(d.channel), "cause": cause(d.cause)} for d in summary.degraded],
            "elapsed_s": output.seconds(summary.elapsed),
            "ranking": summary.ranking,
            "generation": summary.generation,
            "next_page_token": done.next_page_token,
        }
    )


def channel(value: pb.Channel.ValueType) -> str:
    """Return ``lexical`` for ``CHANNEL_LEXICAL``."""
    return pb.Channel.Name(value).removeprefix("CHANNEL_").lower()


def cause(value: pb.DegradedCause.ValueType) -> str:
    """Return ``late`` for ``DEGRADED_CAUSE_LATE``."""
    return pb.DegradedCause.Name(value).removeprefix("DEGRADED_CAUSE_").lower()
