"""Stores that fail: every way ends in a typed error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from adapters.text.opensearch import OpenSearchText
from adapters.vectors._link import Link
from adapters.vectors.milvus import MilvusVectors
from contracts.errors import DependencyUnavailable, HeimdexError, Internal
from contracts.ports import TextIndex, TextQuery, TextRow
from contracts.vocabulary import Vocabulary

NOWHERE = "http://127.0.0.1:1"
ROW = TextRow("scene:1", "acme", "vid_1", "scene", 1, 0, 1000, "고양이")

TEXT_CALLS: dict[str, Callable[[TextIndex], Awaitable[object]]] = {
    "ensure": lambda text: text.ensure("index"),
    "ensure with synonyms": lambda text: text.ensure("index", Vocabulary((), (("갓생", "모범생활"),))),
    "upsert": lambda text: text.upsert("index", [ROW]),
    "refresh": lambda text: text.refresh("index"),
    "search": lambda text: text.search("index", [TextQuery("acme", "고양이")]),
    "holding": lambda text: text.holding("index", "acme", ["scene:1"], ["고양이"]),
    "highlight": lambda text: text.highlight("index", "고양이", ["고양이"]),
    "suggest": lambda text: text.suggest("index", "acme", ["고"], limit=1),
    "delete": lambda text: text.delete("index", [("scene:1", "vid_1")]),
    "delete_video": lambda text: text.delete_video("index", "acme", "vid_1"),
    "count": lambda text: text.count("index", "acme"),
    "drop": lambda text: text.drop("index"),
}


@asynccontextmanager
async def answering(status: str, body: str) -> AsyncIterator[str]:
    """Give the URL of a server that answers everything alike, or hangs up when ``status`` is empty."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if status:
            head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def refusal(kind: str) -> str:
    return json.dumps({"error": {"root_cause": [], "type": kind, "reason": "no"}, "status": 0})


@pytest.mark.parametrize("call", TEXT_CALLS)
async def test_opensearch_that_is_not_there(call: str) -> None:
    async with OpenSearchText(NOWHERE) as text:
        with pytest.raises(DependencyUnavailable) as failed:
            await TEXT_CALLS[call](text)
    assert failed.value.dependency == "opensearch"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("429 Too Many Requests", refusal("rejected_execution_exception"), DependencyUnavailable),
        ("503 Service Unavailable", refusal("cluster_block_exception"), DependencyUnavailable),
        ("401 Unauthorized", refusal("security_exception"), DependencyUnavailable),
        ("502 Bad Gateway", "<html>", DependencyUnavailable),
        ("200 OK", "not what was asked for", DependencyUnavailable),
        ("200 OK", "[" * 100_000, DependencyUnavailable),
        ("", "", DependencyUnavailable),
        ("400 Bad Request", refusal("parsing_exception"), Internal),
    ],
)
async def test_opensearch_that_answers_wrongly(status: str, body: str, error: type[HeimdexError]) -> None:
    async with answering(status, body) as url, OpenSearchText(url) as text:
        for call in ("search", "upsert", "delete_video", "highlight"):
            with pytest.raises(error):
                await TEXT_CALLS[call](text)


_NONSENSE: tuple[object, ...] = (
    {},
    [],
    None,
    "yes",
    {"docs": 1, "responses": 1, "tokens": 1, "errors": True, "items": 1, "count": []},
    {"docs": [], "responses": [], "tokens": [7], "errors": True, "items": [[]], "count": "many"},
    {"docs": [None], "responses": [None], "tokens": [{}], "errors": True, "items": [{}], "count": None},
    {
        "docs": [{"term_vectors": {"transcript": {}}}],
        "responses": [{}],
        "tokens": [{"token": "a", "start_offset": 0, "end_offset": 9}],
        "errors": True,
        "items": [{"index": 1}],
        "count": {},
    },
)
"""Answers that are JSON and none of OpenSearch's."""

_STATUS_ALONE = {"ensure", "ensure with synonyms", "refresh", "drop"}  # of their first call
_READING = sorted(TEXT_CALLS.keys() - _STATUS_ALONE)


@pytest.mark.parametrize("answer", _NONSENSE, ids=map(str, range(len(_NONSENSE))))
@pytest.mark.parametrize("call", _READING)
async def test_an_answer_of_another_form_is_none_of_opensearchs(call: str, answer: object) -> None:
    async with answering("200 OK", json.dumps(answer)) as url, OpenSearchText(url) as text:
        with pytest.raises(DependencyUnavailable, match="makes no sense") as failed:
            await TEXT_CALLS[call](text)
    assert failed.value.dependency == "opensearch"


@pytest.mark.parametrize("kind", ["no_shard_available_action_exception", "illegal_index_shard_state_exception"])
async def test_opensearch_whose_shards_are_not_there_yet_is_not_empty(kind: str) -> None:
    started = json.dumps({"docs": [{"_index": "index", "_id": "0", "error": {"root_cause": [], "type": kind}}]})
    async with answering("200 OK", started) as url, OpenSearchText(url) as text:
        with pytest.raises(DependencyUnavailable, match=kind):
            await TEXT_CALLS["search"](text)


async def test_milvus_that_is_not_there() -> None:
    vector = np.ones(4, np.float32)
    async with MilvusVectors(NOWHERE) as vectors:
        for call in (
            vectors.ensure("c", 4),
            vectors.flush("c"),
            vectors.search("c", "acme", vector[None, :], limit=1),
            vectors.similarities("c", "acme", vector, ["scene:1"]),
            vectors.delete("c", "acme", ["scene:1"]),
            vectors.delete_video("c", "acme", "vid_1"),
            vectors.count("c", "acme"),
        ):
            with pytest.raises(DependencyUnavailable) as failed:
                await call
            assert failed.value.dependency == "milvus"


async def test_milvus_that_takes_the_connection_and_says_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        link = Link(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await link.open()
        with pytest.raises(DependencyUnavailable) as late:
            await link.call(0.2, lambda _: asyncio.sleep(0))
        assert late.value.reason == "DEADLINE_EXCEEDED"
        await link.close()


async def test_a_caller_that_gives_up_leaves_the_connection_to_the_others() -> None:
    async with MilvusVectors(NOWHERE) as vectors:
        first, second = (asyncio.ensure_future(vectors.count("c", "acme")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(DependencyUnavailable):
            await second
        assert first.cancelled()
