"""The line with real weights: what is said, seen and felt in a short film of a cat and an astronaut."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from adapters.models.assets import assemble
from adapters.models.settings import ModelSettings
from heimdex.events.v1 import artifact_pb2
from tests.component.processors.line import NOUNS, Line
from tests.media import make

SPEECH = Path(__file__).resolve().parents[3] / "deploy" / "demo" / "speech" / "speech-en-cat.ogg"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    """The small profile's weights, without the face detector that is not in a package."""
    folder = tmp_path_factory.mktemp("models")
    assemble(folder)
    return ModelSettings(models_dir=folder, threads=2)


def _photo(name: str) -> Path:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], "data", name)


async def test_a_film_is_understood(small: ModelSettings, tmp_path: Path) -> None:
    film = make.make_video(
        tmp_path / "film.mp4",
        [(_photo("chelsea.png"), 5.0), (_photo("astronaut.png"), 5.0)],
        audio=SPEECH,
        size=(640, 480),
    )
    line = await Line(film.read_bytes(), profile="small", models=small, faces=True).run()
    assert line.outcomes() == dict.fromkeys(NOUNS, "OK")
    sidecar = await line.sidecar()
    cat, astronaut = sidecar.scenes
    said = " ".join(entry.text for entry in cat.scene.transcript).lower()
    assert "cat sleeps on the sofa" in said
    assert sidecar.language == "en"
    assert not astronaut.scene.transcript, "nothing is heard in silence"
    assert "고양이" in {name for tag in cat.scene.tags for name in tag.names}
    assert "웃는 얼굴" in {name for tag in astronaut.scene.tags for name in tag.names}
    assert (cat.scene.face_frame_count, astronaut.scene.face_frame_count) == (0, 3)
    assert len(cat.text_vector) == 4 * 384
    assert not astronaut.text_vector
    for record in sidecar.scenes:
        (packed,) = record.vision_vectors
        vector = np.frombuffer(packed, "<f4")
        assert vector.shape == (513,)
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-4)
    tracks = artifact_pb2.FaceTracks.FromString(await line.artifact("faces")).tracks
    assert len(tracks[0].sightings) == 3, "one face in three frames is one track"


async def test_music_has_no_words(small: ModelSettings, tmp_path: Path) -> None:
    sound = np.concatenate([make.silence(2.0), make.music(4.0)])
    film = make.make_video(tmp_path / "film.mp4", [(_photo("coffee.png"), 6.0)], audio=sound, size=(320, 240))
    line = await Line(film.read_bytes(), profile="small", models=small).run()
    assert line.outcomes()["asr"] == "NO_SPEECH"
    assert not (await line.sidecar()).scenes[0].scene.transcript
