"""A query -> phrases, people, words and meaning."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import codespell_lib
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.errors import InvalidRequest
from indexer.search.english import may_be_english
from indexer.search.hangul import from_latin
from indexer.search.parse import MAX_QUERY_CHARS, Parsed, parse, plain, without_signs

NAMES = (
    ("per_m", "민지"),
    ("per_k", "김민지"),
    ("per_j", "민준"),
    ("per_o", "버락 오바마"),
    ("per_o", "오바마"),
    ("per_a", "Ann"),
)


def people(parsed: Parsed) -> list[tuple[str, ...]]:
    return [mention.person_ids for mention in parsed.mentions]


@pytest.mark.parametrize(
    ("query", "words", "person"),
    [
        ("민지가 우는 장면", "우는", "per_m"),
        ("민지는 웃는다", "웃는다", "per_m"),
        ("민지랑 커피 마시는 사람", "커피 마시는 사람", "per_m"),
        ("민지의 웃음", "웃음", "per_m"),
        ("민지 씨가 말하는", "말하는", "per_m"),
        ("민지님, 안녕", ", 안녕", "per_m"),
        ("민준이가 뛰는", "뛰는", "per_j"),
        ("민준이 뛰는", "뛰는", "per_j"),
        ("김민지에게 준 선물", "준 선물", "per_k"),
        ("버락 오바마의 연설", "연설", "per_o"),
        ("ANN's speech", "speech", "per_a"),
        ("민지한테 준 선물", "준 선물", "per_m"),
        ("민지와 고양이", "고양이", "per_m"),
        ("김민지가 우는", "우는", "per_k"),
    ],
)
def test_names_lose_their_particles(query: str, words: str, person: str) -> None:
    parsed = parse(query, NAMES)
    assert people(parsed) == [(person,)]
    assert parsed.words == words
    assert not any(mention.required for mention in parsed.mentions)


@pytest.mark.parametrize(
    "query",
    ["버락오바마의 연설", "버락 오바마가 하는 연설", "버락오바마 씨 연설", "@버락오바마의 연설", "버락  오바마 연설"],
)
def test_a_korean_name_is_known_with_its_spaces_or_without(query: str) -> None:
    (mention,) = parse(query, NAMES).mentions
    assert (mention.name, mention.person_ids) == ("버락 오바마", ("per_o",))
    assert mention.required is query.startswith("@")
    assert parse("버락오바마", NAMES).words == "버락 오바마", "both are said"


def test_spaces_between_other_parts_of_a_name_are_needed() -> None:
    assert parse("anne", (("per_a", "Ann E"),)).mentions == ()
    assert people(parse("ann e", (("per_a", "Ann E"),))) == [("per_a",)]


def test_those_of_one_name_are_meant_however_it_is_enrolled() -> None:
    names = (("per_1", "김 민지"), ("per_2", "김민지"))
    for query in ("김민지 춤", "김 민지 춤"):
        assert [set(ids) for ids in people(parse(query, names))] == [{"per_1", "per_2"}]


@pytest.mark.parametrize("query", ["민지하다", "강민지역", "Annual report", "banner", "contact@ann.com 아님"])
def test_a_name_within_a_word_is_none(query: str) -> None:
    parsed = parse(query, (("per_m", "민지"), ("per_a", "An"), ("per_b", "ban")))
    assert parsed.mentions == ()
    assert parsed.words == query


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("민지에 대한 뉴스", "뉴스"), ("민지에 관해서 말하는", "말하는"), ("민지에게서 받은 꽃", "받은 꽃"),
        ("민지한테는", ""), ("민지와의 커피", "커피"), ("민지에게도 준", "준"), ("민지로부터", ""), ("민지만이", ""),
        ("민지밖에 없는", "없는"), ("민지뿐", ""), ("민지마다", ""), ("민지네 집", "집"),
        ("민지 씨에게는 비밀", "비밀"), ("민지까지도 웃는", "웃는"),
        ("민지라는 친구", "친구"), ("민지더러 오라고", "오라고"), ("민지로서는", ""), ("민지 선생님이 웃는", "웃는"),
        ("민지쌤 수업", "수업"), ("민지는커녕", ""), ("민지양이 웃는", "웃는"), ("민지입니다", ""), ("민지예요", ""),
    ],
)  # fmt: skip
def test_a_name_is_known_with_whatever_follows_it(query: str, rest: str) -> None:
    for written in (query, f"@{query}"):
        parsed = parse(written, (("per_m", "민지"),))
        assert (people(parsed), parsed.meaning) == ([("per_m",)], rest)


@pytest.mark.parametrize("row", ["이나", "이", "에", "에서", "에게", "로", "이라고", "나이"])
def test_rows_of_particles_take_no_time(row: str) -> None:
    query = f"민지가{row * (900 // len(row))}랄"
    assert parse(query, (("per_m", "민지"),)).mentions == ()


def test_somebody_is_called_by_the_display_name_whichever_name_was_typed() -> None:
    names = (("per_b", "민지"), ("per_b", "조"), ("per_b", "조 바이든"), ("per_j", "조"))
    assert dict(parse("@조 커피", names).mentions[0].people) == {"per_b": "민지", "per_j": "조"}
    assert dict(parse("조 바이든 커피", names).mentions[0].people) == {"per_b": "민지"}


def test_at_requires_the_person() -> None:
    parsed = parse("@민지가 우는 @오바마", NAMES)
    assert [(m.person_ids, m.required) for m in parsed.mentions] == [(("per_m",), True), (("per_o",), True)]
    assert (parsed.words, parsed.meaning) == ("우는", "우는")


def test_at_somebody_unknown_is_refused_without_the_name() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse("@철수 웃는", NAMES)
    assert "철수" not in str(refused.value)


def test_one_name_of_several_people_names_all() -> None:
    assert people(parse("민지 춤", (("per_1", "민지"), ("per_2", "민지")))) == [("per_1", "per_2")]


def test_one_syllable_needs_the_at() -> None:
    names = (("per_i", "이"),)
    assert parse("이 사람", names).mentions == ()
    assert people(parse("@이 사람", names)) == [("per_i",)]


def test_a_name_alone_is_also_looked_for_in_speech() -> None:
    for query in (
        "민지가 나오는 장면 보여줘", "민지 찾아줘", "민지 좀 보여줘요", "민지가 나온 장면",
        "민지가 등장한 영상", "민지 나와?",
    ):  # fmt: skip
        parsed = parse(query, NAMES)
        assert people(parsed) == [("per_m",)]
        assert (parsed.words, parsed.meaning) == ("민지", ""), query
    asked = parse("@민지 보여줘", NAMES)
    assert (asked.words, asked.meaning) == ("", "")
    said = parse('"안녕" 찾아줘', NAMES)
    assert (said.words, said.meaning, said.phrases) == ("", "안녕", ("안녕",))
    only = parse("@민지", NAMES)
    assert (only.words, only.meaning, only.phrases) == ("", "", ())


def test_phrases_are_taken_out_and_kept_in_the_meaning() -> None:
    parsed = parse('"우주선이  착륙했다" 달 “작은 발걸음” ""', NAMES)
    assert parsed.phrases == ("우주선이 착륙했다", "작은 발걸음")
    assert parsed.words == "달"
    assert parsed.meaning == "우주선이 착륙했다 작은 발걸음 달"
    assert parsed.marking == "우주선이 착륙했다 작은 발걸음 달"


def test_a_name_in_a_phrase_is_said_not_meant() -> None:
    parsed = parse('"민지야 밥 먹자"', NAMES)
    assert parsed.mentions == ()
    assert parsed.phrases == ("민지야 밥 먹자",)


def test_a_single_quote_mark_is_no_phrase() -> None:
    parsed = parse('17" 모니터', NAMES)
    assert (parsed.phrases, parsed.words) == ((), "17 모니터")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("고양이가 자는 장면", "고양이가 자는"),
        ("커피 나오는 영상을 찾아줘", "커피"),
        ("로켓 발사 보여줘", "로켓 발사"),
        ("이 장면에서 무슨 말을 했지", "이 장면에서 무슨 말을 했지"),
        ("장면", "장면"),
        ("찾아줘", "찾아줘"),
        ("김치찌개 영상 있나요?", "김치찌개"),
        ("고양이가 등장하는 씬 모아줘", "고양이가"),
        *(
            (f"김치찌개 {asked}", "김치찌개")
            for asked in (
                "찾아 주실래요",
                "보여줄래",
                "찾아줘라",
                "찾아주라",
                "보여달라",
                "보여주실 수 있나요",
                "좀 알려줘요",
            )
        ),
        ("영상 편집 방법", "영상 편집 방법"),
    ],
)
def test_ways_of_asking_are_no_words_at_the_end(query: str, words: str) -> None:
    assert parse(query).words == words


def test_text_is_composed_and_white_space_squeezed() -> None:
    decomposed = unicodedata.normalize("NFD", "고양이\r\n가\t\t자는\x85")
    assert parse(decomposed).words == "고양이 가 자는"
    assert parse("👩\u200d👩\u200d👧 가족").words == "👩\u200d👩\u200d👧 가족", "emoji are joined by format characters"


@pytest.mark.parametrize("query", ["bell\a", "\x00", "고양이\x1b[31m", "\x7f", "가\ud800나"])
def test_control_characters_are_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(query)
    assert refused.value.violations[0].field == "query"


@pytest.mark.parametrize(
    "query", ["-커피!", "!!!", "@", "@!", "->", '"!"', '"!" ?', "\u200b", "\u200b\u2060\ufeff", "·", "\u0301"]
)
def test_without_a_letter_a_digit_or_an_emoji_there_is_nothing_to_look_for(query: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(query)


@pytest.mark.parametrize("query", ["😀", "👩\u200d👩\u200d👧", "🇰🇷", "❤", "ㅋ", "ㅏ", "5", "C++"])
def test_an_emoji_a_letter_and_a_digit_are_looked_for(query: str) -> None:
    assert parse(query).words == query


def test_signs_beside_exclusions_phrases_and_people_are_not_looked_for() -> None:
    assert parse("-커피!", exclusions_suffice=True) == Parsed("", "", (), (), ("커피",))
    assert parse('"우주선" !?').words == ""
    assert people(parse("@민지 !", NAMES)) == [("per_m",)]


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("ｃａｔ　２", "cat 2"),
        ("고양이 －강아지", "고양이 -강아지"),
        ("고양이 –강아지", "고양이 -강아지"),
        ("＂작은 고양이＂", '"작은 고양이"'),
        ("＠민지 우는", "@민지 우는"),
        ("ｒｈｄｄｉｄｄｌ", "rhddiddl"),
        ("ﾡ ｶﾞ", "ㄱ ガ"),
        ("고\u200b양이", "고양이"),
        ("고\u200d양\u200c이\ufe0f", "고양이"),
        ("고양\xad이", "고양이"),
        ("고양이 \u200e-강아지", "고양이 -강아지"),
        ("\ufeff고\u2060양이", "고양이"),
        ("고양이 \u200b-강아지", "고양이 -강아지"),
    ],
)
def test_width_and_spaces_without_any_change_nothing(query: str, same: str) -> None:
    assert parse(query, NAMES) == parse(same, NAMES)


@pytest.mark.parametrize("query", ["ﬁsh", "㎏", "Ⅳ", "①", "ㄱ", "ㄳ"])
def test_what_is_more_than_wide_stays(query: str) -> None:
    assert parse(query).words == query


@pytest.mark.parametrize("query", ["", "   ", "\t\r\n", '""', '"'])
def test_nothing_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(query)
    assert refused.value.violations[0].field == "query"


def test_length_is_counted_in_composed_code_points() -> None:
    assert parse("가" * 1000).words
    assert parse(unicodedata.normalize("NFD", "가" * 1000)).words
    with pytest.raises(InvalidRequest):
        parse("가" * 1001)
    with pytest.raises(InvalidRequest):
        parse("가나다", max_chars=2)


def test_too_many_phrases_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse(" ".join(f'"말 {n}"' for n in range(11)))


# ---------------------------------------------------------------------------------------------- exclusions


@pytest.mark.parametrize(
    ("query", "words", "excluded"),
    [
        ("고양이 -강아지", "고양이", ("강아지",)),
        ("-강아지 고양이", "고양이", ("강아지",)),
        ("고양이 −강아지 −새", "고양이", ("강아지", "새")),
        ('고양이 -"하얀  강아지"', "고양이", ("하얀 강아지",)),
        ("고양이 −“하얀 강아지”", "고양이", ("하얀 강아지",)),
        ("고양이 -e-mail -강아지, -강아지!", "고양이 , !", ("e-mail", "강아지")),
        ("고양이 -강아지 장면 찾아줘", "고양이", ("강아지",)),
        ('고양이 -"2024년"', "고양이", ("2024년",)),
        ("고양이 -ㅋㅋ", "고양이", ("ㅋㅋ",)),
        ("고양이 -민지", "고양이", ("민지",)),
        ("고양이 --강아지 —새", "고양이", ("강아지", "새")),
        ('고양이 --"하얀 강아지"', "고양이", ("하얀 강아지",)),
        ('고양이 -"하얀 강아지', "고양이", ("하얀 강아지",)),
    ],
)
def test_a_minus_before_a_word_excludes_it(query: str, words: str, excluded: tuple[str, ...]) -> None:
    parsed = parse(query, NAMES)
    assert (parsed.words, parsed.excluded) == (words, excluded)
    assert not any(word in parsed.meaning for word in excluded)
    assert parsed.mentions == ()


@pytest.mark.parametrize(
    "query", ["e-mail", "고양이 -5도", "- 고양이", "고양이 -", "-- 고양이", "고양이 ->", "고양이 – 강아지", "-3.5 -10"]
)
def test_another_minus_is_plain_text(query: str) -> None:
    parsed = parse(query)
    assert (parsed.words, parsed.excluded) == (query, ())


@pytest.mark.parametrize("query", ['고양이 -"', '고양이 -""'])
def test_a_minus_before_a_quote_of_nothing_is_plain_text(query: str) -> None:
    parsed = parse(query)
    assert (parsed.excluded, parsed.phrases) == ((), ())
    assert parsed.words.startswith("고양이")


def test_a_minus_in_a_phrase_is_said() -> None:
    parsed = parse('"고양이 -강아지" 새')
    assert (parsed.phrases, parsed.excluded) == (("고양이 -강아지",), ())


def test_a_phrase_behind_a_word_is_no_exclusion() -> None:
    assert parse('17-"모니터"').phrases == ("모니터",)


@pytest.mark.parametrize("query", ["-고양이", '-"하얀 고양이"', "-고양이 -강아지"])
def test_nothing_but_exclusions_is_refused_unless_something_else_is_looked_for(query: str) -> None:
    with pytest.raises(InvalidRequest, match="has nothing to look for"):
        parse(query)
    parsed = parse(query, exclusions_suffice=True)
    assert parsed.excluded
    assert (parsed.words, parsed.meaning) == ("", "")


def test_too_many_exclusions_are_refused() -> None:
    most = " ".join(f"-말{n}" for n in range(10))
    assert len(parse(f"고양이 {most}").excluded) == 10
    with pytest.raises(InvalidRequest, match="excludes more than 10"):
        parse(f"고양이 {most} -하나더")


def test_a_person_is_not_excluded_by_name() -> None:
    with pytest.raises(InvalidRequest, match="excluded_person_ids"):
        parse("고양이 -@민지", NAMES)


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ("PRESIDENT OF KOREA", "president of korea"), ("SOUPS", "soups"), ("IMF", "IMF"), ("NASA", "NASA"),
        ("President of Korea", "President of Korea"), ("IMF 구제금융", "IMF 구제금융"), ('"CAT SLEEPS"', "cat sleeps"),
    ],
)  # fmt: skip
def test_what_is_shouted_is_read_as_if_it_were_said(query: str, meaning: str) -> None:
    assert parse(query).meaning == meaning


# --------------------------------------------------------------------------------- Hangul on a Latin keyboard


@pytest.mark.parametrize(
    ("query", "meant"),
    [("dkssud", "안녕"), ("rlacl", "김치"), ("rlaclWlro", "김치찌개"), ("gksrmf rhdqn", "한글 공부")],
)
def test_hangul_typed_on_a_latin_keyboard_is_read(query: str, meant: str) -> None:
    parsed = parse(query)
    assert (parsed.words, parsed.meaning, parsed.read_as) == (meant, meant, meant)
    assert parse(f"{query} -강아지").read_as == meant


@pytest.mark.parametrize(
    ("query", "meant"), [("ehlswkdWlro AI", "된장찌개 AI"), ("rhdiddl USB", "고양이 USB"), ("AI rlacl", "AI 김치")]
)
def test_abbreviations_beside_it_stay(query: str, meant: str) -> None:
    assert parse(query).read_as == meant


@pytest.mark.parametrize("query", ["dkssud 안녕", "dkssud 5", "dkssud+", '"dkssud"', "dkssudd", "sns", "WLAN"])
def test_what_is_not_only_such_keys_is_taken_as_it_is(query: str) -> None:
    assert parse(query).read_as == ""


def test_what_is_read_is_taken_apart_like_any_query() -> None:
    parsed = parse("alswlrk dnsms wkdaus", NAMES)
    assert (people(parsed), parsed.words, parsed.meaning) == ([("per_m",)], "우는", "우는 장면")
    assert parsed.read_as == "민지가 우는 장면"
    assert parse("ehdanf -rhdiddl -cat").excluded == ("고양이", "cat")
    assert parse("동물 -rhdiddl").excluded == ("rhdiddl",)
    assert [parse(f"dkssud{end}").read_as for end in (".", "?", "!", " !")] == ["안녕"] * 4


def test_a_name_is_not_read_as_something_else() -> None:
    parsed = parse("dkssud", (("per_d", "Dkssud"),))
    assert (people(parsed), parsed.read_as) == ([("per_d",)], "")


ENGLISH = (
    "the and for with she they who what when how do did does go got right work world word show such short sorry "
    "sit six sight sign sick sort sound speak special spend steak star tie to today total town turn try video "
    "visit wheel wide will wind wish wow write circle clean coach coal cut cot dock dirty dog die digit down "
    "eight element end entry field fight fit fix flame form forty giraffe girl give god great query queue red "
    "rich ride rock rot rue shadow shape sheep soap social thanks then theory thorn throw tight title torch "
    "tornado turtle victor visual vow whack widow cat car boil soup dwarf sky rhythm hymn rye pizza taxi vlog"
)


@pytest.mark.parametrize("query", ["cat", "red car", "boil the soup", "the right work", "who did it", *ENGLISH.split()])
def test_english_is_never_misread(query: str) -> None:
    parsed = parse(query)
    assert (parsed.words, parsed.read_as) == (query, "")


def test_no_word_of_an_english_dictionary_is_misread() -> None:
    lines = (Path(codespell_lib.__file__).parent / "data" / "dictionary.txt").read_text("utf-8").splitlines()
    right = {word.strip() for line in lines for word in line.partition("->")[2].split(",")}
    words = {word.lower() for word in right if word.isascii() and word.isalpha()}
    assert len(words) > 15_000
    assert sum(from_latin(word) is not None for word in words) > 300, "those that can be misread"
    assert [word for word in words if not may_be_english(word)] == []


# ------------------------------------------------------------------------------------------------ any text

PIECES = [*'-−–－"“”＂@＠\u200b ㅏ가aＡZ5,\n\t\u0308', "민지", "dkssud", "장면"]
ANY = st.text(max_size=MAX_QUERY_CHARS) | st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def taken(query: str) -> Parsed | InvalidRequest:
    try:
        return parse(query, NAMES)
    except InvalidRequest as refused:
        return refused


@given(ANY)
def test_whatever_is_typed_is_parsed_or_refused(query: str) -> None:
    parsed = taken(query)
    if isinstance(parsed, InvalidRequest):
        assert [violation.field for violation in parsed.violations] == ["query"]
        return
    texts = (parsed.words, parsed.meaning, parsed.read_as, *parsed.phrases, *parsed.excluded)
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)
    assert all(len(text) <= MAX_QUERY_CHARS and text == " ".join(text.split()) for text in texts)
    assert all((*parsed.phrases, *parsed.excluded)), "no empty phrase is looked for"
    assert parsed.words or parsed.phrases or parsed.mentions
    assert len(parsed.phrases) <= 10
    assert len(parsed.excluded) <= 10


@given(ANY)
def test_spaces_and_composition_change_nothing(query: str) -> None:
    composed = plain(query)
    assume(len(composed) + 3 <= MAX_QUERY_CHARS)
    spaced, same = taken(f"  {query} "), taken(composed)
    assert spaced == same or (isinstance(spaced, InvalidRequest) and isinstance(same, InvalidRequest))


@given(ANY)
def test_without_signs_any_text_is_words_alone(query: str) -> None:
    parsed = taken(without_signs(query)[:MAX_QUERY_CHARS])
    if isinstance(parsed, InvalidRequest):
        assert [violation.description for violation in parsed.violations] in (["is empty"], ["has nothing to look for"])
        return
    assert (parsed.phrases, parsed.excluded) == ((), ())
    assert not any(mention.required for mention in parsed.mentions)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('누가 "실리콘 밸리"를 -어디서 - 말했나', "누가 실리콘 밸리 를 어디서 - 말했나"),
        ("e-mail은 a@b.kr, 영하 -5도", "e-mail은 a b.kr, 영하 5도"),
        ('"-고양이" --개 @-새\x00-쥐', "고양이 개 새 쥐"),
    ],
)
def test_signs_of_a_text_that_was_written_for_no_grammar_are_blanked(text: str, left: str) -> None:
    assert " ".join(without_signs(text).split()) == left


@pytest.mark.parametrize("run", ["\u200d", "\u200c\u200d", "\u200d\ufe0f"])
def test_joiners_take_no_time(run: str) -> None:
    long = run * 200_000
    assert plain(f"{long} 가") == f"{long} 가"
    assert plain(f"가{long}") == "가"
