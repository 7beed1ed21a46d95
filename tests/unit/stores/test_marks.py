"""Marks: offsets of an analysis, in UTF-16 units over all words -> code points within each word."""

from __future__ import annotations

from adapters.text._marks import WordBook, in_calls, marks, stems


def token(text: str, start: int, end: int) -> dict[str, object]:
    return {"token": text, "start_offset": start, "end_offset": end, "type": "word", "position": 0}


def test_offsets_count_utf16_units_and_two_between_words() -> None:
    # Units: 😀 two, 고양이 three; then two; 가 one; then two; 👩 two, then 가.
    words = ["😀고양이", "가", "👩가"]
    learnt = stems(words, [token("고양이", 2, 5), token("가", 7, 8), token("가", 12, 13)])
    assert learnt == {"😀고양이": (("고양이", 1, 4),), "가": (("가", 0, 1),), "👩가": (("가", 1, 2),)}


def test_a_word_that_means_nothing_is_known_too() -> None:
    assert stems(["은는", "고양이"], [token("고양이", 4, 7)]) == {"은는": (), "고양이": (("고양이", 0, 3),)}


def test_parts_that_touch_are_one_mark() -> None:
    known = {
        "김치찌개를": (("김치", 0, 2), ("찌개", 2, 4)),
        "찌개": (("찌개", 0, 2),),
        "김치찌개": (("김치", 0, 2), ("찌개", 2, 4)),
    }
    assert marks("김치찌개", ["  김치찌개를 찌개", "밥"], known) == [[(2, 6), (8, 10)], []]
    assert marks("찌개", ["김치찌개를\n찌개"], known) == [[(2, 4), (6, 8)]]


def test_overlapping_parts_are_one_mark() -> None:
    known = {"끓였다": (("끓이", 0, 2), ("이", 1, 2)), "끓이": (("끓이", 0, 2), ("이", 1, 2))}
    assert marks("끓이", ["끓였다"], known) == [[(0, 2)]]


def test_a_number_is_marked_however_it_is_written() -> None:
    known = {"3시": (("3", 0, 1), ("시", 1, 2)), "시": (("시", 0, 1),), "시에": (("시", 0, 1),)}
    assert marks("3시", ["오늘 세 시에 만나요", "시에 3명"], known) == [[(3, 6)], [(0, 1)]]


def test_what_is_written_with_other_spaces_is_marked_where_no_word_is() -> None:
    known = {"남대문시장": (("남대문시장", 0, 5),), "시장에서": (("시장", 0, 2),)}
    assert marks("남대문시장", ["어제 남대문 시장에서", "남대문 너머"], known) == [[(3, 9)], []]
    assert marks("New York City", ["Newyork citation"], {"New": (), "York": (), "City": ()}) == [[]]


def test_only_unknown_words_are_asked_for_and_each_once() -> None:
    book = WordBook()
    book.learn({"고양이": (("고양이", 0, 3),)})
    known, unknown = book.look_up(["고양이 밥 밥", "밥 고양이 집"])
    assert known == {"고양이": (("고양이", 0, 3),)}
    assert unknown == ["밥", "집"]


def test_the_book_forgets_its_oldest_words() -> None:
    book = WordBook()
    book.learn({"old": ()})
    book.learn({f"word{n}": () for n in range(50_000)})
    assert book.look_up(["old word49999"]) == ({"word49999": ()}, ["old"])


def test_calls_are_bounded_and_complete() -> None:
    words = ["가" * 200 + str(n) for n in range(100)]
    calls = list(in_calls(words))
    assert [word for call in calls for word in call] == words
    assert max(sum(map(len, call)) for call in calls) <= 8_000
    assert list(in_calls([])) == []
