"""A scene that changes its looks, with real weights on the real stores: it is found by each of them, with its time."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytest_asyncio

from adapters.models import profiles
from adapters.models.assets import assemble
from adapters.models.settings import ModelSettings
from contracts.media import Span
from contracts.ports import Float32, Progress, QueryVectors
from contracts.work import Job, Result
from gateway import searches
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.searcher import Searcher
from indexer.search.types import SearchRequest
from processors.scenes import artifact as scenes
from tests.component.processors.line import NOUNS, TENANT, InProcess, Line
from tests.integration.search.library import searchable
from tests.media import make
from tests.stack import Servers

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]  # the library is all tests'

SPANS = (Span(0, 0, 3000), Span(1, 3000, 15_000), Span(2, 15_000, 18_000), Span(3, 18_000, 21_000))
COFFEE_MS, CAT_MS = (3000, 10_000), (10_000, 15_000)
"""When they are shown, both in the second scene."""


def photo(name: str) -> Path:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], "data", name)


def without_the_cut(job: Job, progress: Progress) -> Result:
    """Find every cut but that from the coffee to the cat."""
    progress(1.0)
    return Result(artifact=scenes.encode(SPANS), counts={"scenes": len(SPANS)})


@dataclass(frozen=True)
class Film:
    """A searchable film, and the encoders that made its vectors as ``QueryEncoder``."""

    searcher: Searcher
    settings: ModelSettings

    async def first(self, query: str, image: Float32 | None = None) -> pb.SceneHit:
        """Return the best hit."""
        request = SearchRequest(TENANT, query, progressive=False, image=image)
        async with aclosing(self.searcher.search(request, deadline_s=60.0)) as frames:
            done = [frame async for frame in frames][-1]
        assert done.summary is not None
        assert not done.summary.degraded
        return searches.frame(done, "qry_1").hits[0]

    def seen(self, name: str) -> Float32:
        """Return the vector of a photograph."""
        image = cv2.imread(str(photo(name)))
        assert image is not None
        rgb = np.asarray(image[..., ::-1], np.uint8)
        (vector,), _ = profiles.vision_encoder("small", self.settings).encode_images([rgb])
        return np.asarray(vector, np.float32)


class Encoder:
    """``QueryEncoder`` in this process."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings

    async def encode(self, text: str) -> QueryVectors:
        """Encode one query."""
        said = profiles.text_encoder("small", self._settings).encode_queries([text])[0]
        return QueryVectors(said, profiles.vision_encoder("small", self._settings).encode_queries([text])[0])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def film(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Film]:
    models = tmp_path_factory.mktemp("models")
    assemble(models)
    settings = ModelSettings(models_dir=models, threads=2)
    shots = [
        ("motorcycle_left.png", 3.0),
        ("coffee.png", 7.0),
        ("chelsea.png", 5.0),
        ("camera.png", 3.0),
        ("rocket.jpg", 3.0),
    ]
    body = make.make_video(
        tmp_path_factory.mktemp("film") / "film.mp4", [(photo(name), long_s) for name, long_s in shots], size=(640, 480)
    ).read_bytes()
    child = InProcess(instead={"scenes": without_the_cut})
    line = await Line(body, profile="small", models=settings, child=child).run()
    assert set(line.outcomes()) == set(NOUNS)
    async with searchable(servers, line, Encoder(settings), profiles.versions("small", settings)) as (searcher, count):
        assert count == len(SPANS)
        yield Film(searcher, settings)


@pytest.mark.parametrize(
    ("query", "shown_ms"),
    [("고양이", CAT_MS), ("a cat", CAT_MS), ("커피 한 잔", COFFEE_MS), ("cup of coffee", COFFEE_MS)],
)
async def test_a_scene_is_found_by_each_of_its_looks_at_its_time(
    film: Film, query: str, shown_ms: tuple[int, int]
) -> None:
    hit = await film.first(query)
    assert hit.scene.start_offset.ToMilliseconds() == SPANS[1].start_ms
    assert hit.match_quality == pb.MATCH_QUALITY_SUPPORTED
    assert shown_ms[0] <= hit.best_frame_offset.ToMilliseconds() < shown_ms[1]


@pytest.mark.parametrize(("name", "shown_ms"), [("chelsea.png", CAT_MS), ("coffee.png", COFFEE_MS)])
async def test_either_photograph_finds_it_as_if_there_were_no_other(
    film: Film, name: str, shown_ms: tuple[int, int]
) -> None:
    hit = await film.first("", image=film.seen(name))
    assert hit.scene.start_offset.ToMilliseconds() == SPANS[1].start_ms
    (seen,) = hit.contributions
    assert seen.raw > 0.95, "of the mean of both neither is"
    assert shown_ms[0] <= hit.best_frame_offset.ToMilliseconds() < shown_ms[1]


async def test_a_scene_that_looks_the_same_throughout_has_one_time(film: Film) -> None:
    hit = await film.first("오토바이")
    assert hit.scene.start_offset.ToMilliseconds() == SPANS[0].start_ms
    assert list(hit.scene.view_offsets) == [hit.best_frame_offset]
