"""Search verb: a sentence -> scenes, for people as they are found, for programs as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from heimdex.cli import output
from heimdex.cli.library import Home, Json, find_video
from heimdex.cli.people import find_people, find_person
from heimdex.client import Client
from heimdex.search.v1 import search_service_pb2 as pb


class GroupBy(StrEnum):
    """What the rows of an answer are."""

    SCENE = "scene"
    VIDEO = "video"


class Fusion(StrEnum):
    """How channels make one list."""

    CALIBRATED = "calibrated"
    RRF = "rrf"


_DAY: Final = ["%Y-%m-%d"]
_GROUPS: Final = MappingProxyType({GroupBy.SCENE: pb.GROUP_BY_SCENE, GroupBy.VIDEO: pb.GROUP_BY_VIDEO})
_FUSIONS: Final = MappingProxyType({Fusion.CALIBRATED: pb.FUSION_CALIBRATED, Fusion.RRF: pb.FUSION_RECIPROCAL_RANK})
_FACETS: Final = MappingProxyType({"people": pb.FACET_PEOPLE, "tags": pb.FACET_TAGS, "videos": pb.FACET_VIDEOS})
Weights = Annotated[str, typer.Option(help="Weights of this search, such as text=0.7,vision=0.2.")]
_WEIGHTS: Final = tuple(field.name for field in pb.SearchWeights.DESCRIPTOR.fields)


def search(
    query: Annotated[str, typer.Argument(help='What to find; "…" is a phrase, @name a person, -word left out.')] = "",
    *,
    image: Annotated[Path | None, typer.Option(help="A picture to find by: JPEG, PNG or WebP, up to 5 MiB.")] = None,
    person: Annotated[list[str] | None, typer.Option(help="Only scenes with this person (name or id).")] = None,
    not_person: Annotated[list[str] | None, typer.Option(help="Only scenes without this person (name or id).")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="Only scenes with this tag, by the id in brackets behind its name, such as espresso."),
    ] = None,
    video: Annotated[list[str] | None, typer.Option(help="Only this video (id or file name).")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Only videos in this language, such as ko.")] = None,
    uploaded_from: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Only videos uploaded on this day or later.")
    ] = None,
    uploaded_to: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Only videos uploaded before this day.")
    ] = None,
    offset_from_s: Annotated[
        float | None, typer.Option("--from", min=0, help="Only scenes that begin at this second of the video or later.")
    ] = None,
    offset_to_s: Annotated[
        float | None, typer.Option("--to", min=0, help="Only scenes that begin before this second.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many hits.")] = 20,
    page_token: Annotated[
        str, typer.Option(help="Go on where an answer to the same query ended: its next_page_token with --json.")
    ] = "",
    min_confidence: Annotated[float, typer.Option(help="Only hits at least this sure, 0 to 1.")] = 0.0,
    group_by: Annotated[GroupBy, typer.Option(help="Scenes, or videos by their best scene.")] = GroupBy.SCENE,
    max_per_video: Annotated[
        int | None,
        typer.Option(
            min=0, max=200, help="At most so many scenes of a video, 0 for all; else 4, or all of one --video."
        ),
    ] = None,
    fusion: Annotated[Fusion, typer.Option(help="By scores, or by ranks.")] = Fusion.CALIBRATED,
    weights: Weights = "",
    facets: Annotated[str, typer.Option(help="What to count: people,tags,videos.")] = "",
    weak: Annotated[bool, typer.Option("--weak", help="When nothing answers, show the nearest there is.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Find scenes by what is said, seen or felt, and by who is there."""
    own_weights, counted = parsed_weights(weights), parsed_facets(facets)
    with Client(home=home) as client:
        video_ids = [find_video(client, name) for name in video or ()]
        person_ids = [find_person(client, name) for name in person or ()]
        excluded_ids = [found for name in not_person or () for found in find_people(client, name)]
        frames = client.search(
            query,
            image=image,
            limit=limit,
            page_token=page_token,
            video_ids=video_ids,
            person_ids=person_ids,
            excluded_person_ids=excluded_ids,
            tags=tag or (),
            languages=language or (),
            uploaded_from=uploaded_from,
            uploaded_to=uploaded_to,
            offset_from_s=offset_from_s,
            offset_to_s=offset_to_s,
            min_confidence=min_confidence,
            final_only=json or not output.IS_TERMINAL,
            weights=own_weights,
            fusion=_FUSIONS[fusion],
            max_scenes_per_video=max_per_video,
            group_by=_GROUPS[group_by],
            facets=counted,
            include_weak=weak,
        )
        done = pb.SearchScenesResponse()
        if json or not output.IS_TERMINAL:
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


def parsed_weights(text: str) -> pb.SearchWeights:
    """Return the weights of ``text=0.7,vision=0.2``. Raises typer.BadParameter."""
    given: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in _WEIGHTS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(_WEIGHTS)}", param_hint="--weights")
        try:
            given[name] = float(number)
        except ValueError:
            raise typer.BadParameter(f"{number!r} is no number", param_hint="--weights") from None
    return pb.SearchWeights(**given)


