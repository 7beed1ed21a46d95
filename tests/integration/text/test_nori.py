"""Nori: what the real plugin makes of Korean, and what is found, covered and marked by it."""

from __future__ import annotations

import json
import secrets
import unicodedata
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from adapters.text._synonyms import groups
from adapters.text.analysis import MARKED, NOUNS, SEARCHED, settings
from adapters.text.opensearch import OpenSearchText
from contracts.errors import InvalidRequest
from contracts.ports import TextQuery, TextRow
from contracts.vocabulary import MAX_GROUPS, MAX_WORDS, Vocabulary
from tests.stack import Servers

if TYPE_CHECKING:
    from opensearchpy import AsyncOpenSearch

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]  # the index is all tests'

# Text -> words of a row, words of a query. Source: the real plugin; those above the line were measured before building.
GOLDEN = {
    "김치찌개를 끓였습니다": ("김치찌개 김치 찌개 끓였 끓이", "김치 찌개 끓이"),
    "비급여 진료": ("비급여 진료", "비급여 진료"),
    "주문상세내역": ("주문상세내역 주문 상세 내역", "주문 상세 내역"),
    "삼성전자 주가가 올랐다": ("삼성전자 삼성 전자 주가 올랐 오르", "삼성 전자 주가 오르"),
    "아버지가방에들어가신다": ("아버지 방 들어가", "아버지 방 들어가"),
    "남자가 울고 있어요": ("남자 울 있", "남자 울 있"),
    "민지가 우는 장면": ("민지 우 울 장면", "민지 울 장면"),
    # ----
    "22일 만일": ("22 일 만일", "22 일 만일"),
    "韓國": ("한국", "한국"),
    "BTS콘서트": ("bts 콘서트", "bts 콘서트"),
    "News of people's babies": ("news of people s baby", "news of people s baby"),
    "웃는 얼굴, (웃음)": ("웃 얼굴 웃음 웃 음", "웃 얼굴 웃 음"),
    "세상의": ("세상", "세상"),
    "한국의 커피의 향": ("한국 커피 향", "한국 커피 향"),
    "국민들이 안녕하세요": ("국민 안녕", "국민 안녕"),
    "학생입니다": ("학생", "학생"),
    "나무꾼 구역질": ("나무 꾼 구역 질", "나무 꾼 구역 질"),
}

SCENES = Path(__file__).parents[2] / "eval" / "scenes" / "corpus.jsonl"


@pytest.fixture(scope="module")
def url(servers: Servers) -> str:
    return servers.opensearch


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(url: str) -> AsyncIterator[AsyncOpenSearch]:
    from opensearchpy import AsyncOpenSearch

    async with AsyncOpenSearch(url) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def text(url: str) -> AsyncIterator[OpenSearchText]:
    async with OpenSearchText(url) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def index(client: AsyncOpenSearch, text: OpenSearchText) -> AsyncIterator[str]:
    """An index with ``ROWS``."""
    name = f"test-nori-{secrets.token_hex(4)}"
    await text.ensure(name)
    await text.upsert(name, ROWS)
    await text.refresh(name)
    yield name
    await client.indices.delete(index=name)


def row(scene: str, transcript: str, *tag_names: str) -> TextRow:
    return TextRow(f"{scene}:1", "acme", "vid_1", scene, 1, 0, 1000, transcript, tag_names=tag_names)


ROWS = (
    row("stew", "어제 저녁에 김치찌개를 끓였습니다"),
    row("cat", "길고양이들이 골목에서 울고 있었어요"),
    row("apart", "김치를 담그고 나서 된장으로 찌개를 만들었다"),
    row("pay", "비급여 진료는 보험이 안 됩니다"),
    row("covered", "급여 진료는 보험이 됩니다"),
    row("happy", "", "웃는 얼굴", "웃음", "미소", "smile", "smiling"),
    row("sad", "", "슬픈 얼굴", "우는", "눈물", "sad", "crying"),
    row("seen", "", "길고양이", "고양이", "stray cat"),
    row("english", "The children walked through the gardens"),
)


async def words(client: AsyncOpenSearch, index: str, analyzer: str, *said: str) -> str:
    answer = await client.indices.analyze(index=index, body={"analyzer": analyzer, "text": said})
    return " ".join(token["token"] for token in answer["tokens"])


