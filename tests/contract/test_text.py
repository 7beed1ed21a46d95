"""Text: one suite for every ``TextIndex``: memory, batches of it, OpenSearch with nori."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from adapters.text.batched import BatchedText
from adapters.text.memory import MemoryText
from contracts.errors import DependencyUnavailable
from contracts.ids import row_id
from contracts.ports import Scope, Suggested, TextHit, TextIndex, TextQuery, TextRow
from contracts.vocabulary import Vocabulary

MEMORY = "memory"
BATCHED = "batched"
OPENSEARCH = pytest.param("opensearch", marks=pytest.mark.integration)


@dataclass(frozen=True)
class Shelf:
    """An index of a test's own, which nobody has made yet."""

    index: TextIndex
    name: str

    async def fill(self, *rows: TextRow) -> None:
        await self.index.ensure(self.name)
        await self.index.upsert(self.name, rows)
        await self.index.refresh(self.name)

    async def ask(self, text: str, *phrases: str, tenant_id: str = "acme", **of: Any) -> list[TextHit]:
        (hits,) = await self.index.search(self.name, [TextQuery(tenant_id, text, phrases, **of)])
        return list(hits)

    async def said(self, text: str, *phrases: str, **of: Any) -> list[str]:
        return [hit.row_id for hit in await self.ask(text, *phrases, **of) if hit.coverage > 0]

    async def tagged(self, text: str) -> dict[str, float]:
        return {hit.row_id: round(hit.tag_score, 3) for hit in await self.ask(text) if hit.tag_score > 0}

    async def marked(self, text: str, *transcripts: str) -> list[list[str]]:
        ranges = await self.index.highlight(self.name, text, transcripts)
        return [[said[start:end] for start, end in of] for said, of in zip(transcripts, ranges, strict=True)]


@pytest.fixture(params=[MEMORY, BATCHED, OPENSEARCH])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    name = f"test-text-{secrets.token_hex(4)}"
    if request.param in {MEMORY, BATCHED}:
        memory = MemoryText()
        yield Shelf(BatchedText(memory) if request.param == BATCHED else memory, name)
        return
    from opensearchpy import AsyncOpenSearch

    from adapters.text.opensearch import OpenSearchText

    url = request.getfixturevalue("servers").opensearch
    async with OpenSearchText(url) as opensearch:
        yield Shelf(opensearch, name)
    async with AsyncOpenSearch(url) as client:
        await client.indices.delete(index=name, params={"ignore_unavailable": "true"})


def row(scene: str, transcript: str = "", *, revision: int = 1, **of: Any) -> TextRow:
    where: dict[str, Any] = {"tenant_id": "acme", "video_id": "vid_1", "start_ms": 0, **of}
    return TextRow(row_id(scene, revision), scene_id=scene, revision=revision, end_ms=10**9,
                   transcript=transcript, **where)  # fmt: skip


# ------------------------------------------------------------------------------------------------- speech


async def test_a_word_is_found_with_its_particle(shelf: Shelf) -> None:
    await shelf.fill(row("cat", "고양이가 창문을 봅니다"), row("dog", "강아지가 공원을 달립니다"))
    assert await shelf.said("고양이를") == ["cat:1"]
    assert await shelf.said("공원이") == ["dog:1"]
    assert await shelf.said("비행기") == []


async def test_a_row_has_nothing_of_the_list_that_it_is_not_in(shelf: Shelf) -> None:
    await shelf.fill(
        row("said", "고양이와 소파", tag_names=("소파",)),
        row("tagged", "고양이와 그 밖의 많은 이야기", tag_names=("소파", "고양이")),
    )
    said, tagged = await shelf.ask("고양이 소파", limit=1)
    assert (said.row_id, said.tag_score) == ("said:1", 0.0)
    assert (tagged.row_id, tagged.bm25, tagged.coverage) == ("tagged:1", 0.0, 0.0)
    assert said.coverage == tagged.tag_score == pytest.approx(1.0)


