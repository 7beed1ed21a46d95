"""Fixtures of the model tests: weights of each profile, pictures from packages, recordings and portraits.

Conformance suites (``test_port_*``) run on every profile: ``fake`` and ``small`` with all tests, ``production`` on tiny
checkpoints by `make test-models`.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from adapters.models.assets import assemble
from adapters.models.faces.sface import FOLDER, YUNET
from adapters.models.settings import ModelSettings
from contracts.ports import Float32, UInt8
from tests.models import checkpoints

ROOT = Path(__file__).resolve().parents[2]
RATE_HZ = 16_000
MATERIAL = Path(os.environ.get("HEIMDEX_MEDIA") or ROOT.parent / "shared" / "media")
YUNET_FILE = Path(os.environ.get("HEIMDEX_FACES_MODEL") or MATERIAL.parent / "models" / YUNET)


@dataclass(frozen=True)
class Clip:
    """A recording: float32 samples at 16 kHz and what is said."""

    samples: Float32
    text: str


@dataclass(frozen=True)
class Subject:
    """A profile under test and the settings that its models are made with."""

    profile: str
    settings: ModelSettings


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small profile's weights, assembled once."""
    folder = tmp_path_factory.mktemp("models")
    assemble(folder)
    return folder


@pytest.fixture(scope="session")
def production_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny checkpoints of the production profile, and the true face detector where it is."""
    folder = tmp_path_factory.mktemp("production")
    checkpoints.build(folder)
    if YUNET_FILE.is_file():
        shutil.copy(YUNET_FILE, folder / FOLDER / YUNET)
    return folder


@pytest.fixture(scope="session", params=["fake", "small", pytest.param("production", marks=pytest.mark.models)])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Every profile, one after another."""
    folders = {"small": "models_dir", "production": "production_dir"}
    name: str = request.param
    if name not in folders:
        return Subject(name, ModelSettings())
    return Subject(name, ModelSettings(models_dir=request.getfixturevalue(folders[name])))


@pytest.fixture(scope="session")
def photo() -> Callable[[str], UInt8]:
    """Reads a picture of the scikit-image package by name: RGB uint8 (h, w, 3)."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "data")
    return lambda name: _read(next(folder.glob(f"{name}.*")))


@pytest.fixture(scope="session")
def portrait() -> Callable[[str], UInt8]:
    """Reads a portrait by name; skips where the material is absent."""
    folder = MATERIAL / "faces"
    if not folder.is_dir():
        pytest.skip(f"portraits are absent: {folder} (HEIMDEX_MEDIA names another folder)")
    return lambda name: _read(folder / f"{name}.jpg")


@pytest.fixture(scope="session")
def yunet() -> Path:
    """The YuNet file; skips where it is absent."""
    if not YUNET_FILE.is_file():
        pytest.skip(f"the YuNet file is absent: {YUNET_FILE} (HEIMDEX_FACES_MODEL names another)")
    return YUNET_FILE


@pytest.fixture(scope="session")
def korean() -> dict[str, list[Clip]]:
    """Korean recordings by speaker; skips where the material is absent."""
    from faster_whisper import decode_audio

    folder = MATERIAL / "ko-speech"
    if not folder.is_dir():
        pytest.skip(f"Korean recordings are absent: {folder} (HEIMDEX_MEDIA names another folder)")
    speakers: dict[str, list[Clip]] = {}
    with (folder / "transcripts.tsv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            samples = decode_audio(str(folder / row["file"]), sampling_rate=RATE_HZ)
            speakers.setdefault(row["file"][:3], []).append(Clip(samples, row["text"]))
    return speakers


def _read(path: Path) -> UInt8:
    import cv2

    image = cv2.imread(str(path))
    assert image is not None, path
    rgb: UInt8 = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    return rgb


def damaged(models_dir: Path, part: str, into: Path) -> Iterator[ModelSettings]:
    """Yield settings once for each file of ``part`` (file or folder of ``models_dir``), with that file cut in half."""
    whole = models_dir / part
    files = sorted(path for path in whole.rglob("*") if path.is_file()) if whole.is_dir() else [whole]
    assert files
    for number, broken in enumerate(files):
        folder = into / str(number)
        for path in (path for path in models_dir.rglob("*") if path.is_file()):
            copy = folder / path.relative_to(models_dir)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path == broken:
                copy.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            else:
                copy.symlink_to(path)
        yield ModelSettings(models_dir=folder)