def parsed_facets(text: str) -> list[pb.Facet.ValueType]:
    """Return the facets of ``people,tags``. Raises typer.BadParameter."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in _FACETS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(_FACETS)}", param_hint="--facets")
    return [_FACETS[name] for name in dict.fromkeys(names)]


def print_hits(done: pb.SearchScenesResponse, *, keyframe_root: str = "") -> None:
    """Print the final hits with everything that explains them.

    Args:
        keyframe_root: folder that the keyframes' object keys are below, where the caller knows one.
    """
    for hit in done.hits:
        _print_hit(hit, keyframe_root)
    if not done.hits:
        output.console.print("nothing found" + ("; the nearest there is:" if done.weak_hits else ""))
    for hit in done.weak_hits:
        _print_hit(hit, keyframe_root)
    summary = done.summary
    for counts in summary.facets:
        shown = output.tag if counts.facet == pb.FACET_TAGS else _label
        values = ", ".join(f"{shown(one.value, one.label)} {one.count}" for one in counts.counts)
        output.console.print(Text.assemble((f"{facet(counts.facet)}: ", "bold"), values or "none"))
    took = output.seconds(summary.elapsed)
    missing = "".join(f"; without {channel(d.channel)} ({cause(d.cause)})" for d in summary.degraded)
    hits = "1 hit" if summary.total_hits == 1 else f"{summary.total_hits} hits"
    least = "at least " if summary.total_is_lower_bound else ""
    output.console.print(f"{least}{hits} in {took * 1000:.0f} ms{missing}", style="dim")


def _label(_: str, label: str) -> str:
    return label


def _print_hit(hit: pb.SceneHit, keyframe_root: str) -> None:
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
        about.append("seen: " + output.join(output.tag(t.tag, *t.names[:1]) for t in scene.tags))
    if about:
        output.print_below(Text("   ".join(about)))
    if scene.keyframe.object_key:
        root = f"{keyframe_root.rstrip('/')}/" if keyframe_root else ""
        output.console.print(f"    {root}{scene.keyframe.object_key}", style="dim", markup=False, soft_wrap=True)


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
        output.emit_json(_hit_json("hit", hit))
    for hit in done.weak_hits:
        output.emit_json(_hit_json("weak", hit))
    summary = done.summary
    output.emit_json(
        {
            "type": "summary",
            "query": query,
            "query_id": summary.query_id,
            "total_hits": summary.total_hits,
            "total_is_lower_bound": summary.total_is_lower_bound,
            "match_quality": pb.MatchQuality.Name(summary.match_quality).removeprefix("MATCH_QUALITY_"),
            "degraded": [{"channel": channel(d.channel), "cause": cause(d.cause)} for d in summary.degraded],
            "elapsed_s": output.seconds(summary.elapsed),
            "timings_s": {channel(t.channel): output.seconds(t.elapsed) for t in summary.timings},
            "ranking": summary.ranking,
            "generation": summary.generation,
            "parsed": _parsed_json(summary.parsed),
            "facets": {facet(of.facet): _counts_json(of) for of in summary.facets},
            "next_page_token": done.next_page_token,
        }
    )


def _hit_json(kind: str, hit: pb.SceneHit) -> Mapping[str, object]:
    scene = hit.scene
    return {
        "type": kind,
        "rank": hit.rank,
        "video_id": scene.video_id,
        "file_name": scene.file_name,
        "scene_id": scene.scene_id,
        "start_s": output.seconds(scene.start_offset),
        "end_s": output.seconds(scene.end_offset),
        "frame_s": output.seconds(hit.best_frame_offset) if hit.HasField("best_frame_offset") else None,
        "score": round(hit.score, 6),
        "confidence": round(hit.confidence, 6),
        "match_quality": pb.MatchQuality.Name(hit.match_quality).removeprefix("MATCH_QUALITY_"),
        "contributions": {channel(c.channel): round(c.points, 6) for c in hit.contributions},
        "transcript": "".join(run.text for run in hit.transcript),
        "marked": [run.text for run in hit.transcript if run.highlighted],
        "people": [p.display_name for p in scene.people],
        "matched_people": [p.display_name for p in hit.matched_people],
        "tags": output.tag_names(scene),
        "tag_ids": [tag.tag for tag in scene.tags],
        "matched_tag_ids": [tag.tag for tag in hit.matched_tags],
        "keyframe": scene.keyframe.object_key,
    }


def _parsed_json(parsed: pb.ParsedQuery) -> Mapping[str, object]:
    return {
        "words": parsed.words,
        "meaning": parsed.meaning,
        "phrases": list(parsed.phrases),
        "excluded": list(parsed.excluded),
        "people": [person.display_name for person in parsed.people],
        "read_as": parsed.read_as,
    }


def _counts_json(counts: pb.FacetCounts) -> Sequence[Mapping[str, object]]:
    return [{"value": one.value, "label": one.label, "count": one.count} for one in counts.counts]


def facet(value: pb.Facet.ValueType) -> str:
    """Return ``people`` for ``FACET_PEOPLE``."""
    return pb.Facet.Name(value).removeprefix("FACET_").lower()


def channel(value: pb.Channel.ValueType) -> str:
    """Return ``lexical`` for ``CHANNEL_LEXICAL``."""
    return pb.Channel.Name(value).removeprefix("CHANNEL_").lower()


def cause(value: pb.DegradedCause.ValueType) -> str:
    """Return ``late`` for ``DEGRADED_CAUSE_LATE``."""
    return pb.DegradedCause.Name(value).removeprefix("DEGRADED_CAUSE_").lower()