async def test_english_is_found_in_any_case(shelf: Shelf) -> None:
    await shelf.fill(row("one", "The Kettle is boiling"), row("two", "고양이"))
    assert await shelf.said("kettle") == ["one:1"]


async def test_more_of_the_query_comes_first(shelf: Shelf) -> None:
    await shelf.fill(row("half", "커피 이야기"), row("whole", "커피 그리고 케이크"), row("none", "날씨 소식"))
    hits = await shelf.ask("커피 케이크")
    assert [hit.row_id for hit in hits if hit.coverage > 0] == ["whole:1", "half:1"]
    assert [hit.bm25 for hit in hits] == sorted((hit.bm25 for hit in hits), reverse=True)


async def test_coverage_is_the_share_of_the_query_by_rarity(shelf: Shelf) -> None:
    common = [row(f"common{n}", "날씨 소식") for n in range(9)]
    await shelf.fill(*common, row("rare", "지진 소식"), row("both", "지진 날씨"))
    coverage = {hit.row_id: hit.coverage for hit in await shelf.ask("지진 날씨")}
    assert coverage["both:1"] == pytest.approx(1.0)
    assert coverage["rare:1"] + coverage["common0:1"] == pytest.approx(1.0)
    assert coverage["rare:1"] > 0.7


async def test_a_word_nobody_says_is_not_covered(shelf: Shelf) -> None:
    await shelf.fill(*(row(f"scene{n}", "커피 이야기") for n in range(5)))
    (best, *_) = await shelf.ask("커피 망원경")
    assert 0.0 < best.coverage < 0.3


async def test_scores_are_in_their_ranges(shelf: Shelf) -> None:
    await shelf.fill(row("one", "커피 커피 커피", tags=("coffee",), tag_names=("커피", "coffee")), row("two", "커피"))
    for hit in await shelf.ask("커피 coffee 한 잔"):
        assert hit.bm25 >= 0.0
        assert 0.0 <= hit.tag_score <= 1.0
        assert 0.0 <= hit.coverage <= 1.0


# ------------------------------------------------------------------------------------------------- phrases

SPOKEN = (
    row("in order", "오늘 점심 메뉴 발표"),
    row("apart", "오늘 저녁까지 우리가 모두 기다린 다음에 점심 메뉴"),
    row("turned", "메뉴 점심 오늘"),
    row("one word", "오늘 날씨"),
)


async def test_a_phrase_must_be_said_in_its_order(shelf: Shelf) -> None:
    await shelf.fill(*SPOKEN)
    assert await shelf.said("", "오늘 점심") == ["in order:1"]


async def test_every_phrase_must_be_said(shelf: Shelf) -> None:
    await shelf.fill(*SPOKEN)
    assert sorted(await shelf.said("", "점심", "메뉴")) == ["apart:1", "in order:1", "turned:1"]
    assert await shelf.said("", "점심 메뉴", "날씨") == []
    assert await shelf.said("오늘", "비행기") == []


async def test_words_beside_a_phrase_only_rank(shelf: Shelf) -> None:
    await shelf.fill(*SPOKEN)
    hits = await shelf.ask("발표", "점심 메뉴")
    assert [hit.row_id for hit in hits] == ["in order:1", "apart:1"]
    assert hits[0].coverage == pytest.approx(1.0)
    assert hits[1].coverage < 1.0


async def test_a_phrase_alone_is_covered(shelf: Shelf) -> None:
    await shelf.fill(*SPOKEN)
    assert [hit.coverage for hit in await shelf.ask("", "오늘 점심")] == pytest.approx([1.0])


async def test_tags_do_not_make_up_for_a_phrase(shelf: Shelf) -> None:
    await shelf.fill(row("seen", "", tags=("cat",), tag_names=("고양이",)), row("said", "고양이 이야기"))
    assert [hit.row_id for hit in await shelf.ask("", "고양이")] == ["said:1"]


