"""Laws of the stages' edges: each stage of the flow has one, light to import, whose work can be found by its name."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.objects.memory import MemoryObjects
from contracts import flow
from contracts.errors import BadArtifact, DependencyUnavailable, Rejected
from contracts.ports import ObjectInfo
from contracts.work import Run, Worker
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import manifest_pb2
from processors import inputs
from tests.component.processors.line import NOUNS

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("adapters", "av", "cv2", "onnxruntime", "dlib", "faster_whisper", "ai_edge_litert", "scenedetect")


@pytest.mark.parametrize("noun", NOUNS)
def test_each_stage_has_an_edge(noun: str) -> None:
    worker: Worker = importlib.import_module(f"processors.{noun}.worker").StageWorker("some-model", {})
    assert (worker.stage, worker.model_version) == (noun, "some-model")
    module, _, function = worker.perform.partition(":")
    assert module == f"processors.{noun}.child"
    assert callable(getattr(importlib.import_module(module), function))


def test_no_folder_is_no_stage() -> None:
    folders = {path.parent.name for path in (ROOT / "processors").glob("*/worker.py")}
    assert folders == set(flow.STAGES) - {"commit"}


def test_edges_load_nothing_that_only_the_child_needs() -> None:
    imports = "".join(f"import processors.{noun}.worker\n" for noun in NOUNS)
    program = f"import sys\n{imports}print([name for name in {HEAVY!r} if name in sys.modules])"
    environment = {"PYTHONPATH": ":".join([str(ROOT), *(path for path in sys.path if path)])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


# --------------------------------------------------------------------------------------- what they fetch


def _manifest(**blobs: bytes) -> manifest_pb2.Manifest:
    return manifest_pb2.Manifest(
        outcome=common_pb2.OUTCOME_OK,
        blobs=[
            manifest_pb2.Blob(name=f"{name}.jpg", key=f"b/{name}", sha256=hashlib.sha256(body).hexdigest())
            for name, body in blobs.items()
        ],
    )


def _run(workdir: Path, inputs_: Mapping[str, manifest_pb2.Manifest]) -> Run:
    plan = manifest_pb2.Plan(source=manifest_pb2.Source(key="source", etag="e"))
    return Run(plan, "vision", "ab" * 8, inputs_, workdir)


async def test_files_are_fetched_whole(tmp_path: Path) -> None:
    objects = MemoryObjects()
    bodies = {f"frame-{number}": bytes([number]) * 1000 for number in range(40)}
    for name, body in bodies.items():
        await objects.put(f"b/{name}", body)
    found = await inputs.files(_run(tmp_path, {"frames": _manifest(**bodies)}), objects, "frames")
    assert {name.removesuffix(".jpg"): path.read_bytes() for name, path in found.items()} == bodies
    assert {path.parent for path in found.values()} == {tmp_path}


async def test_a_file_with_another_digest_is_a_defect(tmp_path: Path) -> None:
    objects = MemoryObjects()
    await objects.put("b/frame-1", b"one")
    await objects.put("b/frame-2", b"tampered with")
    run = _run(tmp_path, {"frames": _manifest(**{"frame-1": b"one", "frame-2": b"two"})})
    with pytest.raises(BadArtifact, match="digest"):
        await inputs.files(run, objects, "frames")


class _Broken(MemoryObjects):
    """A bucket of which one object never comes and another is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = False

    async def download(self, key: str, path: Path, *, if_match: str | None = None) -> ObjectInfo:
        if key == "b/frame-1":
            raise DependencyUnavailable("objects", "away")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        raise AssertionError


async def test_a_failed_fetch_keeps_its_type_and_ends_the_others(tmp_path: Path) -> None:
    objects = _Broken()
    run = _run(tmp_path, {"frames": _manifest(**{"frame-0": b"", "frame-1": b"", "frame-2": b""})})
    with pytest.raises(DependencyUnavailable):
        await inputs.files(run, objects, "frames")
    await asyncio.sleep(0)
    assert objects.cancelled


async def test_a_source_that_changed_is_gone(tmp_path: Path) -> None:
    objects = MemoryObjects()
    for body in (None, b"another film"):
        if body is not None:
            await objects.put("source", body)
        with pytest.raises(Rejected) as caught:
            await inputs.source(_run(tmp_path, {}), objects)
        assert caught.value.reason == "SOURCE_GONE"


async def test_only_artifacts_that_are_there_are_read(tmp_path: Path) -> None:
    objects = MemoryObjects()
    await objects.put("a", b"artifact")
    entry = manifest_pb2.Blob(name="artifact.pb", key="a", sha256=hashlib.sha256(b"artifact").hexdigest())
    manifests = {
        "align": manifest_pb2.Manifest(outcome=common_pb2.OUTCOME_OK, blobs=[entry]),
        "asr": manifest_pb2.Manifest(outcome=common_pb2.OUTCOME_NO_SPEECH),
        "frames": manifest_pb2.Manifest(outcome=common_pb2.OUTCOME_FAILED),
    }
    assert await inputs.artifacts(_run(tmp_path, manifests), objects, list(manifests)) == {"align": b"artifact"}


def test_what_has_no_result_is_refused_with_its_reason(tmp_path: Path) -> None:
    failed = manifest_pb2.Manifest(outcome=common_pb2.OUTCOME_FAILED, reason=common_pb2.ERROR_REASON_CRASHED)
    with pytest.raises(Rejected) as caught:
        inputs.require(_run(tmp_path, {"frames": failed}), "frames")
    assert caught.value.reason == "CRASHED"
    inputs.require(_run(tmp_path, {"frames": _manifest()}), "frames")


@pytest.mark.parametrize("outcome", [common_pb2.OUTCOME_NO_AUDIO_TRACK, common_pb2.OUTCOME_NO_SPEECH])
def test_that_there_is_nothing_is_a_result(tmp_path: Path, outcome: common_pb2.Outcome.ValueType) -> None:
    inputs.require(_run(tmp_path, {"audio": manifest_pb2.Manifest(outcome=outcome)}), "audio")
