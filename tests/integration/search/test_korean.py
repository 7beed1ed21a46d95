"""Korean text search: a spoken film through the line of stages onto the real stores -> each question finds its scene.

The words come from the fake speech model, so no recording is needed; their vectors, analysis and ranking are the
product's own.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from adapters.models import profiles
from adapters.models.assets import assemble
from adapters.models.settings import ModelSettings
from adapters.models.speech.fake import speak
from contracts.ports import QueryVectors
from indexer.search.searcher import Searcher
from indexer.search.types import Channel, Hit, MatchQuality, SearchRequest, Update
from tests.component.processors.line import NOUNS, TENANT, Line
from tests.integration.search.library import searchable
from tests.media import make
from tests.stack import Servers

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]  # the library is all tests'

CORPUS = Path(__file__).resolve().parents[2] / "eval" / "scenes" / "corpus.jsonl"
DISTRACTORS = 56
_NEAR = frozenset({"pet1", "pet2", "news2", "trip4", "shop1", "shop2", "talk1"})
"""Films of cats, trains, shops and families."""
_LONGEST_CHARS = 30
_LEAD_S, _REST_S = 0.4, 0.8

CATS = "길고양이들이 골목에서 서럽게 울고 있었습니다"
ORDER = "주문상세내역은 구매 화면에서 확인하시면 됩니다"
FATHER = "아버지가 방에 조용히 들어가신다"
TRAIN = "전철이 고장 나서 다들 회사에 늦었대요"
DOCTOR = "의사 선생님이 술을 끊으라고 하셨어요"
WEDDING = "신랑 신부가 입장하자 하객들이 박수를 쳤습니다"
SAID = (CATS, ORDER, FATHER, TRAIN, DOCTOR, WEDDING)


class Spoken:
    """``QueryEncoder`` in this process: the encoders that made the library's vectors."""

    def __init__(self, settings: ModelSettings) -> None:
        self._text = profiles.TABLE["small"].text.make(settings)
        self._vision = profiles.TABLE["fake"].vision.make(settings)

    async def encode(self, text: str) -> QueryVectors:
        """Encode one query."""
        return QueryVectors(self._text.encode_queries([text])[0], self._vision.encode_queries([text])[0])


@dataclass(frozen=True)
class Library:
    """One film of spoken scenes, searchable, and what is said in each of them."""

    searcher: Searcher
    scenes: int

    async def done(self, query: str, *, tenant_id: str = TENANT) -> Update:
        """Return the DONE frame."""
        request = SearchRequest(tenant_id, query, progressive=False)
        async with aclosing(self.searcher.search(request, deadline_s=60.0)) as frames:
            return [frame async for frame in frames][-1]

    async def first(self, query: str) -> Hit:
        """Return the best hit."""
        done = await self.done(query)
        assert done.summary is not None
        assert not done.summary.degraded
        assert done.hits, f"nothing found for {query!r}"
        return done.hits[0]


def said_in(hit: Hit) -> str:
    """Return what is said in a scene."""
    return "".join(run.text for run in hit.transcript)


def distractors() -> Sequence[str]:
    """Return sentences on other matters, those on nearly the same first."""
    records = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    korean = [r["text"].split(". ")[0] for r in sorted(records, key=_is_far) if r["metadata"].get("language") == "ko"]
    return [text for text in korean if len(text) <= _LONGEST_CHARS][:DISTRACTORS]


def _is_far(record: dict[str, dict[str, str]]) -> bool:
    return record["metadata"].get("video") not in _NEAR