async def found(text: OpenSearchText, index: str, query: str, *phrases: str) -> dict[str, tuple[float, float]]:
    """Return scene -> (coverage, tag score) of rows that hold a word of the query."""
    (hits,) = await text.search(index, [TextQuery("acme", query, phrases)])
    return {
        hit.row_id.removesuffix(":1"): (round(hit.coverage, 2), round(hit.tag_score, 2))
        for hit in hits
        if hit.coverage or hit.tag_score
    }


@pytest.mark.parametrize("said", GOLDEN)
async def test_golden_words(client: AsyncOpenSearch, index: str, said: str) -> None:
    of_row, of_query = GOLDEN[said]
    assert await words(client, index, "korean_index", said) == of_row
    assert await words(client, index, SEARCHED, said) == of_query


@pytest.mark.parametrize("analyzer", ["korean_index", SEARCHED, MARKED, NOUNS])
async def test_a_word_is_cut_alone_as_in_its_sentence(client: AsyncOpenSearch, index: str, analyzer: str) -> None:
    texts = (json.loads(line)["text"] for line in SCENES.read_text("utf-8").splitlines())
    scenes = [text for text in texts if text]
    for some in (scenes[start : start + 100] for start in range(0, len(scenes), 100)):
        whole = await words(client, index, analyzer, *some)
        assert await words(client, index, analyzer, *" ".join(some).split()) == whole


async def test_offsets_are_those_of_what_is_written(client: AsyncOpenSearch, index: str) -> None:
    said = "(나라의)  😀 국민들, 그리고 한국의 "
    answer = await client.indices.analyze(index=index, body={"analyzer": SEARCHED, "text": [said, said]})
    utf_16 = f"{said} {said}".encode("utf-16-le")
    assert [
        utf_16[2 * token["start_offset"] : 2 * token["end_offset"]].decode("utf-16-le") for token in answer["tokens"]
    ] == ["나라", "😀", "국민", "그리고", "한국"] * 2


@pytest.mark.parametrize("particle", ["이", "은", "의", "에", "과", "도", "에서", "까지", "에게", "들", "들이", "들의"])
async def test_no_particle_and_no_plural_matters(text: OpenSearchText, index: str, particle: str) -> None:
    assert await found(text, index, f"골목{particle}") == {"cat": (1.0, 0.0)}
    assert set(await found(text, index, "", f"골목{particle}")) == {"cat"}


async def test_every_line_of_the_dictionary_is_read(client: AsyncOpenSearch, index: str) -> None:
    lines = files("adapters.text").joinpath("dictionary.txt").read_text("utf-8").splitlines()
    rules = [line.split() for line in lines if not line.startswith("#")]
    assert rules
    for word, *parts in rules:
        assert unicodedata.is_normalized("NFC", word)
        assert await words(client, index, SEARCHED, word) == " ".join(parts or [word])
        assert (await words(client, index, "korean_index", word)).split()[0] == word


async def test_helping_words_are_not_marked(client: AsyncOpenSearch, index: str) -> None:
    assert await words(client, index, MARKED, "행복한 사람이 웃고 있어요") == "행복 사람 웃"


@pytest.mark.parametrize(
    ("query", "scenes"),
    [
        ("김치찌개", {"stew": 1.0, "apart": 1.0}),
        ("김치찌개 끓이는 법", {"stew"}),
        ("끓여요", {"stew": 1.0}),
        ("고양이가 운다", {"cat": 1.0}),
        ("고양이가우는장면", {"cat"}),
        ("비급여", {"pay": 1.0}),
        ("급여", {"covered": 1.0}),
        ("garden walks", {"english": 1.0}),
    ],
)
async def test_inflected_compound_and_unspaced_queries(
    text: OpenSearchText, index: str, query: str, scenes: dict[str, float] | set[str]
) -> None:
    covered = {scene: coverage for scene, (coverage, _) in (await found(text, index, query)).items() if coverage}
    if isinstance(scenes, dict):
        assert covered == scenes
    else:
        assert scenes <= covered.keys()
        assert next(iter(covered)) in scenes