# ------------------------------------------------------------------------------------------------- tags

TAGGED = (
    row("happy", "", tags=("happy",), tag_names=("웃는 얼굴", "웃음", "happy", "smile")),
    row("cat", "", tags=("cat",), tag_names=("고양이", "cat")),
    row("both", "", tags=("happy", "cat"), tag_names=("웃는 얼굴", "smile", "고양이", "cat")),
    row("nothing", "아무 말도 없다"),
)


async def test_tags_are_found_by_their_names_in_every_language(shelf: Shelf) -> None:
    await shelf.fill(*TAGGED)
    assert await shelf.tagged("고양이") == {"cat:1": 1.0, "both:1": 1.0}
    assert await shelf.tagged("Cat") == {"cat:1": 1.0, "both:1": 1.0}
    assert await shelf.tagged("smile") == {"happy:1": 1.0, "both:1": 1.0}


async def test_a_name_of_two_words_covers_the_whole_query(shelf: Shelf) -> None:
    await shelf.fill(*TAGGED)
    assert (await shelf.tagged("웃는 얼굴"))["happy:1"] == pytest.approx(1.0, abs=0.01)


async def test_the_tag_score_is_the_share_that_names_cover(shelf: Shelf) -> None:
    await shelf.fill(*TAGGED)
    shares = await shelf.tagged("smile cat")
    assert shares == {"both:1": 1.0, "happy:1": 0.5, "cat:1": 0.5}


async def test_a_tag_without_names_is_found_by_its_id(shelf: Shelf) -> None:
    await shelf.fill(row("scene", "", tags=("great_white_shark",)))
    assert await shelf.tagged("white shark") == {"scene:1": 1.0}


async def test_tags_are_not_speech(shelf: Shelf) -> None:
    await shelf.fill(*TAGGED)
    assert {(hit.bm25, hit.coverage) for hit in await shelf.ask("고양이")} == {(0.0, 0.0)}


async def test_neither_list_cuts_off_the_other(shelf: Shelf) -> None:
    said = [row(f"said{n}", "고양이 이야기") for n in range(5)]
    await shelf.fill(*said, row("seen", "", tags=("cat",), tag_names=("고양이",)))
    hits = await shelf.ask("고양이", limit=3)
    assert [hit.row_id for hit in hits if hit.tag_score > 0] == ["seen:1"]
    assert sum(hit.bm25 > 0 for hit in hits) == 3


# ------------------------------------------------------------------------------------------------- scope


async def test_a_tenant_sees_its_own_rows_only(shelf: Shelf) -> None:
    tags: dict[str, Any] = {"tags": ("cat",), "tag_names": ("고양이",)}
    await shelf.fill(row("mine", "고양이", **tags), row("theirs", "고양이", tenant_id="other", **tags))
    assert [hit.row_id for hit in await shelf.ask("고양이")] == ["mine:1"]
    assert [hit.row_id for hit in await shelf.ask("", "고양이", tenant_id="other")] == ["theirs:1"]
    assert await shelf.ask("고양이", tenant_id="nobody") == []
    await shelf.index.delete_video(shelf.name, "nobody", "vid_1")
    await shelf.index.refresh(shelf.name)
    assert await shelf.index.count(shelf.name, "other") == 1


async def test_only_the_videos_asked_for(shelf: Shelf) -> None:
    await shelf.fill(*(row(f"scene{n}", "고양이", video_id=f"vid_{n}") for n in range(4)))
    found = [hit.row_id for hit in await shelf.ask("고양이", scope=Scope(("vid_1", "vid_3")))]
    assert sorted(found) == ["scene1:1", "scene3:1"]


async def test_every_row_tells_its_video(shelf: Shelf) -> None:
    seen = row("seen", "", video_id="vid_2", tags=("cat",), tag_names=("고양이",))
    await shelf.fill(row("said", "고양이", video_id="vid_1"), seen)
    assert {hit.row_id: hit.video_id for hit in await shelf.ask("고양이")} == {"said:1": "vid_1", "seen:1": "vid_2"}


