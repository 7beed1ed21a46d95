"""Suggestions over gRPC: people, tags and words of the tenant, in whatever way they are typed."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from contracts.catalog import Idempotency, Match, Person, Photo
from contracts.errors import DependencyUnavailable
from heimdex.search.v1 import search_service_pb2 as pb
from tests.component.gateway.door import GENERATION, Door, refused

PERSON, TAG, WORD = pb.SUGGESTION_KIND_PERSON, pb.SUGGESTION_KIND_TAG, pb.SUGGESTION_KIND_WORD
MINJI = "per_00000000000000000000000000"


async def ask(door: Door, text: str, *, tenant: str = "team", page_size: int = 0) -> list[tuple[str, int, int]]:
    request = pb.SuggestQueriesRequest(text=text, page_size=page_size)
    answer = await door.search.SuggestQueries(request, metadata=door.auth(tenant))
    return [(each.text, each.kind, each.scene_count) for each in answer.suggestions]


async def enrol(door: Door, name: str, *aliases: str, number: int = 0) -> str:
    person_id = f"{MINJI[:-1]}{number}"
    person = Person(person_id, "team", name, aliases, (Photo(f"upl_{number}", "a.jpg", "ACCEPTED", "k", b"1234"),), 1)
    await door.catalog.create_person(person, Idempotency("team", "ann", "EnrolPerson", f"r{number}", "0"), [])
    return person_id


@pytest.mark.parametrize(
    "typed", ["ㄱㅊㅉㄱ", "ㄱㅊ", "김칮", "김치ㅉ", "김치찌개", "rlaclWl", "rlacl", "rcWr", " 김치 "]
)
async def test_a_word_that_is_said_is_suggested_however_it_is_typed(door: Door, typed: str) -> None:
    await door.index(b"film", "김치찌개 냄새", "김치찌개 맛")
    assert await ask(door, typed) == [("김치찌개", WORD, 2)]


@pytest.mark.parametrize("typed", ["dkssud", "dkss", "dks", "ㅇㄴ", "안ㄴ", "DKSS", "Dkss", "ｄｋｓｓ", "안\u200bㄴ"])
async def test_hangul_typed_on_a_latin_keyboard_is_understood(door: Door, typed: str) -> None:
    await door.index(b"film", "안녕 여러분")
    assert await ask(door, typed) == [("안녕", WORD, 1)]


async def test_a_letter_typed_with_shift_is_meant_first(door: Door) -> None:
    await door.index(b"film", "쌀국수 살구")
    assert await ask(door, "Tkf") == [("쌀국수", WORD, 1)]
    assert await ask(door, "TKF") == [("쌀국수", WORD, 1)]
    assert await ask(door, "TKFRN") == [("살구", WORD, 1)], "nothing begins as Shift would type it"


async def test_what_is_typed_comes_before_what_its_keys_mean(door: Door) -> None:
    await door.index(b"film", "해바라기", "goal")
    assert await ask(door, "go") == [("goal", WORD, 1)]
    assert await ask(door, "goqk") == [("해바라기", WORD, 1)]


async def test_people_come_first_and_then_what_most_scenes_have(door: Door) -> None:
    scenes = await door.index(b"film", "민주주의 민족", "민주주의", "민주주의")
    one, other = await enrol(door, "민지", number=1), await enrol(door, "민지", number=2)
    await enrol(door, "지수", "민수", number=3)
    version, _ = await door.catalog.gallery("team")
    found = [Match(row.scene_id, who, 0.9) for who, rows in ((one, scenes[:2]), (other, scenes[:1])) for row in rows]
    await door.catalog.write_matches("team", scenes[0].video_id, 1, gallery_version=version, matches=found, now_ms=1)
    assert await ask(door, "민") == [
        ("민지", PERSON, 3), ("민수", PERSON, 0), ("민주주의", WORD, 3), ("민족", WORD, 1),
    ]  # fmt: skip
    assert await ask(door, "ㅁㅈ", page_size=2) == [("민지", PERSON, 3), ("민주주의", WORD, 3)]
    assert await ask(door, "alsw") == [("민지", PERSON, 3), ("민주주의", WORD, 3), ("민족", WORD, 1)]


async def test_a_mention_is_of_people_alone(door: Door) -> None:
    await door.index(b"film", "민주주의 수박")
    await enrol(door, "민지", number=1)
    await enrol(door, "수", number=2)
    assert await ask(door, "@민") == [("@민지", PERSON, 0)]
    assert await ask(door, "@alswl") == [("@민지", PERSON, 0)]
    assert await ask(door, "수") == [("@수", PERSON, 0), ("수박", WORD, 1)]
    assert await ask(door, "@") == []


async def test_tags_are_suggested_by_every_name(door: Door) -> None:
    await door.index(b"film", "", "")
    assert await ask(door, "고양") == [("고양이", TAG, 2)]
    assert await ask(door, "CA") == [("cat", TAG, 2)]


async def test_what_is_said_and_seen_and_somebody_is_suggested_once(door: Door) -> None:
    await door.index(b"film", "고양이 고등어 CAT", "")
    await enrol(door, "고양이")
    assert await ask(door, "고") == [("고양이", PERSON, 0), ("고등어", WORD, 1)]
    assert await ask(door, "c") == [("cat", TAG, 2)]


async def test_the_last_word_is_completed_where_nothing_fits_the_whole(door: Door) -> None:
    await door.index(b"film", "김치찌개 안녕")
    await enrol(door, "민지")
    assert await ask(door, "민지가 먹는 김칮") == [("민지가 먹는 김치찌개", WORD, 1)]
    assert await ask(door, "dkssud rlacl") == [("안녕 김치찌개", WORD, 1)]
    assert await ask(door, "김치찌개 먹는 @민") == [("김치찌개 먹는 @민지", PERSON, 0)]


async def test_signs_before_a_word_stay(door: Door) -> None:
    await door.index(b"film", "김치찌개 고양이")
    await enrol(door, "민지")
    for head in ("-", "고양이 –", '고양이 -"', '"'):
        assert await ask(door, f"{head}김칮") == [(f"{head}김치찌개", WORD, 1)]
    assert await ask(door, '"rlacl') == [('"김치찌개', WORD, 1)]
    assert await ask(door, "고양이 -@민") == [], "nobody is left out so"


async def test_nothing_that_fits_is_an_answer(door: Door) -> None:
    assert await ask(door, "김치") == []
    await door.index(b"film", "김치찌개")
    for typed in ("비행기", "김치찌개가 좋", ".*", "🙂", "가" * 100):
        assert await ask(door, typed) == [], typed


async def test_as_many_as_asked_for_and_eight_by_default(door: Door) -> None:
    await door.index(
        b"film", " ".join(f"낱말{letter}" for letter in "가나다라마바사아자차카타파하거너더러머버서어저처")
    )
    assert len(await ask(door, "낱")) == 8
    assert len(await ask(door, "낱", page_size=20)) == 20


async def test_another_tenants_words_and_people_never_appear(door: Door) -> None:
    await door.index(b"film", "김치찌개")
    await enrol(door, "김민지")
    assert await ask(door, "김", tenant="others") == []
    assert len(await ask(door, "김")) == 2


async def test_the_words_of_an_erased_video_vanish(door: Door) -> None:
    scene, *_ = await door.index(b"film", "김치찌개")
    await door.index(b"another", "김밥")
    await door.stores.words.delete_video(GENERATION.text_index, "team", scene.video_id)
    assert await ask(door, "김") == [("김밥", WORD, 1)]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"text": ""}, "text"),
        ({"text": "  "}, "text"),
        ({"text": "가" * 101}, "text"),
        ({"text": "bell\a"}, "text"),
        ({"text": "가\n나"}, "text"),
        ({"text": "가", "page_size": -1}, "page_size"),
        ({"text": "가", "page_size": 21}, "page_size"),
    ],
)
async def test_what_is_wrong_is_named(door: Door, fields: dict[str, str | int], path: str) -> None:
    request = pb.SuggestQueriesRequest(**fields)  # type: ignore[arg-type]  # of a table
    said = await refused(door.search.SuggestQueries(request, metadata=door.auth()))
    assert said.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in said.details["BadRequest"].field_violations] == [path]


async def test_a_text_index_that_is_away_is_said_to_be(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise DependencyUnavailable("opensearch", "OpenSearch is not reached")

    monkeypatch.setattr(door.stores.words, "suggest", away)
    said = await refused(door.search.SuggestQueries(pb.SuggestQueriesRequest(text="김"), metadata=door.auth()))
    assert said.code == grpc.StatusCode.UNAVAILABLE
    assert "RetryInfo" in said.details


async def test_a_text_index_that_hangs_is_said_to_be_late(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(door.stores.words, "suggest", hangs)
    request = pb.SuggestQueriesRequest(text="김")
    said = await refused(door.search.SuggestQueries(request, metadata=door.auth(), timeout=1.0))
    assert said.code == grpc.StatusCode.UNAVAILABLE
    assert said.reason == "DEADLINE_EXCEEDED"
    assert "RetryInfo" in said.details


async def test_decomposed_text_is_the_same(door: Door) -> None:
    await door.index(b"film", "김치찌개")
    assert await ask(door, "\u1100\u1175\u11b7") == [("김치찌개", WORD, 1)]