async def test_a_misspelt_word_is_found(text: OpenSearchText, index: str) -> None:
    (hits,) = await text.search(index, [TextQuery("acme", "길고냥이들이")])
    assert hits[0].row_id == "cat:1"
    assert hits[0].bm25 > 0


async def fresh(client: AsyncOpenSearch, text: OpenSearchText, *rows: TextRow) -> str:
    name = f"test-nori-{secrets.token_hex(4)}"
    await text.ensure(name)
    await text.upsert(name, rows)
    await text.refresh(name)
    return name


async def test_a_misheard_word_is_held_by_its_pairs_of_letters(client: AsyncOpenSearch, text: OpenSearchText) -> None:
    rows = (
        row("misheard", "판문전에서 정전 협정을 맺었다"),
        row("less", "문전에서 기다렸다"),
        row("other", "날씨가 맑다"),
    )
    name = await fresh(client, text, *rows)
    assert await found(text, name, "판문점") == {"misheard": (0.5, 0.0)}
    assert await found(text, name, "나비") == {}
    await text.upsert(name, [row("right", "판문점에서 만났다")])
    await text.refresh(name)
    held = await found(text, name, "판문점")
    await client.indices.delete(index=name)
    assert held == {"right": (1.0, 0.0)}, "a word that somebody says is held whole or not at all"


async def test_a_single_pair_of_letters_holds_no_word(client: AsyncOpenSearch, text: OpenSearchText) -> None:
    rows = (
        row("seat", "오늘 이 자리를 빛내 주신 분"),
        row("peace", "화해 협력의 시대"),
        row("name", "김대중 선생"),
        row("hall", "집현정 학자가 반대했다"),
        row("latin", "A group of souls about town"),
    )
    name = await fresh(client, text, *rows)
    stray = [await found(text, name, query) for query in ("이자", "해협", "대중", "이자를 해협으로")]
    part = await found(text, name, "집현전")
    (latin,) = await text.search(name, [TextQuery("acme", "soup")])
    await client.indices.delete(index=name)
    assert stray == [{}] * 4
    assert set(part) == {"hall"}, "집현 has a pair more in its compound"
    assert 0 < part["hall"][0] < 1
    assert not latin


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("대설", "강원에 폭설이 쏟아졌습니다"),
        ("폭설", "오늘 대설특보가 났습니다"),
        ("GDP", "국내총생산이 늘었습니다"),
        ("국내총생산", "올해 GDP가 늘었어요"),
        ("핸드폰을", "스마트폰으로 찍었어요"),
        ("알바로 번 돈", "아르바이트로 돈을 벌었다"),
        ("김치찌게 끓이기", "김치찌개를 끓였다"),
        ("돈까스", "돈가스를 먹었다"),
        ("메시지", "메세지를 보냈다"),
    ],
)
async def test_a_synonym_is_found_covered_and_marked(
    client: AsyncOpenSearch, text: OpenSearchText, query: str, said: str
) -> None:
    name = await fresh(client, text, row("same", said), row("other", "가위 한 개를 샀다"))
    held = await found(text, name, query)
    (ranges,) = await text.highlight(name, query, [said])
    await client.indices.delete(index=name)
    assert held.keys() == {"same"}
    assert held["same"][0] > 0.5
    assert ranges


@pytest.mark.parametrize(
    ("query", "said", "marked"),
    [
        ("3500만원", "집값이 3천5백만 원이래요", "3천5백만 원"),
        ("삼천오백만 원", "집값이 35,000,000원이래요", "35,000,000원"),
        ("세 시", "오후 3시 회의", "3시"),
        ("20살", "스무 살이 되었어요", "스무 살"),
        ("100%", "백 퍼센트 확신합니다", "백 퍼센트"),
        ("5월", "오월에 꽃이 핀다", "오월"),
    ],
)
async def test_a_number_is_found_covered_and_marked_however_it_is_written(
    client: AsyncOpenSearch, text: OpenSearchText, query: str, said: str, marked: str
) -> None:
    name = await fresh(client, text, row("same", said), row("other", "이번에는 그림을 그렸다"))
    held = await found(text, name, query)
    (ranges,) = await text.highlight(name, query, [said])
    await client.indices.delete(index=name)
    assert held == {"same": (1.0, 0.0)}
    assert [said[start:end] for start, end in ranges] == [marked]