def film(path: Path, sentences: Sequence[str]) -> bytes:
    """Return a film with a scene a sentence, another picture each."""
    sounds = [speak(sentence) for sentence in sentences]
    lengths_s = [round(_LEAD_S + sound.size / make.RATE_HZ + _REST_S) for sound in sounds]
    track = np.zeros(sum(lengths_s) * make.RATE_HZ, np.float32)
    for start_s, sound in zip(np.cumsum([0, *lengths_s[:-1]]), sounds, strict=True):
        begin = round((int(start_s) + _LEAD_S) * make.RATE_HZ)
        track[begin : begin + sound.size] = sound
    scenes = [(make.card(seed), float(length_s)) for seed, length_s in enumerate(lengths_s)]
    return make.make_video(path, scenes, audio=track, fps=5, size=(160, 120)).read_bytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def library(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Library]:
    models = tmp_path_factory.mktemp("models")
    assemble(models)
    settings = ModelSettings(models_dir=models, threads=2)
    others = distractors()
    sentences = [*others[:20], *SAID[:3], *others[20:40], *SAID[3:], *others[40:]]
    body = film(tmp_path_factory.mktemp("film") / "film.mp4", sentences)
    with pytest.MonkeyPatch.context() as composed:
        fake, small = profiles.TABLE["fake"], profiles.TABLE["small"]
        spoken = replace(fake, text=small.text, text_dim=small.text_dim)
        composed.setattr(profiles, "TABLE", {**profiles.TABLE, "spoken": spoken})
        line = await Line(body, profile="spoken", models=settings).run()
        assert set(line.outcomes()) == set(NOUNS)
        assert line.outcomes()["embeddings"] == "OK"
        versions = profiles.versions("spoken", settings)
    async with searchable(servers, line, Spoken(settings), versions) as (searcher, scenes):
        yield Library(searcher, scenes)


async def test_every_sentence_is_a_scene_of_its_own(library: Library) -> None:
    assert library.scenes == DISTRACTORS + len(SAID)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("골목에서 우는 고양이", CATS),
        ("고양이가 서럽게 운다", CATS),
        ("조용히 들어가셨어요", FATHER),
        ("전철 고장", TRAIN),
        ("술 끊는 법", DOCTOR),
    ],
)
async def test_by_inflected_words(library: Library, query: str, said: str) -> None:
    hit = await library.first(query)
    assert said_in(hit) == said
    assert hit.ranked.match_quality is MatchQuality.SUPPORTED


@pytest.mark.parametrize(
    ("query", "said"), [("상세 내역", ORDER), ("주문 내역", ORDER), ("주문 상세 내역", ORDER), ("길고양이 울음", CATS)]
)
async def test_by_a_compound_and_its_parts(library: Library, query: str, said: str) -> None:
    assert said_in(await library.first(query)) == said


@pytest.mark.parametrize(
    ("query", "said"),
    [("아버지가방에조용히들어가신다", FATHER), ("길고양이가우는골목", CATS), ("주문상세내역확인", ORDER)],
)
async def test_without_spaces(library: Library, query: str, said: str) -> None:
    assert said_in(await library.first(query)) == said


async def test_in_decomposed_letters(library: Library) -> None:
    assert said_in(await library.first(unicodedata.normalize("NFD", "골목에서 우는 고양이"))) == CATS


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("열차가 멈춰 지각했다", TRAIN),
        ("병원에서 금주하라는 말을 들었다", DOCTOR),
        ("예식장에서 사람들이 축하했다", WEDDING),
    ],
)
async def test_by_meaning_where_no_word_is_the_same(library: Library, query: str, said: str) -> None:
    hit = await library.first(query)
    assert said_in(hit) == said
    points = {part.channel: part.points for part in hit.ranked.contributions}
    assert points.pop(Channel.DENSE) > 0
    assert set(points.values()) == {0.0}


async def test_a_phrase_must_be_said(library: Library) -> None:
    done = await library.done('"방에 조용히"')
    assert [said_in(hit) for hit in done.hits] == [FATHER]
    assert not (await library.done('"조용히 방에"')).hits


@pytest.mark.parametrize(
    ("query", "marked"),
    [
        ("골목에서 우는 고양이", ["고양이", "골목", "울"]),
        ("주문 상세 내역", ["주문상세내역"]),
        ("상세 내역", ["상세내역"]),
        ("아버지가방에들어가신다", ["아버지", "방", "들어가"]),
        ("열차가 멈춰 지각했다", []),
    ],
)
async def test_what_matches_is_marked(library: Library, query: str, marked: Sequence[str]) -> None:
    hit = await library.first(query)
    assert [run.text for run in hit.transcript if run.highlighted] == marked
    for run in hit.transcript:
        assert hit.scene.start_ms <= run.start_ms < run.end_ms <= hit.scene.end_ms


async def test_another_tenant_finds_nothing(library: Library) -> None:
    for query in ("골목에서 우는 고양이", "주문상세내역", "열차가 멈춰 지각했다", '"방에 조용히"'):
        done = await library.done(query, tenant_id="globex")
        assert not done.hits
        assert done.summary is not None
        assert (done.summary.total_hits, done.summary.match_quality) == (0, MatchQuality.NONE)
