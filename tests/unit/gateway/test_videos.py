"""Videos: every state and outcome of the catalogue has its name on the wire."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.catalog import StageRun, UploadState, Video, VideoState
from gateway import videos
from heimdex.common.v1 import common_pb2
from heimdex.upload.v1 import upload_service_pb2
from heimdex.video.v1 import video_pb2

VIDEO = Video("vid_1", "t", VideoState.INDEXED, "a.mp4", 1, "00", 1000, 2000, revision=1)


def test_every_state_has_its_name_on_the_wire() -> None:
    assert {videos.state(state) for state in VideoState} == set(range(1, len(video_pb2.VideoState.values())))
    assert {videos.state_of(videos.state(state)) for state in VideoState} == set(VideoState)
    wire = {name.removeprefix("UPLOAD_STATE_") for name in upload_service_pb2.UploadState.keys()}  # noqa: SIM118
    assert {state.name for state in UploadState} | {"UNSPECIFIED"} == wire


@pytest.mark.parametrize("value", [0, 99])
def test_no_state_is_refused(value: int) -> None:
    with pytest.raises((KeyError, ValueError)):
        videos.state_of(value)  # type: ignore[arg-type]  # what a client may send


@pytest.mark.parametrize("outcome", ["OK", "NO_AUDIO_TRACK", "NO_SPEECH", "DISABLED", "REJECTED", "FAILED"])
def test_only_broken_stages_degrade_a_video(outcome: str) -> None:
    run = StageRun("audio", "ENDED", outcome, attempt=1, reason="", message="")
    message = videos.to_proto(dataclasses.replace(VIDEO, stages=(run,)), now_ms=5)
    broken = outcome in {"REJECTED", "FAILED"}
    assert list(message.degraded_stages) == ([common_pb2.STAGE_AUDIO] if broken else [])
    assert message.stages[0].HasField("error") is broken
    assert message.stages[0].outcome == common_pb2.Outcome.Value(f"OUTCOME_{outcome}")


def test_elapsed_runs_on_until_the_end() -> None:
    running = StageRun("asr", "RUNNING", attempt=1, start_ms=1000)
    ended = dataclasses.replace(running, state="ENDED", outcome="OK", end_ms=4000)
    pending = StageRun("align", "PENDING")
    message = videos.to_proto(dataclasses.replace(VIDEO, stages=(running, ended, pending)), now_ms=3500)
    assert [stage.elapsed.ToMilliseconds() for stage in message.stages] == [2500, 3000, 0]
    assert not message.stages[2].HasField("elapsed")


def test_what_is_not_known_is_absent() -> None:
    message = videos.to_proto(VIDEO, now_ms=5)
    assert not any(message.HasField(name) for name in ("duration", "index_time", "error"))
    known = videos.to_proto(dataclasses.replace(VIDEO, duration_ms=1500, index_ms=7), now_ms=5)
    assert (known.duration.ToMilliseconds(), known.index_time.ToMilliseconds()) == (1500, 7)
