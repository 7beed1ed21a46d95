"""Fixtures of the model tests: assembled weights, pictures from packages, recordings and portraits where they are."""

from __future__ import annotations

import csv
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from adapters.models.assets import assemble
from adapters.models.faces.sface import YUNET
from contracts.ports import Float32, UInt8

ROOT = Path(__file__).resolve().parents[2]
RATE_HZ = 16_000
MATERIAL = Path(os.environ.get("HEIMDEX_MEDIA") or ROOT.parent / "shared" / "media")


@dataclass(frozen=True)
class Clip:
    """A recording: float32 samples at 16 kHz and what is said."""

    samples: Float32
    text: str


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small profile's weights, assembled once."""
    folder = tmp_path_factory.mktemp("models")
    assemble(folder)
    return folder


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
    path = MATERIAL.parent / "models" / YUNET
    if not path.is_file():
        pytest.skip(f"the YuNet file is absent: {path}")
    return path


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
