"""Searches: frames and hits, message by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from contracts.catalog import ScenePerson, SceneRow
from gateway import searches
from heimdex.scene.v1 import scene_pb2
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.parse import Parsed
from indexer.search.types import (
    Cause,
    Channel,
    Degraded,
    Facet,
    FacetCount,
    FrameKind,
    Hit,
    MatchQuality,
    Ranked,
    Run,
    Summary,
    Update,
)


def hit() -> Hit:
    scene = scene_pb2.Scene(scene_id="scn_1", transcript=[scene_pb2.TranscriptLine(text="고양이가 잔다")])
    row = SceneRow(
        "scn_1", "team", "vid_1", 1, 0, 0, 1000, scene.SerializeToString(), (ScenePerson("per_1", "민지", 0.75),)
    )
    ranked = Ranked(
        "scn_1:1", 0.625, 0.5, MatchQuality.BEST_GUESS,
        (Channel.TAGS, Channel.DENSE), similarities=(0.5, 1.0), weights=(0.25, 0.5), raw=(2.0, 0.875),
    )  # fmt: skip
    return Hit(3, row, ranked, (Run("고양이", True, 0, 500), Run("가 잔다", False, 0, 500)))


def messages(hits: Sequence[Hit], *people: str) -> list[pb.SceneHit]:
    answer = pb.SearchScenesResponse()
    searches.put_hits(hits, people, answer.hits.add)
    return list(answer.hits)


def test_a_hit_is_told_whole() -> None:
    (message,) = messages([hit()])
    assert (message.rank, message.score, message.confidence) == (3, 0.625, 0.5)
    assert message.match_quality == pb.MATCH_QUALITY_BEST_GUESS
    assert (message.scene.scene_id, len(message.scene.transcript)) == ("scn_1", 0)
    assert [(p.person_id, p.confidence) for p in message.scene.people] == [("per_1", 0.75)]
    assert [(p.channel, p.similarity, p.weight, p.points, p.raw) for p in message.contributions] == [
        (pb.CHANNEL_DENSE, 1.0, 0.5, 0.5, 0.875), (pb.CHANNEL_TAGS, 0.5, 0.25, 0.125, 2.0),
    ]  # fmt: skip
    assert [(r.text, r.highlighted, r.end_offset.ToMilliseconds()) for r in message.transcript] == [
        ("고양이", True, 500), ("가 잔다", False, 500),
    ]  # fmt: skip


def test_only_done_has_a_summary() -> None:
    partial = searches.frame(Update(FrameKind.PARTIAL, (hit(),), (Channel.LEXICAL, Channel.TAGS)), "qry_1")
    assert (partial.kind, partial.HasField("summary")) == (pb.FRAME_KIND_PARTIAL, False)
    assert list(partial.answered) == [pb.CHANNEL_LEXICAL, pb.CHANNEL_TAGS]
    summary = Summary(
        total_hits=9,
        match_quality=MatchQuality.SUPPORTED,
        degraded=(Degraded(Channel.VISION, Cause.LATE), Degraded(Channel.DENSE, Cause.FAILED)),
        elapsed_ms=1234,
        channel_ms={Channel.DENSE: 12, Channel.VISION: 3000},
        ranking="small-v1",
        generation=4,
        people=(ScenePerson("per_1", "민지", 1.0),),
        total_is_lower_bound=True,
        parsed=Parsed("우는", "우는 장면", ("안녕",), (), excluded=("비",), read_as="우는"),
        facets={Facet.TAGS: (FacetCount("cat", "고양이", 2), FacetCount("dog", "개", 1)), Facet.PEOPLE: ()},
        weak=(hit(),),
    )
    done = searches.frame(Update(FrameKind.DONE, (), (Channel.PEOPLE,), summary), "qry_1")
    assert (done.kind, list(done.answered)) == (pb.FRAME_KIND_DONE, [pb.CHANNEL_PEOPLE])
    said = done.summary
    assert (said.total_hits, said.match_quality, said.ranking, said.generation) == (
        9, pb.MATCH_QUALITY_SUPPORTED, "small-v1", 4,
    )  # fmt: skip
    assert [(d.channel, d.cause) for d in said.degraded] == [
        (pb.CHANNEL_VISION, pb.DEGRADED_CAUSE_LATE), (pb.CHANNEL_DENSE, pb.DEGRADED_CAUSE_UNAVAILABLE),
    ]  # fmt: skip
    assert said.elapsed.ToMilliseconds() == 1234
    assert [p.display_name for p in said.people] == ["민지"]
    assert (said.query_id, said.total_is_lower_bound) == ("qry_1", True)
    assert [(t.channel, t.elapsed.ToMilliseconds()) for t in said.timings] == [
        (pb.CHANNEL_DENSE, 12), (pb.CHANNEL_VISION, 3000),
    ]  # fmt: skip
    parsed = said.parsed
    assert (parsed.words, parsed.meaning, parsed.read_as) == ("우는", "우는 장면", "우는")
    assert (list(parsed.phrases), list(parsed.excluded)) == (["안녕"], ["비"])
    assert [p.person_id for p in parsed.people] == ["per_1"]
    assert [(f.facet, [(c.value, c.label, c.count) for c in f.counts]) for f in said.facets] == [
        (pb.FACET_TAGS, [("cat", "고양이", 2), ("dog", "개", 1)]), (pb.FACET_PEOPLE, []),
    ]  # fmt: skip
    assert [weak.rank for weak in done.weak_hits] == [3]


def test_tags_that_the_query_names_are_told_in_their_order() -> None:
    tags = [scene_pb2.Tag(tag=tag) for tag in ("husky", "cat", "shark")]
    found = hit()
    body = scene_pb2.Scene(scene_id="scn_1", tags=tags).SerializeToString()
    (message,) = messages([replace(found, scene=replace(found.scene, body=body), tags=(0, 2))])
    assert [tag.tag for tag in message.matched_tags] == ["husky", "shark"]


def test_people_that_were_asked_for_are_told_surest_first() -> None:
    (nobody,), (somebody,) = messages([hit()]), messages([hit()], "per_1", "per_9")
    assert not nobody.matched_people
    assert [p.display_name for p in somebody.matched_people] == ["민지"]
    found = hit()
    there = tuple(ScenePerson(f"per_{n}", f"{n}", n / 10) for n in (2, 8, 5))
    (message,) = messages([replace(found, scene=replace(found.scene, people=there))], "per_8", "per_2")
    assert [p.person_id for p in message.matched_people] == ["per_8", "per_2"]


def test_every_name_of_the_search_is_one_of_the_wire() -> None:
    for channel in Channel:
        assert searches.channel(channel)
    for quality in MatchQuality:
        assert searches.quality(quality)
    for facet in Facet:
        assert pb.Facet.Value(f"FACET_{facet.name}")
    for kind in FrameKind:
        assert pb.FrameKind.Value(f"FRAME_KIND_{kind.name}")
