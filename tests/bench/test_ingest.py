"""Ingest: end-to-end time of a 3-minute video against the same bare calls one after another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from contracts import plan
from contracts.media import Span
from deploy.local.environment import of_process
from deploy.local.home import require_config
from heimdex.client import Client
from heimdex.scene.v1 import scene_pb2
from heimdex.video.v1 import video_pb2
from processors.embeddings.stage import chunks
from processors.frames.stage import samples
from tests.bench.bare import LOAD, Call, Task
from tests.bench.film import Film, speech_files
from tests.bench.report import say, table
from tests.bench.stages import Ingested, ingest_timed, show
from tests.stack import Stack

pytestmark = pytest.mark.bench

_SECONDS = 180.0


def test_ingest_against_its_bare_calls(stack: Stack, client: Client, tenant: str, film: Film) -> None:
    path = film.of(_SECONDS)
    cold = ingest_timed(stack, client, tenant, path)
    warm = ingest_timed(stack, client, tenant, path, again=True)
    scenes = list(client.list_scenes(warm.video.video_id))
    calls = _bare(stack, path, scenes)

    language, _ = speech_files()
    show(f"ingest of {_SECONDS:.0f} s with {language} speech, no model loaded", cold)
    show("the same again, models loaded", warm)
    work_s = sum(call.seconds for call in calls if not call.name.startswith(LOAD))
    all_s = sum(call.seconds for call in calls)
    table(
        "the bare calls, one after another",
        ("call", "times", "s", "share"),
        [(call.name, call.times, call.seconds, f"{call.seconds / all_s:.0%}") for call in calls],
    )
    table(
        "ingest ÷ bare",
        ("", "end to end s", "bare s", "ratio"),
        [
            ("models loaded by both", cold.seconds, all_s, cold.seconds / all_s),
            ("models there already", warm.seconds, work_s, warm.seconds / work_s),
        ],
    )
    said = sum(len(scene.transcript) > 0 for scene in scenes)
    say(f"  {len(scenes)} scenes, {said} of them spoken")
    for ingested in (cold, warm):
        _check(ingested)
    assert said > len(scenes) // 2
    names = {call.name for call in calls}
    assert {"faster-whisper transcribe", "EfficientNet", "read expressions", "encode the texts"} <= names


def _check(ingested: Ingested) -> None:
    assert ingested.video.state == video_pb2.VIDEO_STATE_INDEXED, ingested.video.error.message
    assert set(ingested.outcomes().values()) == {"ok"}


def _bare(stack: Stack, path: Path, scenes: Sequence[scene_pb2.Scene]) -> list[Call]:
    """Make the bare calls in a process with the environment of the stack's own."""
    environment = stack.environment()
    config = require_config(stack.home)
    spans = [
        Span(scene.index, scene.start_offset.ToMilliseconds(), scene.end_offset.ToMilliseconds()) for scene in scenes
    ]
    sampled = samples(spans, every_s=plan.FRAME_EVERY_S, max_per_scene=plan.MAX_FRAMES_PER_SCENE)
    task = Task(
        film=str(path),
        frames_s=tuple(sample.at_s for sample in sampled),
        passages=tuple(text for scene in scenes for text in chunks([line.text for line in scene.transcript])),
        models_dir=environment["HEIMDEX_MODELS_DIR"],
        faces_model=environment.get("HEIMDEX_FACES_MODEL", ""),
        speech_threads=int(of_process("asr", config)["HEIMDEX_THREADS"]),
        threads=int(environment.get("HEIMDEX_THREADS", "1")),
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.bare"],
        input=json.dumps(asdict(task)),
        env=environment | {"PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Call(**call) for call in json.loads(done.stdout)]
