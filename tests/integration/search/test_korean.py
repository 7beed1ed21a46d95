"""Korean text search: a spoken film through the line of stages onto the real stores -> each question finds its scene.

The words come from the fake speech model, so no recording is needed; their vectors, their analysis and their ranking are
the product's own.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from adapters.catalog.sql import SqlCatalog
from adapters.catalog.temporary import temporary_catalog
from adapters.clock import SystemClock
from adapters.models import profiles
from adapters.models.assets import assemble
from adapters.models.settings import ModelSettings
from adapters.models.speech.fake import speak
from adapters.text.opensearch import OpenSearchText
from adapters.vectors.milvus import MilvusVectors
from contracts import flow, ids, plan
from contracts.catalog import Generation, Idempotency, Upload, UploadState
from contracts.delivery import Delivery
from contracts.ports import QueryVectors, Record
from heimdex.events.v1 import manifest_pb2
from indexer.commit.handler import CommitHandler
from indexer.schema.schema import first_generation
from indexer.search.ranking import load
from indexer.search.searcher import Searcher
from indexer.search.types import Channel, Hit, MatchQuality, SearchRequest, Update
from tests.component.processors.line import CONTEXT, NOUNS, TENANT, VIDEO, Line
from tests.media import make
from tests.stack import Servers

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]  # the library is all tests'

CORPUS = Path(__file__).resolve().parents[2] / "eval" / "scenes" / "corpus.jsonl"
DISTRACTORS = 55
_LONGEST_CHARS = 34
_LEAD_S, _REST_S = 0.4, 0.8

CATS = "길고양이들이 골목에서 서럽게 울고 있었습니다"
ORDER = "주문상세내역은 구매 화면에서 확인하시면 됩니다"
FATHER = "아버지가 방에 조용히 들어가신다"
TRAIN = "전철이 고장 나서 다들 회사에 늦었대요"
SAID = (CATS, ORDER, FATHER, TRAIN)


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
    """Return sentences on other matters."""
    records = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    korean = [r["text"].split(". ")[0] for r in records if r["metadata"]["language"] == "ko"]
    return [text for text in korean if len(text) <= _LONGEST_CHARS][:DISTRACTORS]


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
    sentences = [*others[:20], CATS, ORDER, *others[20:40], FATHER, TRAIN, *others[40:]]
    body = film(tmp_path_factory.mktemp("film") / "film.mp4", sentences)
    with pytest.MonkeyPatch.context() as composed:
        spoken = replace(profiles.TABLE["fake"], text=profiles.TABLE["small"].text, text_dim=profiles.TABLE["small"].text_dim)
        composed.setattr(profiles, "TABLE", {**profiles.TABLE, "spoken": spoken})
        line = await Line(body, profile="spoken", models=settings).run()
        assert set(line.outcomes()) == set(NOUNS)
        assert line.outcomes()["embeddings"] == "OK"
        versions = profiles.versions("spoken", settings)
    async with AsyncExitStack() as resources:
        enter = resources.enter_async_context
        catalog = await enter(temporary_catalog())
        text = await enter(OpenSearchText(servers.opensearch))
        text_vectors = await enter(MilvusVectors(servers.milvus_text))
        vision_vectors = await enter(MilvusVectors(servers.milvus_vision))
        mark = secrets.token_hex(4)
        generation = await catalog.ensure_generation(
            replace(
                first_generation(versions["embeddings"], versions["vision"]),
                text_collection=f"test_korean_text_{mark}",
                vision_collection=f"test_korean_vision_{mark}",
                text_index=f"test-korean-{mark}",
            )
        )
        await uploaded(catalog)
        handler = CommitHandler(
            catalog, line.objects, text_vectors, vision_vectors, text, producer=line.bus, clock=SystemClock()
        )
        assert await handler.run(await sidecar_built(line)) is False
        await handler.close()
        video = await catalog.get_video(TENANT, VIDEO)
        yield Library(
            Searcher(
                catalog, text, text_vectors, vision_vectors, Spoken(settings), load(generation.ranking), SystemClock()
            ),
            video.scene_count,
        )
    await asyncio.to_thread(drop, servers, generation)


async def uploaded(catalog: SqlCatalog) -> None:
    """Have the catalogue know the line's video."""
    now_ms = time.time_ns() // 1_000_000
    upload = Upload(
        upload_id=ids.new_id("upl"),
        tenant_id=TENANT,
        purpose="VIDEO",
        state=UploadState.OPEN,
        object_key=ids.source_key(TENANT, VIDEO),
        size_bytes=1,
        content_type="video/mp4",
        sha256="00" * 32,
        file_name="이야기.mp4",
        create_ms=now_ms,
        expire_ms=now_ms + 3_600_000,
        video_id=VIDEO,
    )
    call = Idempotency(TENANT, "test", "CreateUpload", upload.upload_id, upload.sha256)
    await catalog.create_upload(upload, call, allow_duplicate=True)
    await catalog.begin_completion(TENANT, upload.upload_id)
    await catalog.finish_completion(
        TENANT, upload.upload_id, etag="", plan_key=CONTEXT.plan_key, specs={}, records=()
    )


async def sidecar_built(line: Line) -> Delivery:
    """Return commit's work, as the intake would hand it over."""
    body, _ = await line.objects.get(CONTEXT.plan_key)
    planned = manifest_pb2.Plan.FromString(body)
    spec = plan.spec_of(plan.planned_specs(planned), "commit", 0)
    record = Record("heimdex-sidecar-built-v1", VIDEO, b"", partition=0, offset=0)
    inputs = {"sidecar": await line.manifest("sidecar")}
    return Delivery(flow.STAGES["commit"], record, CONTEXT, planned, spec, 0, inputs, 1)


def drop(servers: Servers, generation: Generation) -> None:
    """Remove what the test has made."""
    from opensearchpy import OpenSearch
    from pymilvus import MilvusClient

    for uri, name in (
        (servers.milvus_text, generation.text_collection),
        (servers.milvus_vision, generation.vision_collection),
    ):
        milvus = MilvusClient(uri=uri)
        milvus.drop_collection(name)
        milvus.close()
    text = OpenSearch(servers.opensearch)
    text.indices.delete(index=generation.text_index)
    text.close()


async def test_show(library: Library) -> None:
    for q in ("고양이가 운다", "고양이 울음", "상세 내역", "주문 내역", "아버지가방에들어가신다", "지하철 사고로 지각한 직장인", "출근길 지하철 지연","열차 문제로 지각","길고양이가우는장면", "구매 확인"):
        d = await library.done(q)
        print(q, d.summary.match_quality, [(round(h.ranked.score,2), round(h.ranked.confidence,2), said_in(h)[:20]) for h in d.hits[:3]])
        if d.hits: print("   ", [(r.text) for r in d.hits[0].transcript if r.highlighted], d.hits[0].ranked.contributions)
