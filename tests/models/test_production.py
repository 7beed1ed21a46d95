"""The production profile on tiny checkpoints: each adapter agrees with a plain reading of its model's own rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.affect.tags import EMOTIONS
from adapters.models.faces.sface import FOLDER, SFACE, YUNET, SFace
from adapters.models.pull import REPOSITORIES
from adapters.models.settings import ModelSettings
from adapters.models.speech.faster_whisper import TURBO
from adapters.models.text import bge_m3
from adapters.models.vision import siglip2
from contracts.ports import Float32, UInt8
from tests.models.checkpoints import SENTENCE
from tests.models.conftest import RATE_HZ, ROOT

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def settings(production_dir: Path) -> ModelSettings:
    return ModelSettings(models_dir=production_dir)


def test_checkpoints_hold_only_files_that_are_pulled(production_dir: Path) -> None:
    """So nothing that loads them needs a file which `pull` would not bring."""
    pulled = {f"{repository.folder}/{name}" for repository in REPOSITORIES for name in repository.files}
    here = {str(path.relative_to(production_dir)) for path in production_dir.rglob("*") if path.is_file()}
    assert here <= pulled
    assert {name.partition("/")[0] for name in here} == {repository.folder for repository in REPOSITORIES}


def test_whisper_reads_128_bands_and_speaks_korean(settings: ModelSettings) -> None:
    from faster_whisper import decode_audio

    clip = decode_audio(str(ROOT / "deploy/demo/speech/speech-en-cat.ogg"), sampling_rate=RATE_HZ)
    model = profiles.speech("production", settings)
    transcript = model.recognise(clip, language=None, progress=lambda _: None)
    assert transcript.language == "ko"
    (utterance,) = transcript.utterances
    assert utterance.text == SENTENCE
    assert [word.text.strip() for word in utterance.words] == SENTENCE.split()
    assert model.version.startswith(TURBO.name)
    assert model._model.model.n_mels == 128  # type: ignore[attr-defined]


def test_bge_m3_is_the_state_of_the_first_token(settings: ModelSettings) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = str(settings.models_dir / bge_m3.FOLDER)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    network: Any = AutoModel.from_pretrained(folder).eval()
    texts = ["고양이가 커피를 마신다", "cat", "긴 글 " * 900]
    encoder = profiles.text_encoder("production", settings)
    for text, vector in zip(texts, encoder.encode_passages(texts), strict=True):
        tokens = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
        with torch.inference_mode():
            first = network(**tokens).last_hidden_state[0, 0].numpy()
        assert vector == pytest.approx(first / np.linalg.norm(first), abs=1e-4)


def _siglip(settings: ModelSettings) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    folder = str(settings.models_dir / siglip2.FOLDER)
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def _unit(vector: Any) -> Float32:
    row: Float32 = vector.numpy()
    return row / np.linalg.norm(row)


def test_siglip_texts_are_lower_case_padded_right_to_64_and_unmasked(settings: ModelSettings) -> None:
    import torch

    network, tokenizer = _siglip(settings)
    assert tokenizer.padding_side == "left"  # the checkpoint's default is wrong on purpose
    (vector,) = profiles.vision_encoder("production", settings).encode_queries(["A CAT"])
    ids = tokenizer("a cat")["input_ids"]
    with torch.inference_mode():
        wanted = network.get_text_features(torch.tensor([ids + [0] * (64 - len(ids))])).pooler_output[0]
    assert vector == pytest.approx(_unit(wanted), abs=1e-5)


def test_siglip_images_are_squeezed_to_the_square_and_centred(settings: ModelSettings) -> None:
    import torch
    from PIL import Image

    network, _ = _siglip(settings)
    image = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    (vector,), _ = profiles.vision_encoder("production", settings).encode_images([image])
    square = np.asarray(Image.fromarray(image).resize((56, 56), Image.Resampling.BILINEAR), np.float32) / 127.5 - 1
    with torch.inference_mode():
        wanted = network.get_image_features(torch.tensor(square.transpose(2, 0, 1)[None])).pooler_output[0]
    assert vector == pytest.approx(_unit(wanted), abs=1e-3)


def test_affect_is_the_nearest_prompt(settings: ModelSettings) -> None:
    """An image of a face is compared with the seven prompts: shares fall with the cosine's distance from the best."""
    image = np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8)
    affect = profiles.affect_model("production", settings)
    (shares,) = affect.read(image, [(0.0, 0.0, 200.0, 200.0)])
    vision = siglip2.Siglip2(settings.models_dir, device="cpu")
    (cosines,) = vision.image_vectors([image]) @ affect._prompt_vectors.T  # type: ignore[attr-defined]
    assert max(shares, key=lambda name: shares[name]) == EMOTIONS[int(cosines.argmax())]
    ranked = sorted(shares.values())
    assert ranked == pytest.approx([shares[EMOTIONS[index]] for index in np.argsort(cosines)])


def test_sface_embeds_the_aligned_face(settings: ModelSettings, yunet: Path, photo: Callable[[str], UInt8]) -> None:
    import cv2
    import onnxruntime

    image = photo("astronaut")
    (face, *_) = SFace(settings.models_dir).find(image)
    detector = cv2.FaceDetectorYN.create(str(yunet), "", (image.shape[1], image.shape[0]), 0.8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    row = detector.detect(bgr)[1][0]
    path = str(settings.models_dir / FOLDER / SFACE)
    aligned = np.asarray(cv2.FaceRecognizerSF.create(path, "").alignCrop(bgr, row), np.float32)
    rgb = aligned[..., ::-1].transpose(2, 0, 1)[None]
    (vector,) = onnxruntime.InferenceSession(path).run(None, {"data": np.ascontiguousarray(rgb)})[0]
    assert face.vector == pytest.approx(vector / np.linalg.norm(vector), abs=1e-3)
    assert (settings.models_dir / FOLDER / YUNET).is_file()
