"""Profiles: the table of what serves each model port: ``fake``, ``small`` and ``production``.

Versions are known without loading anything, so the gateway can name the specs of a plan; a model is made once a
process (and loads its weights on first use), so a long-lived child keeps it warm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Generic, TypeVar

from adapters.models.affect import expression, siglip_prompts
from adapters.models.affect import fake as fake_affect
from adapters.models.faces import dlib, sface
from adapters.models.faces import fake as fake_faces
from adapters.models.faces.image import Box
from adapters.models.settings import ModelSettings
from adapters.models.speech import fake as fake_speech
from adapters.models.speech import faster_whisper as whisper
from adapters.models.text import bge_m3, e5
from adapters.models.text import fake as fake_text
from adapters.models.vision import fake as fake_vision
from adapters.models.vision import label_bridge, siglip2
from contracts.ports import AffectModel, FaceModel, SpeechModel, TextEncoder, UInt8, VisionEncoder

Model = TypeVar("Model")

Detect = Callable[[UInt8], Sequence[Box]]
"""RGB uint8 (h, w, 3) image -> where its faces are, in pixels."""

PROFILES = ("fake", "small", "production")
DEFAULT_SETTINGS = ModelSettings()


@dataclass(frozen=True, slots=True)
class Entry(Generic[Model]):
    """A model of a profile: its version, cheap, and what makes it."""

    version: Callable[[ModelSettings], str]
    make: Callable[[ModelSettings], Model]


@dataclass(frozen=True, slots=True)
class Profile:
    """A model a task.

    Attributes:
        text_dim: length of the text vectors.
        vision_dim: length of the vision vectors.
        detector: finds faces for ``affect``, which is not to know who they are.
    """

    speech: Entry[SpeechModel]
    text: Entry[TextEncoder]
    text_dim: int
    vision: Entry[VisionEncoder]
    vision_dim: int
    affect: Entry[AffectModel]
    faces: Entry[FaceModel]
    detector: Callable[[ModelSettings], Detect]


TABLE: Mapping[str, Profile] = MappingProxyType(
    {
        "fake": Profile(
            speech=Entry(lambda _: fake_speech.VERSION, lambda _: fake_speech.FakeSpeechModel()),
            text=Entry(lambda _: fake_text.VERSION, lambda _: fake_text.FakeTextEncoder()),
            text_dim=256,
            vision=Entry(lambda _: fake_vision.VERSION, lambda _: fake_vision.FakeVisionEncoder()),
            vision_dim=12,
            affect=Entry(lambda _: fake_affect.VERSION, lambda _: fake_affect.FakeAffectModel()),
            faces=Entry(lambda _: fake_faces.VERSION, lambda _: fake_faces.FakeFaceModel()),
            detector=lambda _: fake_faces.FakeFaceModel().boxes,
        ),
        "small": Profile(
            speech=Entry(
                lambda _: whisper.BASE.version(whisper.compute_type("cpu")),
                lambda s: whisper.FasterWhisper(whisper.BASE, s.models_dir, device="cpu", threads=s.threads),
            ),
            text=Entry(lambda _: e5.VERSION, lambda s: e5.E5(s.models_dir, threads=s.threads)),
            text_dim=384,
            vision=Entry(
                lambda _: label_bridge.version(),
                lambda s: label_bridge.LabelBridge(s.models_dir, threads=s.threads),
            ),
            vision_dim=513,
            affect=Entry(
                lambda s: expression.version(dlib.detector(s.faces_model)),
                lambda s: expression.ExpressionModel(dlib.detector(s.faces_model), threads=s.threads),
            ),
            faces=Entry(lambda s: dlib.version(s.faces_model), lambda s: dlib.DlibFaces(s.faces_model)),
            detector=lambda s: dlib.DlibFaces(s.faces_model).boxes,
        ),
        "production": Profile(
            speech=Entry(
                lambda s: whisper.TURBO.version(whisper.compute_type(s.device)),
                lambda s: whisper.FasterWhisper(whisper.TURBO, s.models_dir, device=s.device, threads=s.threads),
            ),
            text=Entry(lambda s: bge_m3.version(s.device), lambda s: bge_m3.BgeM3(s.models_dir, device=s.device)),
            text_dim=1024,
            vision=Entry(lambda s: siglip2.version(s.device), lambda s: siglip2.Siglip2(s.models_dir, device=s.device)),
            vision_dim=1152,
            affect=Entry(
                lambda s: siglip_prompts.version(s.device),
                lambda s: siglip_prompts.SiglipAffect(s.models_dir, device=s.device),
            ),
            faces=Entry(lambda _: sface.VERSION, lambda s: sface.SFace(s.models_dir)),
            detector=lambda s: sface.SFace(s.models_dir).boxes,
        ),
    }
)


def profile(name: str) -> Profile:
    """Return the profile ``name``. Raises: ValueError (permanent) for another name."""
    if name not in TABLE:
        raise ValueError(f"no profile {name!r}: one of {', '.join(PROFILES)}")
    return TABLE[name]


def versions(name: str, settings: ModelSettings = DEFAULT_SETTINGS) -> Mapping[str, str]:
    """Return the model version of each stage that has a model, by noun; nothing is loaded."""
    p = profile(name)
    return {
        "asr": p.speech.version(settings),
        "embeddings": p.text.version(settings),
        "vision": p.vision.version(settings),
        "affect": p.affect.version(settings),
        "faces": p.faces.version(settings),
    }


@cache
def speech(name: str, settings: ModelSettings) -> SpeechModel:
    """Return the process's speech model."""
    return profile(name).speech.make(settings)


@cache
def text_encoder(name: str, settings: ModelSettings) -> TextEncoder:
    """Return the process's text encoder."""
    return profile(name).text.make(settings)


@cache
def vision_encoder(name: str, settings: ModelSettings) -> VisionEncoder:
    """Return the process's vision encoder."""
    return profile(name).vision.make(settings)


@cache
def affect_model(name: str, settings: ModelSettings) -> AffectModel:
    """Return the process's affect model."""
    return profile(name).affect.make(settings)


@cache
def face_model(name: str, settings: ModelSettings) -> FaceModel:
    """Return the process's face model."""
    return profile(name).faces.make(settings)


@cache
def face_detector(name: str, settings: ModelSettings) -> Detect:
    """Return the process's face detector; it raises ModelUnavailable (transient)."""
    return profile(name).detector(settings)