async def test_an_index_of_an_older_version_gets_the_fields_that_it_lacks(
    client: AsyncOpenSearch, text: OpenSearchText, own: str
) -> None:
    older = settings()
    del older["mappings"]["properties"]["numbers"]
    del older["mappings"]["properties"]["transcript"]["fields"]["exact"]
    await client.indices.create(index=own, body=older)
    assert await found(text, own, "세 시") == {}, "it can be searched as it is"
    await text.ensure(own)
    await text.upsert(own, [row("three", "오후 3시 회의")])
    await text.refresh(own)
    assert await found(text, own, "세 시") == {"three": (1.0, 0.0)}


async def test_the_typed_form_of_a_word_comes_first(client: AsyncOpenSearch, text: OpenSearchText) -> None:
    rows = [row(f"form{n}", said) for n, said in enumerate(("밥을 먹는다", "밥을 먹었어", "밥을 먹고서"))]
    name = await fresh(client, text, *rows)
    first = [next(iter(await found(text, name, query))) for query in ("먹는다", "먹었어", "먹고서")]
    await client.indices.delete(index=name)
    assert first == ["form0", "form1", "form2"]


async def test_the_longest_query_is_not_too_many_clauses(text: OpenSearchText, index: str) -> None:
    words_ = [chr(0xAC00 + 22 * n) for n in range(500)]
    numbers = [f"{n}명" for n in range(200)]
    for long in (" ".join(words_)[:1000], " ".join(numbers)[:1000], "".join(words_)[:1000]):
        await text.search(index, [TextQuery("acme", long, tuple(f"김치찌개 {n}" for n in range(10)))])


async def test_a_phrase_minds_no_spaces(client: AsyncOpenSearch, text: OpenSearchText) -> None:
    rows = (row("stew", "된장찌개를 끓였다"), row("market", "남대문 시장에서 샀다"), row("room", "누가 방에 있다"))
    name = await fresh(client, text, *rows)
    phrases = {"된장 찌개": {"stew"}, "된장찌개": {"stew"}, "남대문시장": {"market"}, "가방": set()}
    asked = {phrase: set(await found(text, name, "", phrase)) for phrase in phrases}
    held = {phrase: await text.holding(name, "acme", [each.row_id for each in rows], [phrase]) for phrase in phrases}
    await client.indices.delete(index=name)
    assert asked == phrases
    assert held == {phrase: {f"{scene}:1" for scene in scenes} for phrase, scenes in phrases.items()}


@pytest.mark.parametrize(
    ("query", "name_", "share"),
    [
        ("휴대폰", "스마트폰", 1.0),
        ("휴대폰을 찍은", "핸드폰", 0.67),  # for 휴대 and 폰, of 휴대, 폰 and 찍
        ("국내총생산", "GDP", 1.0),
        ("가위 한 개", "추석", 0.0),
    ],
)
async def test_a_tag_is_meant_by_a_synonym(
    client: AsyncOpenSearch, text: OpenSearchText, query: str, name_: str, share: float
) -> None:
    name = await fresh(client, text, row("same", "", name_), row("other", "날씨가 맑다"))
    held = await found(text, name, query)
    await client.indices.delete(index=name)
    assert held == ({"same": (0.0, share)} if share else {})


async def test_the_parts_of_a_word_apart_do_not_mean_its_synonym(client: AsyncOpenSearch, text: OpenSearchText) -> None:
    name = await fresh(client, text, row("feast", "추석에 송편을 빚었다"))
    apart, together = await found(text, name, "가위 한 개"), await found(text, name, "한가위")
    await client.indices.delete(index=name)
    assert apart == {}
    assert together == {"feast": (1.0, 0.0)}


async def test_every_synonym_is_cut_into_its_own_letters(client: AsyncOpenSearch, index: str) -> None:
    for word in (word for group in groups() for word in group):
        assert unicodedata.is_normalized("NFC", word)
        assert (await words(client, index, SEARCHED, word)).replace(" ", "") == word.lower()