async def test_queries_are_answered_in_their_order(shelf: Shelf) -> None:
    await shelf.fill(row("cat", "고양이"), row("dog", "강아지"))
    queries = [TextQuery("acme", text) for text in ("강아지", "고양이", "", "비행기", "강아지")]
    lists = await shelf.index.search(shelf.name, queries)
    assert [[hit.row_id for hit in hits if hit.coverage] for hits in lists] == [["dog:1"], ["cat:1"], [], [], ["dog:1"]]
    assert list(await shelf.index.search(shelf.name, [])) == []


async def test_concurrent_callers_get_their_own_answers(shelf: Shelf) -> None:
    words = ("고양이", "강아지", "비행기", "자동차", "커피", "케이크")
    await shelf.fill(*(row(word, word) for word in words))
    found = await asyncio.gather(*(shelf.said(word) for word in words for _ in range(5)))
    assert found == [[f"{word}:1"] for word in words for _ in range(5)]


HARMLESS = (
    '"', "\\", "'", '{"match_all": {}}', "* OR *:*", "transcript:고양이", "<b>", "\u0000\u0007", "😀👩‍👩‍👧", "은는이가",
    "?!", " ", "가" * 1000, " ".join(f"낱말{n}" for n in range(200)), "a b " * 250,
)  # fmt: skip


async def test_whatever_is_typed_is_only_text(shelf: Shelf) -> None:
    await shelf.fill(row("scene", "강아지 이야기"))
    for text in HARMLESS:
        assert await shelf.said(text) == [], text
        assert await shelf.ask("", text) == [], text
        assert (await shelf.marked(text, "강아지 이야기", text, ""))[::2] == [[], []], text


# ------------------------------------------------------------------------------------------------- writing


async def test_a_replay_changes_nothing(shelf: Shelf) -> None:
    scene = row("scene", "고양이")
    await shelf.fill(scene)
    await shelf.fill(scene)
    assert await shelf.said("고양이") == ["scene:1"]
    assert await shelf.index.count(shelf.name, "acme") == 1


async def test_an_older_form_of_a_row_is_dropped(shelf: Shelf) -> None:
    newer = TextRow("scene:2", "acme", "vid_1", "scene", 2, 0, 1000, "강아지")
    older = TextRow("scene:2", "acme", "vid_1", "scene", 1, 0, 1000, "고양이")
    await shelf.fill(newer)
    await shelf.fill(older)
    assert await shelf.said("강아지") == ["scene:2"]
    assert await shelf.said("고양이") == []


async def test_deleted_rows_are_gone_after_a_refresh(shelf: Shelf) -> None:
    await shelf.fill(row("gone", "고양이"), row("kept", "고양이"))
    await shelf.index.delete(shelf.name, [("gone:1", "vid_1"), ("never:1", "vid_1")])
    await shelf.index.refresh(shelf.name)
    assert await shelf.said("고양이") == ["kept:1"]
    await shelf.index.delete(shelf.name, [])


async def test_a_deleted_row_may_come_back(shelf: Shelf) -> None:
    await shelf.fill(row("scene", "고양이"))
    await shelf.index.delete(shelf.name, [("scene:1", "vid_1")])
    await shelf.fill(row("scene", "강아지"))
    assert await shelf.said("강아지") == ["scene:1"]


async def test_a_video_goes_whole_and_alone(shelf: Shelf) -> None:
    scenes = [row(f"scene{n}", "고양이", revision=n % 2 + 1) for n in range(4)]
    await shelf.fill(*scenes, row("other", "고양이", video_id="vid_2"))
    await shelf.index.upsert(shelf.name, [row("not yet searchable", "고양이")])
    await shelf.index.delete_video(shelf.name, "acme", "vid_1")
    await shelf.index.refresh(shelf.name)
    assert await shelf.index.count(shelf.name, "acme", "vid_1") == 0
    assert await shelf.index.count(shelf.name, "acme") == 1
    assert await shelf.said("고양이") == ["other:1"]
    await shelf.index.delete_video(shelf.name, "acme", "vid_1")


