"""Library verbs: videos, scenes, scene, delete."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.rpc.error_details_pb2 import ErrorInfo

from heimdex.cli import output
from heimdex.cli.failure import Usage
from heimdex.cli.home import folder
from heimdex.client import Client, NotFound
from heimdex.scene.v1.scene_pb2 import Scene
from heimdex.scene.v1.scene_service_pb2 import SceneMedia
from heimdex.video.v1 import video_pb2

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", parser=folder, metavar="PATH", help="Folder of the stack; $HEIMDEX_HOME otherwise."),
]


def find_videos(client: Client, name: str) -> list[str]:
    """Return the ids of the videos of that id or file name: those that are searchable first, of them the newest.
    Raises NotFound.
    """
    if name.startswith("vid_"):
        return [name]
    wanted = unicodedata.normalize("NFC", name)
    found = sorted((v for v in client.list_videos() if v.file_name == wanted), key=lambda v: not v.searchable_revision)
    if not found:
        raise NotFound(grpc.StatusCode.NOT_FOUND, f"no video called {name!r}", reason="NOT_FOUND")
    return [video.video_id for video in found]


def find_video(client: Client, name: str) -> str:
    """Return the first of ``find_videos``."""
    return find_videos(client, name)[0]


def only_video(client: Client, name: str) -> str:
    """Return the id of the one video of that id or file name. Raises NotFound, and Usage for several."""
    video_id, *others = find_videos(client, name)
    if others:
        raise Usage(f"several videos are called {name!r}, give an id: {', '.join((video_id, *others))}")
    return video_id


def videos(*, json: Json = False, home: Home = None) -> None:
    """List the videos, newest first."""
    shown = output.table("video", "state", "length", "scenes", "file", whole=4)
    with Client(home=home) as client:
        for video in client.list_videos():
            if json:
                output.emit_json(video_json(video))
            else:
                note = f": {video.error.message}" if video.error.message else ""
                output.add_row(
                    shown,
                    video.video_id,
                    output.state_name(video.state),
                    output.clock(video.duration),
                    str(video.scene_count),
                    video.file_name + note,
                )
    if not json:
        output.console.print(shown if shown.rows else "no videos yet: heimdex upload FILE --watch")


def scenes(
    video: Annotated[str, typer.Argument(help="Id or file name.")], *, json: Json = False, home: Home = None
) -> None:
    """List the scenes of a video in order."""
    shown = output.table("scene", "when", "said", "seen", "who", whole=2)
    with Client(home=home) as client:
        for scene_ in client.list_scenes(find_video(client, video)):
            if json:
                output.emit_json(scene_json(scene_))
            else:
                output.add_row(
                    shown,
                    scene_.scene_id,
                    output.span(scene_),
                    output.transcript(scene_),
                    output.join(output.tag(tag.tag, *tag.names[:1]) for tag in scene_.tags),
                    output.join(p.display_name for p in scene_.people),
                )
    if not json:
        output.console.print(shown)


def scene(
    scene_id: Annotated[str, typer.Argument()],
    *,
    neighbours: Annotated[
        int, typer.Option(min=0, max=10, help="Also so many scenes before and after it, up to 10.")
    ] = 0,
    media: Annotated[bool, typer.Option("--media", help="Also signed URLs that play and show it.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show one scene whole."""
    with Client(home=home) as client:
        found = client.get_scene(scene_id, include_urls=True)
        around = client.neighbours(scene_id, before=neighbours, after=neighbours) if neighbours else ()
        urls = client.scene_media([scene_id]) if media else ()
    if json:
        output.emit_json(scene_json(found))
        for one in around:
            output.emit_json(scene_json(one) | {"type": "neighbour"})
        for url in urls:
            output.emit_json(media_json(url))
        return
    output.console.print(f"{found.file_name} {output.span(found)}  video {found.video_id}", markup=False)
    for line in found.transcript:
        output.console.print(f"  {output.clock(line.start_offset)}  {line.text.strip()}", markup=False)
    if found.tags:
        seen = "; ".join(output.tag(tag.tag, *tag.names) for tag in found.tags)
        output.console.print(f"  seen: {seen}", markup=False)
    if found.people:
        output.console.print(f"  who:  {', '.join(p.display_name for p in found.people)}", markup=False)
    output.console.print(f"  keyframe: {found.keyframe.url or found.keyframe.object_key}", markup=False, soft_wrap=True)
    for url in urls:
        output.console.print(f"  plays: {url.playback_url}", markup=False, soft_wrap=True)
    for one in around:
        place = "before" if one.index < found.index else "after"
        said = f"{output.span(one)} {one.scene_id}  {output.transcript(one)}"
        output.console.print(f"  {place}: {said}".rstrip(), markup=False)


def delete(
    video: Annotated[str, typer.Argument(help="Id or file name.")],
    *,
    wait: Annotated[bool, typer.Option(help="Wait until it is gone from every store.")] = True,
    home: Home = None,
) -> None:
    """Erase a video from every store."""
    with Client(home=home) as client:
        video_id = only_video(client, video)
        state = client.delete_video(video_id).state
        if wait:
            try:
                for update in client.watch_video(video_id):
                    state = update.state
            except NotFound:
                state = video_pb2.VIDEO_STATE_DELETED
    output.console.print(f"{video_id} {output.state_name(state)}")


def video_json(video: video_pb2.Video) -> dict[str, object]:
    """Return a video for programs."""
    return {
        "type": "video",
        "video_id": video.video_id,
        "file_name": video.file_name,
        "state": output.state_name(video.state),
        "duration_s": output.seconds(video.duration),
        "scene_count": video.scene_count,
        "size_bytes": video.size_bytes,
        "create_time": video.create_time.ToJsonString(),
        "degraded_stages": [output.stage_name(s) for s in video.degraded_stages],
        "stages": {output.stage_name(s.stage): output.outcome_name(s.outcome) for s in video.stages if s.outcome},
        "error": error_json(video),
    }


def error_json(video: video_pb2.Video) -> dict[str, object] | None:
    """Return why a video failed, None when it did not."""
    if not video.error.message:
        return None
    info = error_info(video)
    return {"reason": info.reason, "message": video.error.message, "metadata": dict(info.metadata)}


def error_info(video: video_pb2.Video) -> ErrorInfo:
    """Return the reason of a failed video and its metadata; empty when it has none."""
    info = ErrorInfo()
    for packed in video.error.details:
        if packed.Unpack(info):
            break
    return info


def scene_json(scene_: Scene) -> dict[str, object]:
    """Return a scene for programs."""
    return {
        "type": "scene",
        "scene_id": scene_.scene_id,
        "video_id": scene_.video_id,
        "file_name": scene_.file_name,
        "index": scene_.index,
        "start_s": output.seconds(scene_.start_offset),
        "end_s": output.seconds(scene_.end_offset),
        "transcript": output.transcript(scene_),
        "tags": output.tag_names(scene_),
        "tag_ids": [tag.tag for tag in scene_.tags],
        "people": [p.display_name for p in scene_.people],
        "keyframe": scene_.keyframe.object_key,
    }


def media_json(media: SceneMedia) -> dict[str, object]:
    """Return what shows a scene for programs."""
    return {
        "type": "media",
        "scene_id": media.scene_id,
        "keyframe_url": media.keyframe_url,
        "playback_url": media.playback_url,
        "content_type": media.content_type,
        "browser_playable": media.browser_playable,
        "expire_time": media.expire_time.ToJsonString(),
    }