@pytest.mark.parametrize(
    ("query", "tagged"),
    [
        ("웃는 얼굴", {"happy": 1.0}),
        ("웃고 있는", {"happy"}),
        ("미소를 짓는", {"happy"}),
        ("우는 남자", {"sad"}),
        ("고양이", {"seen": 1.0}),
        ("길고양이를", {"seen": 1.0}),
        ("smiles", {"happy": 1.0}),
        ("cats", {"seen": 1.0}),
    ],
)
async def test_tags_by_inflected_and_compound_queries(
    text: OpenSearchText, index: str, query: str, tagged: dict[str, float] | set[str]
) -> None:
    scores = {scene: score for scene, (_, score) in (await found(text, index, query)).items() if score}
    best = max(scores.values())
    assert {scene for scene, score in scores.items() if score == best} == set(tagged)
    if isinstance(tagged, dict):
        assert {scene: scores[scene] for scene in tagged} == tagged


async def test_a_phrase_may_leave_particles_out_but_not_turn_round(text: OpenSearchText, index: str) -> None:
    assert set(await found(text, index, "", "김치찌개 끓였습니다")) == {"stew"}
    assert set(await found(text, index, "", "골목 울고")) == {"cat"}
    assert set(await found(text, index, "", "저녁에 김치찌개를 끓였습니다")) == {"stew"}
    assert await found(text, index, "", "울고 골목") == {}
    assert await found(text, index, "", "찌개 김치") == {}


async def test_decomposed_text_is_the_same_text(text: OpenSearchText, index: str) -> None:
    assert await found(text, index, unicodedata.normalize("NFD", "김치찌개")) == await found(text, index, "김치찌개")
    phrase = unicodedata.normalize("NFD", "비급여 진료")
    assert set(await found(text, index, "", phrase)) == {"pay"}


@pytest.mark.parametrize(
    ("query", "transcript", "marked"),
    [
        ("김치찌개 끓이는 법", "😀 어제 김치찌개를 끓였습니다", ["김치찌개", "끓였"]),
        ("고양이", "길고양이들이 👩‍👩‍👧고양이를", ["고양이", "고양이"]),
        ("우는", "남자가 울고, 여자가 우는데", ["울", "우"]),
        ("행복한 사람", "안녕하세요 행복했던 사람들", ["행복", "사람"]),
        ("walks", "They WALK: he walked", ["WALK", "walked"]),
        ("한국", "한국의 국민들", ["한국"]),
        ("국민의", "한국의 국민들", ["국민"]),
    ],
)
async def test_marks_of_what_means_the_same(
    text: OpenSearchText, index: str, query: str, transcript: str, marked: list[str]
) -> None:
    (ranges,) = await text.highlight(index, query, [transcript])
    assert [transcript[start:end] for start, end in ranges] == marked


async def test_words_met_before_are_not_asked_for_again(text: OpenSearchText, index: str, url: str) -> None:
    once = await text.highlight(index, "고양이", ["고양이가 웁니다", "그 고양이"])
    async with OpenSearchText("http://127.0.0.1:1") as unreachable:
        unreachable._books, unreachable._meaning_the_same = text._books, text._meaning_the_same
        assert await unreachable.highlight(index, "고양이", ["그 고양이 웁니다", "고양이가"]) == [[(2, 5)], [(0, 3)]]
    assert once == [[(0, 3)], [(2, 5)]]


# What is said -> what is suggested of it, by the real plugin.
SUGGESTED = {
    "어제 김치찌개를 끓였습니다": "김치찌개 김치 찌개",
    "금융통화위원회가 기준금리를 동결했다": "금융 금융통화위원회 기준 기준금리 금리 동결 위원 위원회 통화",
    "안녕하세요 여러분 안녕": "안녕",
    "사람들이 BTS콘서트에 갔어요": "BTS BTS콘서트 사람 콘서트",
    "News of the World": "News World",
    "한국의 커피의 국민들": "국민 커피 한국",
    "비급여 진료는 2024년 3월부터 그래서 깨끗한 물이에요": "비급여 진료",
    "이거 우리 거 아니에요?": "",
}


@pytest.mark.parametrize("said", SUGGESTED)
async def test_nouns_of_what_is_said_are_suggested(client: AsyncOpenSearch, text: OpenSearchText, said: str) -> None:
    name = await fresh(client, text, row("scene", said))
    (words,) = await text.suggest(name, "acme", [""], limit=100)
    await client.indices.delete(index=name)
    assert sorted(word.text for word in words) == sorted(SUGGESTED[said].split())