async def test_more_rows_than_one_call_takes(shelf: Shelf) -> None:
    rows = [row(f"scene{n}", "고양이") for n in range(1001)]
    await shelf.fill(*rows)
    assert await shelf.index.count(shelf.name, "acme") == 1001
    await shelf.index.delete(shelf.name, [(r.row_id, r.video_id) for r in rows])
    await shelf.index.refresh(shelf.name)
    assert await shelf.index.count(shelf.name, "acme") == 0


async def test_what_nobody_has_made_is_empty(shelf: Shelf) -> None:
    assert await shelf.ask("고양이", "강아지") == []
    assert await shelf.marked("고양이", "고양이") == [[]]
    assert await shelf.index.count(shelf.name, "acme") == 0
    await shelf.index.refresh(shelf.name)
    await shelf.index.delete(shelf.name, [("scene:1", "vid_1")])
    await shelf.index.delete_video(shelf.name, "acme", "vid_1")


async def test_what_nobody_has_made_takes_no_rows(shelf: Shelf) -> None:
    with pytest.raises(DependencyUnavailable) as refused:
        await shelf.index.upsert(shelf.name, [row("scene", "고양이")])
    assert refused.value.retryable


async def test_many_may_make_it_at_once_and_again(shelf: Shelf) -> None:
    await asyncio.gather(*(shelf.index.ensure(shelf.name) for _ in range(5)))
    await shelf.fill(row("scene", "고양이"))
    await shelf.index.ensure(shelf.name)
    assert await shelf.said("고양이") == ["scene:1"]


# ------------------------------------------------------------------------------------------------- marks


async def test_marks_are_where_the_words_are(shelf: Shelf) -> None:
    await shelf.fill()
    assert await shelf.marked("고양이 창문", "창문을 보는 고양이가 고양이를 봅니다", "강아지", "") == [
        ["창문", "고양이", "고양이"],
        [],
        [],
    ]


async def test_marks_count_code_points(shelf: Shelf) -> None:
    await shelf.fill()
    transcript = "😀😀 고양이😀가 👩‍👩‍👧 고양이"
    (ranges,) = await shelf.index.highlight(shelf.name, "고양이", [transcript])
    assert list(ranges) == [(3, 6), (15, 18)]


async def test_marks_are_apart_and_ascending(shelf: Shelf) -> None:
    await shelf.fill()
    (ranges,) = await shelf.index.highlight(shelf.name, "고양이 고양이가", ["고양이가 고양이를 고양이"])
    assert all(one[1] < other[0] for one, other in pairwise(ranges))
    assert len(ranges) == 3


async def test_nothing_is_marked_for_nothing(shelf: Shelf) -> None:
    await shelf.fill()
    assert await shelf.marked("", "고양이") == [[]]
    assert await shelf.marked("고양이") == []


# ------------------------------------------------------------------------------------------------- suggestions


async def suggested(shelf: Shelf, *begun: str, tenant_id: str = "acme", limit: int = 10) -> list[list[Suggested]]:
    return [list(words) for words in await shelf.index.suggest(shelf.name, tenant_id, begun, limit=limit)]


async def words(shelf: Shelf, begun: str, **of: Any) -> list[str]:
    (found,) = await suggested(shelf, begun, **of)
    return [word.text for word in found]


@pytest.mark.parametrize(
    "begun", ["ㄱㅊㅉㄱ", "ㄱㅊ", "ㄱ", "김", "김ㅊ", "김칮", "김치ㅉ", "김치찌", "김치찌개", "김 치찌"]
)
async def test_a_word_is_suggested_at_every_step_of_typing(shelf: Shelf, begun: str) -> None:
    await shelf.fill(row("stew", "김치찌개"), row("bus", "버스"))
    assert "김치찌개" in await words(shelf, begun)
    assert "버스" not in await words(shelf, begun)


