"""Videos: ``contracts.catalog.Video`` -> ``heimdex.video.v1.Video``. Pure."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from contracts import flow
from contracts.catalog import StageRun, Video, VideoState
from contracts.facts import timestamp
from gateway import status
from heimdex.common.v1 import common_pb2
from heimdex.video.v1 import video_pb2

PLAYBACK_SPARE_S = 3600
"""A URL plays the video to its end and an hour more."""

_ENDED = "ENDED"


def to_proto(video: Video, *, now_ms: int) -> video_pb2.Video:
    """Return a video as clients see it.

    Args:
        now_ms: Unix milliseconds; runs under way have taken until then.
    """
    message = video_pb2.Video(
        video_id=video.video_id,
        state=state(video.state),
        file_name=video.file_name,
        size_bytes=video.size_bytes,
        sha256=video.sha256,
        content_type=video.content_type,
        width_px=video.width_px,
        height_px=video.height_px,
        revision=video.revision,
        searchable_revision=video.searchable_revision,
        scene_count=video.scene_count,
        stages=[_stage(run, now_ms) for run in video.stages],
        create_time=timestamp(video.create_ms),
        update_time=timestamp(video.update_ms),
        language=video.language,
    )
    if video.duration_ms:
        message.duration.CopyFrom(duration(video.duration_ms))
    if video.index_ms:
        message.index_time.CopyFrom(timestamp(video.index_ms))
    if video.state is VideoState.INDEXED:
        message.degraded_stages.extend(flow.STAGES[run.stage].number for run in video.stages if run.broken)
    if video.state is VideoState.FAILED:
        run = _blamed(video)
        outcome, metadata = (run.outcome, run.metadata) if run else ("FAILED", ())
        message.error.CopyFrom(status.ending(outcome, video.error_reason, video.error_message, metadata))
    return message


def playback_s(duration_ms: int) -> int:
    """Return how long the signed URL of a video's file works, in seconds; ``duration_ms`` is 0 while not known."""
    return -(-duration_ms // 1000) + PLAYBACK_SPARE_S


def state(value: VideoState) -> video_pb2.VideoState.ValueType:
    """Return a state's enum value: they have the same names."""
    return video_pb2.VideoState.Value(f"VIDEO_STATE_{value.name}")


def state_of(value: video_pb2.VideoState.ValueType) -> VideoState:
    """Return an enum value's state. ValueError and KeyError for what no client may send."""
    return VideoState[video_pb2.VideoState.Name(value).removeprefix("VIDEO_STATE_")]


def duration(milliseconds: int) -> Duration:
    """Return a length as a message."""
    message = Duration()
    put_duration(milliseconds, message)
    return message


def put_duration(milliseconds: int, message: Duration) -> None:
    """Write a length into a message."""
    message.seconds, rest_ms = divmod(milliseconds, 1000)
    message.nanos = rest_ms * 1_000_000


def _stage(run: StageRun, now_ms: int) -> video_pb2.StageStatus:
    message = video_pb2.StageStatus(
        stage=flow.STAGES[run.stage].number,
        state=video_pb2.StageState.Value(f"STAGE_STATE_{run.state}"),
        progress=1.0 if run.state == _ENDED else run.progress,
        attempt=run.attempt,
    )
    if run.outcome:
        message.outcome = common_pb2.Outcome.Value(f"OUTCOME_{run.outcome}")
    elapsed_ms = _elapsed_ms(run, now_ms)
    if elapsed_ms:
        message.elapsed.CopyFrom(duration(elapsed_ms))
    if run.broken:
        message.error.CopyFrom(status.ending(run.outcome, run.reason, run.message, run.metadata))
    return message


def _elapsed_ms(run: StageRun, now_ms: int) -> int:
    if run.state == _ENDED:
        return run.elapsed_ms or (max(0, run.end_ms - run.start_ms) if run.start_ms else 0)
    return max(0, now_ms - run.start_ms) if run.start_ms else 0


def _blamed(video: Video) -> StageRun | None:
    """Return the run that failed the video: the first in the flow with the video's reason."""
    return next((run for run in video.stages if run.broken and run.reason == video.error_reason), None)
