"""Searches: requests and frames, message by value."""

from __future__ import annotations

from contracts.catalog import ScenePerson, SceneRow
from gateway import searches
from heimdex.scene.v1 import scene_pb2
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.types import (
    Cause,
    Channel,
    Degraded,
    FrameKind,
    Hit,
    MatchQuality,
    Ranked,
    Run,
    SearchRequest,
    Summary,
    Update,
)

VIDEO, PERSON = "vid_00000000000000000000000000", "per_00000000000000000000000000"


def test_a_request_is_taken_with_its_defaults() -> None:
    assert searches.from_proto(pb.SearchScenesRequest(query=" 고양이 "), "team") == SearchRequest("team", "고양이")


def test_a_request_is_taken_whole() -> None:
    narrow = pb.SearchFilter(video_ids=[VIDEO, VIDEO], person_ids=[PERSON], min_confidence=0.5)
    asked = pb.SearchScenesRequest(query="", page_size=7, filter=narrow, delivery=pb.DELIVERY_FINAL_ONLY)
    assert searches.from_proto(asked, "team") == SearchRequest(
        "team", "", limit=7, video_ids=(VIDEO,), person_ids=(PERSON,), min_confidence=0.5, progressive=False
    )


def test_pages_belong_to_what_decides_the_hits() -> None:
    asked = SearchRequest("team", "고양이", video_ids=("a", "b"), person_ids=("p",), min_confidence=0.5)
    same = SearchRequest(
        "team", "고양이", 99, video_ids=("b", "a"), person_ids=("p",), min_confidence=0.5, progressive=False
    )
    assert searches.scope(asked) == searches.scope(same)
    others = [
        SearchRequest("team", "개", video_ids=("a", "b"), person_ids=("p",), min_confidence=0.5),
        SearchRequest("team", "고양이", video_ids=("a",), person_ids=("b", "p"), min_confidence=0.5),
        SearchRequest("team", "고양이", video_ids=("a", "b"), person_ids=("p",)),
    ]
    assert len({searches.scope(each) for each in (asked, *others)}) == 4


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


def test_a_hit_is_told_whole() -> None:
    (message,) = searches.hits([hit()])
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
    partial = searches.frame(Update(FrameKind.PARTIAL, (hit(),), (Channel.LEXICAL, Channel.TAGS)))
    assert (partial.kind, partial.HasField("summary")) == (pb.FRAME_KIND_PARTIAL, False)
    assert list(partial.answered) == [pb.CHANNEL_LEXICAL, pb.CHANNEL_TAGS]
    summary = Summary(
        total_hits=9,
        match_quality=MatchQuality.SUPPORTED,
        degraded=(Degraded(Channel.VISION, Cause.LATE), Degraded(Channel.DENSE, Cause.FAILED)),
        elapsed_ms=1234,
        channel_ms={},
        ranking="small-v1",
        generation=4,
        people=(ScenePerson("per_1", "민지", 1.0),),
    )
    done = searches.frame(Update(FrameKind.DONE, (), (Channel.PEOPLE,), summary))
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


def test_every_name_of_the_search_is_one_of_the_wire() -> None:
    for channel in Channel:
        assert searches.channel(channel)
    for quality in MatchQuality:
        assert searches.quality(quality)
    for kind in FrameKind:
        assert pb.FrameKind.Value(f"FRAME_KIND_{kind.name}")