@pytest.mark.parametrize(
    "begun", ["김치찌개가", "ㄲㅊ", "치찌", "김치찍ㄱ", "ㄱㅊㅉㄱㄱ", ".*", "김치.*", "(", "|", "\\", "<1-9>", "~"]
)
async def test_what_nothing_goes_on_as_suggests_nothing(shelf: Shelf, begun: str) -> None:
    await shelf.fill(row("stew", "김치찌개"))
    assert await words(shelf, begun) == []


async def test_words_of_most_scenes_come_first(shelf: Shelf) -> None:
    await shelf.fill(*(row(f"scene{n}", "사과 사과 사람" if n else "사과") for n in range(3)))
    assert await suggested(shelf, "사", "바") == [[Suggested("사과", False, 3), Suggested("사람", False, 2)], []]
    assert await words(shelf, "사", limit=1) == ["사과"]


async def test_names_of_tags_are_suggested_in_every_language(shelf: Shelf) -> None:
    await shelf.fill(
        row("one", "얼굴", tags=("happy",), tag_names=("웃는 얼굴", "Smile")),
        row("two", "", tags=("great_white_shark",)),
    )
    assert await suggested(shelf, "웃는 어", "ㅇㄴㅇㄱ", "smi", "GREAT W") == [
        [Suggested("웃는 얼굴", True, 1)],
        [Suggested("웃는 얼굴", True, 1)],
        [Suggested("Smile", True, 1)],
        [Suggested("great white shark", True, 1)],
    ]


async def test_a_word_in_several_cases_is_one(shelf: Shelf) -> None:
    await shelf.fill(row("one", "GDP gdp"), row("two", "GDP"), row("three", "gdp"))
    ((found,),) = await suggested(shelf, "Gd")
    assert (found.text.casefold(), found.scenes) == ("gdp", 3)


async def test_only_the_words_of_the_own_tenant_are_suggested(shelf: Shelf) -> None:
    await shelf.fill(
        row("mine", "사과"), row("theirs", "사람 사과", tenant_id="other", tags=("cat",), tag_names=("사자",))
    )
    assert await suggested(shelf, "사") == [[Suggested("사과", False, 1)]]
    assert await words(shelf, "사", tenant_id="nobody") == []


async def test_the_words_of_a_deleted_video_vanish(shelf: Shelf) -> None:
    await shelf.fill(row("gone", "사과 사람"), row("kept", "사과", video_id="vid_2"))
    await shelf.index.delete_video(shelf.name, "acme", "vid_1")
    await shelf.index.refresh(shelf.name)
    assert await suggested(shelf, "사") == [[Suggested("사과", False, 1)]]


async def test_what_nobody_has_made_suggests_nothing(shelf: Shelf) -> None:
    assert await suggested(shelf, "사", "바") == [[], []]


async def test_whatever_is_typed_is_only_a_beginning(shelf: Shelf) -> None:
    await shelf.fill(row("scene", "강아지"))
    assert await suggested(shelf, *(text for text in HARMLESS if text.strip())) == [
        [] for text in HARMLESS if text.strip()
    ]


# ------------------------------------------------------------------------------------------------- filters


