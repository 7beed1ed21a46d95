"""Feedback on the real stack: a search and what became of it, as analysts read them from Kafka."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from deploy.demo.film import Shot, make
from deploy.local.tenant import keep_queries
from heimdex.client import Client, NotFound
from heimdex.events.v1 import events_pb2
from heimdex.search.v1 import search_service_pb2 as search_pb2
from heimdex.video.v1 import video_pb2
from tests.e2e.stores import told
from tests.stack import Stack, eventually, ingest, search

pytestmark = pytest.mark.e2e

PERFORMED, FEEDBACK = "heimdex-search-performed-v1", "heimdex-search-feedback-v1"


@pytest.fixture
def film(tmp_path: Path, pictures: Path) -> Path:
    """A cup of coffee, a cat, the cup again."""
    path = tmp_path / "film.mp4"
    make(path, [Shot(pictures / name, 3) for name in ("coffee.png", "chelsea.png", "coffee.png")])
    return path


def test_a_search_and_its_feedback_reach_analysts_without_a_word_of_it(
    stack: Stack, client: Client, tenant: str, film: Path
) -> None:
    assert ingest(client, film).state == video_pb2.VIDEO_STATE_INDEXED
    done = search(client, "커피", limit=1)
    query_id = done.summary.query_id
    hit = done.hits[0]
    assert done.next_page_token
    search(client, "커피", limit=1, page_token=done.next_page_token)
    for _ in range(2):
        client.record_feedback(
            query_id, search_pb2.FEEDBACK_KIND_RELEVANT, scene_id=hit.scene.scene_id, rank=1, request_id="once"
        )
    again = search(client, " 커피 ")

    def heard() -> dict[str, events_pb2.SearchPerformed]:
        events = map(events_pb2.SearchPerformed.FromString, told(stack, PERFORMED, tenant))
        return {event.query_id: event for event in events}

    eventually(lambda: len(heard()) >= 2, "both searches are told")
    assert set(heard()) == {query_id, again.summary.query_id}, "no later page"
    first = heard()[query_id]
    assert first.query_hash == heard()[again.summary.query_id].query_hash
    assert list(first.inputs) == ["text"]
    assert (first.total_hits, first.match_quality) == (done.summary.total_hits, done.summary.match_quality)
    assert {timing.channel for timing in first.timings} >= {search_pb2.CHANNEL_LEXICAL, search_pb2.CHANNEL_VISION}
    assert "커피".encode() not in first.SerializeToString()

    (feedback,) = map(
        events_pb2.SearchFeedback.FromString, eventually(lambda: told(stack, FEEDBACK, tenant), "the feedback is told")
    )
    assert (feedback.query_id, feedback.scene_id, feedback.rank) == (query_id, hit.scene.scene_id, 1)
    assert feedback.kind == search_pb2.FEEDBACK_KIND_RELEVANT


def test_a_text_is_in_the_catalogue_only_while_the_tenant_keeps_texts(
    stack: Stack, client: Client, tenant: str
) -> None:
    def texts() -> list[str]:
        with sqlite3.connect(stack.home.data / "catalog.db") as catalog:
            rows = catalog.execute("SELECT text FROM queries WHERE tenant_id = ?", (tenant,))
            return [text for (text,) in rows]

    search(client, "아직")
    eventually(lambda: told(stack, PERFORMED, tenant), "the search is told")
    keep_queries(stack.home, tenant, kept=True)
    search(client, "이제는")
    eventually(lambda: len(told(stack, PERFORMED, tenant)) == 2, "the next one is told")
    assert texts() == ["이제는"]
    keep_queries(stack.home, tenant, kept=False)
    assert texts() == []


def test_feedback_on_anothers_scene_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        client.record_feedback("qry_" + "0" * 26, search_pb2.FEEDBACK_KIND_OPENED, scene_id="scn_" + "0" * 26)