async def test_a_word_is_found_by_initials_and_unfinished(text: OpenSearchText, index: str) -> None:
    for begun in ("ㄱㅊㅉㄱ", "김칮", "김치ㅉ"):
        (words,) = await text.suggest(index, "acme", [begun], limit=10)
        assert [(word.text, word.scenes) for word in words] == [("김치찌개", 1)], begun


# ---- words of a deployment's own ------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def own(client: AsyncOpenSearch) -> AsyncIterator[str]:
    """The name of an index that a test makes."""
    name = f"test-nori-{secrets.token_hex(4)}"
    yield name
    await client.indices.delete(index=name, params={"ignore_unavailable": "true"})


async def test_a_word_of_ones_own_stays_whole_and_a_compound_has_its_parts(
    client: AsyncOpenSearch, text: OpenSearchText, index: str, own: str
) -> None:
    await text.ensure(own, Vocabulary(("뉴진스", "흔한남매", "먹방여행 먹방 여행")))
    assert await words(client, index, SEARCHED, "흔한남매를") == "흔하 남매"
    assert await words(client, own, SEARCHED, "흔한남매를") == "흔한남매"
    assert await words(client, own, SEARCHED, "뉴진스를") == "뉴진스"
    assert await words(client, own, SEARCHED, "먹방여행") == "먹방 여행"
    assert await words(client, own, "korean_index", "먹방여행") == "먹방여행 먹방 여행"
    assert await words(client, own, SEARCHED, "에어팟") == "에어팟", "the committed words are there too"


async def test_a_word_of_ones_own_stays_whole_with_any_particle(
    client: AsyncOpenSearch, text: OpenSearchText, own: str
) -> None:
    await text.ensure(own, Vocabulary(("야옹이", "냥이")))
    for word in ("야옹이", "냥이"):
        for particle in ("", "가", "는", "를", "의", "와", "도", "에게"):
            assert await words(client, own, SEARCHED, word + particle) == word


async def test_of_a_word_in_both_dictionaries_ones_own_line_counts(
    client: AsyncOpenSearch, text: OpenSearchText, own: str
) -> None:
    await text.ensure(own, Vocabulary(("주문상세내역 주문상세 내역",)))
    assert await words(client, own, SEARCHED, "주문상세내역") == "주문상세 내역"


async def test_a_word_that_is_not_cut_into_its_own_letters_is_no_synonym(text: OpenSearchText, own: str) -> None:
    words_ = Vocabulary(("흔한남매",), (("흔한남매", "남매유튜버"), ("달려라", "walked")))
    with pytest.raises(InvalidRequest) as refused:
        await text.ensure(own, words_)
    assert [violation.field for violation in refused.value.violations] == [
        "vocabulary.synonyms[1].words[0]", "vocabulary.synonyms[1].words[1]",
    ]  # fmt: skip
    run, walked = (violation.description for violation in refused.value.violations)
    assert run == "달려라 is read as 달리: write 달리 or add 달려라 to the dictionary"
    assert walked == "walked is read as walk: write walk"
    with pytest.raises(InvalidRequest):
        await text.ensure(own, words_)  # also where the index is there already
    await text.drop(own)
    await text.ensure(own, Vocabulary(("달려라",), (("달려라", "walk"), ("달리", "뛰"))))  # what the answer told to do


async def test_a_dictionary_that_nori_refuses_leaves_no_index(
    client: AsyncOpenSearch, text: OpenSearchText, own: str
) -> None:
    with pytest.raises(InvalidRequest, match="세종 세종특별자치시"):
        await text.ensure(own, Vocabulary(("세종 세종특별자치시",)))
    assert not await client.indices.exists(index=own)


async def test_the_largest_vocabulary_is_taken(text: OpenSearchText, own: str) -> None:
    lines = tuple(f"갸{chr(0xAC00 + n)}쀍" for n in range(MAX_WORDS))
    groups_ = tuple((lines[n], lines[MAX_WORDS - 1 - n]) for n in range(MAX_GROUPS))
    await text.ensure(own, Vocabulary(lines, groups_))
    await text.upsert(own, [row("one", f"{lines[0]}를 보았다")])
    await text.refresh(own)
    assert set(await found(text, own, lines[-1])) == {"one"}