async def test_a_thousand_videos_can_be_asked_for(shelf: Shelf) -> None:
    await shelf.fill(row("in", "고양이", video_id=f"vid_{999:026d}"), row("out", "고양이", video_id=f"vid_{1000:026d}"))
    assert await shelf.said("고양이", scope=Scope(tuple(f"vid_{n:026d}" for n in range(1000)))) == ["in:1"]


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (Scope(start_from_ms=2000), ["scene2:1", "scene3:1"]),
        (Scope(start_to_ms=2000), ["scene0:1", "scene1:1"]),
        (Scope(("vid_0",), 1000, 3000), ["scene2:1"]),
        (Scope(start_from_ms=3001), []),
    ],
)
async def test_only_scenes_that_begin_within_the_offsets(shelf: Shelf, scope: Scope, found: list[str]) -> None:
    for n in range(4):
        where: dict[str, Any] = {"video_id": f"vid_{n % 2}", "start_ms": n * 1000, "tag_names": ("고양이",)}
        await shelf.fill(row(f"scene{n}", "고양이", **where))
    assert sorted(await shelf.said("고양이", scope=scope)) == found
    assert sorted(hit.row_id for hit in await shelf.ask("고양이", scope=scope) if hit.tag_score > 0) == found


SHOWN = (
    row("said", "고양이가 잔다", tags=("sofa",), tag_names=("소파",)),
    row("both", "고양이가 잔다", tags=("cat", "sofa"), tag_names=("고양이", "소파")),
    row("seen", "안녕하세요", tags=("cat", "sofa"), tag_names=("고양이", "소파")),
    row("silent", "", tags=("sofa", "cat"), tag_names=("소파", "고양이")),
    row("theirs", "고양이가 잔다", tenant_id="other", tags=("cat", "sofa")),
)


async def test_every_tag_must_be_there_and_no_word_need_be(shelf: Shelf) -> None:
    await shelf.fill(*SHOWN)
    hits = {hit.row_id: hit for hit in await shelf.ask("잔다", tags=("cat", "sofa"))}
    assert hits.keys() == {"both:1", "seen:1", "silent:1"}
    assert hits["both:1"].bm25 > 0.0
    assert [(hits[row].bm25, hits[row].coverage) for row in ("seen:1", "silent:1")] == [(0.0, 0.0), (0.0, 0.0)]
    assert {hit.video_id for hit in hits.values()} == {"vid_1"}
    assert await shelf.ask("잔다", tags=("cat", "dog")) == []


async def test_tags_alone_are_asked_for(shelf: Shelf) -> None:
    assert await shelf.ask("", tags=("cat",)) == []
    await shelf.fill(*SHOWN)
    assert sorted(hit.row_id for hit in await shelf.ask("", tags=("cat",))) == ["both:1", "seen:1", "silent:1"]
    assert len(await shelf.ask("", tags=("cat",), limit=2)) == 2


async def test_tags_are_ids_not_names(shelf: Shelf) -> None:
    await shelf.fill(*SHOWN)
    assert await shelf.ask("", tags=("고양이",)) == []


async def test_a_phrase_is_looked_for_among_rows_with_the_tags(shelf: Shelf) -> None:
    await shelf.fill(*SHOWN)
    hits = await shelf.ask("", "고양이가 잔다", tags=("cat",))
    assert [hit.row_id for hit in hits] == ["both:1"]


HELD = (
    row("cat", "하얀 고양이가 창문을 봅니다"),
    row("mug", "안녕하세요", tags=("coffee_mug",), tag_names=("머그잔",)),
    row("dog", "검은 강아지가 공원을 달립니다", video_id="vid_2"),
    row("none", ""),
    row("theirs", "하얀 고양이가 창문을 봅니다", tenant_id="other"),
)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (("고양이",), {"cat:1"}),
        (("고양이는", "강아지"), {"cat:1", "dog:1"}),
        (("하얀 고양이",), {"cat:1"}),
        (("고양이 하얀",), set()),
        (("하얀 강아지",), set()),
        (("머그잔",), {"mug:1"}),
        (("coffee mug",), {"mug:1"}),
        (("coffee", "망원경"), {"mug:1"}),
        (("망원경",), set()),
        ((), set()),
    ],
)
async def test_rows_that_hold_a_text_are_told(shelf: Shelf, texts: tuple[str, ...], found: set[str]) -> None:
    await shelf.fill(*HELD)
    rows = [held.row_id for held in HELD]
    assert await shelf.index.holding(shelf.name, "acme", rows, texts) == found
    assert await shelf.index.holding(shelf.name, "acme", ["none:1", "unknown:1"], texts) == frozenset()
    assert await shelf.index.holding(shelf.name, "acme", [], texts) == frozenset()


