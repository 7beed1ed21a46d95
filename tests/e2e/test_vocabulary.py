"""Words of a deployment's own on the real stack: new ones are built, used, left and dropped while searches go on."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opensearchpy import OpenSearch

from adapters.catalog.sql import SqlCatalog
from adapters.text.opensearch import OpenSearchText
from contracts import ids
from contracts.catalog import Idempotency, NewRevision, Upload, UploadState
from contracts.ports import TextRow
from deploy.demo.film import Shot, make
from heimdex.admin.v1 import admin_service_pb2 as admin_pb2
from heimdex.client import Client, HeimdexError, NotFound, PermissionDenied
from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.video.v1 import video_pb2
from indexer.commit.rows import Rows, rows
from tests.component.world import sidecar
from tests.stack import Stack, eventually, ingest, search

pytestmark = pytest.mark.e2e

VIDEOS = 120
CUTS_MS = tuple(range(0, 6000, 1000))
SAID = "모범생활을 합시다"
SLANG, OWN_WORD = "갓생", "흔한남매"


@pytest.fixture(scope="module")
def owner() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def admin(stack: Stack, owner: str) -> Iterator[Client]:
    with stack.client(owner, admin=True) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def library(stack: Stack, owner: str) -> None:
    """Korean videos, written as commit writes them: one of them says ``SAID``."""
    asyncio.run(_fill(stack, owner))


async def _fill(stack: Stack, tenant: str) -> None:
    environment = stack.environment()
    async with (
        SqlCatalog(environment["HEIMDEX_CATALOG"]) as catalog,
        OpenSearchText(environment["HEIMDEX_OPENSEARCH"]) as text,
    ):
        index = (await catalog.active_generation()).text_index
        await text.ensure(index)
        written: list[TextRow] = []
        for number in range(VIDEOS):
            made = _video(tenant, number)
            written += made.text
            await _catalogue(catalog, tenant, made)
        await text.upsert(index, written)
        await text.refresh(index)


def _video(tenant: str, number: int) -> Rows:
    video_id = ids.new_id("vid")
    said = {scene: f"{number}번 영상의 {scene}번째 이야기입니다" for scene in range(len(CUTS_MS) - 1)}
    if number == VIDEOS // 2:
        said[0] = SAID
    return rows(
        sidecar(video_id, CUTS_MS, said=said), tenant_id=tenant, video_id=video_id, revision=1, file_name="film.mp4"
    )


async def _catalogue(catalog: SqlCatalog, tenant: str, made: Rows) -> None:
    video_id, now_ms = made.scenes[0].video_id, time.time_ns() // 1_000_000
    upload = Upload(
        ids.new_id("upl"), tenant, "VIDEO", UploadState.OPEN, ids.source_key(tenant, video_id), 1, "video/mp4",
        hashlib.sha256(video_id.encode()).hexdigest(), "film.mp4", create_ms=now_ms, expire_ms=now_ms + 3_600_000,
        video_id=video_id,
    )  # fmt: skip
    call = Idempotency(tenant, "test", "CreateUpload", upload.upload_id, upload.sha256)
    await catalog.create_upload(upload, call, allow_duplicate=True)
    await catalog.begin_completion(tenant, upload.upload_id)
    await catalog.finish_completion(tenant, upload.upload_id, etag="", begins=NewRevision(1, "plan", {}, ()))
    await catalog.commit_revision(
        tenant, video_id, 1, scenes=made.scenes, language="ko", now_ms=now_ms, records=(), generations=(1,)
    )


@pytest.fixture
def before(admin: Client) -> Iterator[int]:
    """The generation that serves, which serves again after the test; others are given up."""
    number = admin.get_generation().generation
    yield number
    admin.promote_generation(number)
    eventually(lambda: search(admin, SAID).summary.generation == number, "it serves")
    for each in admin.list_generations():
        if each.generation != number:
            with suppress(NotFound):  # it has gone meanwhile
                admin.drop_generation(each.generation)


@dataclass
class Searches:
    """Searches one after another, all the time: what they read, and what went wrong."""

    generations: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    done: int = 0


@contextmanager
def searching(stack: Stack, tenant: str) -> Iterator[Searches]:
    """Search for what is said, from two threads, until the block ends."""
    seen, over = Searches(), threading.Event()

    def go_on() -> None:
        with stack.client(tenant) as client:
            while not over.is_set():
                try:
                    answer = search(client, SAID)
                except HeimdexError as error:
                    seen.wrong.append(str(error))
                    continue
                seen.generations.add(answer.summary.generation)
                seen.done += 1
                if not _is(answer, SAID):
                    seen.wrong.append(f"not found in {answer.summary.generation}: {answer.summary.degraded}")

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _is(answer: pb.SearchScenesResponse, said: str) -> bool:
    """Return whether the best hit says it."""
    return bool(answer.hits) and "".join(run.text for run in answer.hits[0].transcript) == said


def built(admin: Client, *, dictionary: tuple[str, ...] = (), synonyms: tuple[tuple[str, ...], ...] = ()) -> int:
    """Return the number of a generation with these words that is READY."""
    *_, last = admin.watch_generation(admin.create_generation(dictionary=dictionary, synonyms=synonyms).generation)
    assert last.state == admin_pb2.GENERATION_STATE_READY, last
    return last.generation


def index_of(number: int) -> str:
    return f"heimdex-scenes-{number}-a2"


@contextmanager
def opensearch(stack: Stack) -> Iterator[OpenSearch]:
    with OpenSearch(stack.environment()["HEIMDEX_OPENSEARCH"]) as client:
        yield client


def is_there(stack: Stack, number: int) -> bool:
    with opensearch(stack) as client:
        return bool(client.indices.exists(index=index_of(number)))


def documents(stack: Stack, number: int, tenant: str, video_id: str = "") -> int:
    of_video = [{"term": {"video_id": video_id}}] if video_id else []
    query = {"query": {"bool": {"filter": [{"term": {"tenant_id": tenant}}, *of_video]}}}
    with opensearch(stack) as client:
        client.indices.refresh(index=index_of(number))
        return int(client.count(index=index_of(number), body=query)["count"])


def words(stack: Stack, number: int, text: str) -> list[str]:
    with opensearch(stack) as client:
        answer = client.indices.analyze(index=index_of(number), body={"analyzer": "korean_search", "text": text})
    return [token["token"] for token in answer["tokens"]]


def is_gone(admin: Client, number: int) -> bool:
    return all(each.generation != number for each in admin.list_generations())


def finds_slang(client: Client) -> bool:
    return _is(search(client, SLANG), SAID)


@pytest.fixture
def film(pictures: Path, tmp_path: Path) -> Path:
    """A cat, a cup of coffee."""
    path = tmp_path / "film.mp4"
    make(path, [Shot(pictures / "chelsea.png", 2), Shot(pictures / "coffee.png", 2)])
    return path


def test_new_words_are_used_and_left_again_while_searches_go_on(
    stack: Stack, admin: Client, owner: str, before: int, film: Path
) -> None:
    assert not finds_slang(admin)
    with searching(stack, owner) as seen:
        number = built(admin, dictionary=(OWN_WORD,), synonyms=((SLANG, "모범생활"),))
        assert documents(stack, number, owner) == documents(stack, before, owner)
        assert not finds_slang(admin), "nothing changes before it is promoted"

        video = ingest(admin, film)  # by the whole flow, while there are two
        assert video.state == video_pb2.VIDEO_STATE_INDEXED
        assert documents(stack, number, owner, video.video_id) == video.scene_count > 0
        assert documents(stack, before, owner, video.video_id) == video.scene_count

        stream = admin.search(SAID)
        frames = [next(stream)]
        admin.promote_generation(number)
        frames += stream
        assert frames[-1].kind == pb.FRAME_KIND_DONE
        assert frames[-1].summary.generation == before, "it ends on the one it began with"

        eventually(lambda: finds_slang(admin), "the synonym is used")
        assert admin.get_generation().generation == number
        assert words(stack, number, f"{OWN_WORD}를") == [OWN_WORD]
        assert len(words(stack, before, f"{OWN_WORD}를")) > 1

        admin.promote_generation(before)
        eventually(lambda: not finds_slang(admin), "the old words are used again")
    assert seen.wrong == []
    assert seen.generations == {before, number}
    assert seen.done > 20

    admin.drop_generation(number)
    eventually(lambda: is_gone(admin, number), "it is gone")
    with pytest.raises(NotFound):
        admin.get_generation(number)
    assert (is_there(stack, number), is_there(stack, before)) == (False, True)


def test_a_builder_that_is_killed_goes_on_where_it_was(stack: Stack, admin: Client, owner: str, before: int) -> None:
    number = admin.create_generation(synonyms=((SLANG, "모범생활"),)).generation

    def half_built() -> bool:
        found = admin.get_generation(number)
        return 0 < found.videos_done < found.videos_total

    eventually(half_built, "it is half built", every_s=0.01)
    killed = stack.kill("control")
    stopped = admin.get_generation(number)
    assert stopped.state == admin_pb2.GENERATION_STATE_BUILDING
    stack.wait_restarted("control", killed)
    *_, last = admin.watch_generation(number)
    assert last.state == admin_pb2.GENERATION_STATE_READY
    assert documents(stack, number, owner) == documents(stack, before, owner)
    admin.promote_generation(number)
    eventually(lambda: finds_slang(admin), "the synonym is used")


def test_words_that_the_analysers_refuse_hurt_nobody(stack: Stack, admin: Client, owner: str, before: int) -> None:
    with searching(stack, owner) as seen:
        asked = admin.create_generation(synonyms=(("달려라", "뛰어라"),), promote_when_ready=True).generation
        *_, last = admin.watch_generation(asked)
        assert last.state == admin_pb2.GENERATION_STATE_FAILED
        assert last.error.message.startswith("vocabulary.synonyms[0].words[0]: 달려라 is read as")
    assert seen.wrong == []
    assert seen.generations == {before}


def test_nobody_else_may_change_words(stack: Stack, owner: str) -> None:
    with stack.client(owner) as client:
        with pytest.raises(PermissionDenied):
            client.create_generation()
        with pytest.raises(PermissionDenied):
            client.get_generation()