async def test_rows_hold_exactly_the_phrases_that_a_search_finds(shelf: Shelf) -> None:
    await shelf.fill(*SPOKEN)
    rows = [spoken.row_id for spoken in SPOKEN]
    for phrase in ("점심 메뉴", "메뉴 점심", "오늘 점심 메뉴", "우리가 모두"):
        found = {hit.row_id for hit in await shelf.ask("", phrase)}
        assert await shelf.index.holding(shelf.name, "acme", rows, [phrase]) == found


async def test_nobody_holds_anything_in_an_index_that_is_not_there(shelf: Shelf) -> None:
    assert await shelf.index.holding(shelf.name, "acme", ["cat:1"], ["고양이"]) == frozenset()


# --------------------------------------------------------------------------------------------- vocabulary

SLANG = Vocabulary(("국뽕", "갓생 갓 생"), (("갓생", "모범생활"), ("국뽕", "애국주의")))


async def test_a_synonym_of_the_indexs_own_is_found_covered_and_marked(shelf: Shelf) -> None:
    await shelf.index.ensure(shelf.name, SLANG)
    await shelf.fill(row("said", "모범생활을 합시다"), row("other", "날씨 소식"))
    assert await shelf.said("갓생") == ["said:1"]
    assert [hit.coverage for hit in await shelf.ask("갓생")] == [pytest.approx(1.0)]
    assert await shelf.marked("갓생", "모범생활을 합시다") == [["모범생활"]]
    assert await shelf.said("애국주의") == []


async def test_a_tag_is_meant_by_a_synonym_with_the_share_of_its_word(shelf: Shelf) -> None:
    await shelf.index.ensure(shelf.name, Vocabulary(("먼치킨냥",), (("먼치킨냥", "고양이"),)))
    await shelf.fill(
        row("cat", tags=("cat",), tag_names=("고양이",)),
        row("both", tags=("cat", "munchkin"), tag_names=("고양이", "먼치킨냥")),
        row("sofa", tags=("sofa",), tag_names=("소파",)),
        row("said", "먼치킨냥과 소파"),
    )
    assert await shelf.tagged("먼치킨냥") == {"cat:1": 1.0, "both:1": 1.0}
    apart = await shelf.tagged("먼치킨냥 소파")
    assert apart["cat:1"] == apart["both:1"] == pytest.approx(1 - apart["sofa:1"], abs=0.002)
    assert 0 < apart["cat:1"] < 1


async def test_an_index_keeps_the_words_that_it_was_made_with(shelf: Shelf) -> None:
    await shelf.fill(row("said", "모범생활을 합시다"))
    await shelf.index.ensure(shelf.name, SLANG)
    assert await shelf.said("갓생") == []


async def test_one_that_was_dropped_may_be_made_with_other_words(shelf: Shelf) -> None:
    await shelf.fill(row("said", "모범생활을 합시다"))
    assert await shelf.said("갓생") == []
    await shelf.index.drop(shelf.name)
    await shelf.index.drop(shelf.name)
    assert await shelf.said("모범생활") == []
    assert await shelf.index.count(shelf.name, "acme") == 0
    await shelf.index.ensure(shelf.name, SLANG)
    await shelf.fill(row("said", "모범생활을 합시다"))
    assert await shelf.said("갓생") == ["said:1"]


async def test_many_who_ask_at_once_get_the_same_synonyms(shelf: Shelf) -> None:
    await shelf.index.ensure(shelf.name, SLANG)
    await shelf.fill(row("said", "모범생활을 합시다"))
    assert await asyncio.gather(*(shelf.said("갓생") for _ in range(20))) == [["said:1"]] * 20
