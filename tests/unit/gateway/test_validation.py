"""Validation: what comes in clean, what is refused, and by which path."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import ids
from contracts.errors import InvalidRequest
from contracts.vocabulary import vocabulary
from gateway import people, validation
from indexer.search.parse import clean

VIDEO_ID = "vid_00000000000000000000000000"


def paths(call: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidRequest) as error:
        call()
    return [violation.field for violation in error.value.violations]


@pytest.mark.parametrize("prefix", ["vid", "upl", "scn", "per", "qry"])
def test_ids_of_ours_are_taken(prefix: str) -> None:
    made = ids.new_id(prefix)
    assert validation.resource_id(made, "id", prefix) == made


@given(st.text(max_size=40))
def test_other_text_is_no_id(text: str) -> None:
    if not ids.ID_PATTERN.fullmatch(text):
        assert paths(lambda: validation.resource_id(text, "video_id", "vid")) == ["video_id"]


def test_the_wrong_one_of_many_ids_is_named() -> None:
    wrong = paths(lambda: validation.resource_ids([VIDEO_ID, "scn_1"], "filter.video_ids", "vid", most=5))
    assert wrong == ["filter.video_ids[1]"]
    assert paths(lambda: validation.resource_ids([VIDEO_ID] * 3, "f", "vid", most=2)) == ["f"]
    assert validation.resource_ids([VIDEO_ID] * 2, "f", "vid", most=2) == (VIDEO_ID,)


def test_page_sizes() -> None:
    assert (validation.page_size(0), validation.page_size(0, default=20)) == (50, 20)
    assert (validation.page_size(1), validation.page_size(200)) == (1, 200)
    for size in (-1, 201):
        assert paths(lambda size=size: validation.page_size(size)) == ["page_size"]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("film.mp4", "film.mp4"),
        ("/home/ann/film.mp4", "film.mp4"),
        ("C:\\films\\film.mp4", "film.mp4"),
        (unicodedata.normalize("NFD", "영상.mp4"), "영상.mp4"),
        (" film.mp4 ", "film.mp4"),
        ("x" * 255, "x" * 255),
    ],
)
def test_file_names_are_base_names(name: str, kept: str) -> None:
    assert validation.file_name(name) == kept


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/", "a/..", "x" * 256, "a\0b", "a\nb", "a\x7fb"])
def test_what_is_no_file_name(name: str) -> None:
    assert paths(lambda: validation.file_name(name)) == ["file_name"]


ENDLESS = ["a" + "\u0301" * 300_000 + "\u0323" * 300_000, "\u200d" * 1_000_000]
"""Would take hours: marks that are sorted, joiners that are looked behind."""


@pytest.mark.parametrize("text", ENDLESS, ids=["marks", "joiners"])
def test_what_is_far_too_long_is_refused_before_it_is_read(text: str) -> None:
    assert paths(lambda: validation.file_name(text)) == ["file_name"]
    assert paths(lambda: validation.display_text(text, "text", most=100)) == ["text"]
    assert paths(lambda: people.names(text, ())) == ["display_name"]
    assert paths(lambda: people.names("민지", (text,))) == ["aliases[0]"]
    assert paths(lambda: clean(text)) == ["query"]
    assert paths(lambda: clean(text, may_be_blank=True)) == ["query"]
    assert paths(lambda: vocabulary([text], [], field="vocabulary")) == ["vocabulary.dictionary[0]"]
    assert paths(lambda: vocabulary([], [[text, "가"]], field="vocabulary")) == ["vocabulary.synonyms[0].words[0]"]


@given(st.text(max_size=300))
def test_a_file_name_never_holds_a_path_or_control(text: str) -> None:
    try:
        name = validation.file_name(text)
    except InvalidRequest:
        return
    assert 0 < len(name) <= 255
    assert "/" not in name
    assert "\\" not in name
    assert not any(unicodedata.category(c) == "Cc" for c in name)


def test_request_ids() -> None:
    assert validation.request_id("요청 1") == "요청 1"
    for wrong in ("", "x" * 129, "a\n"):
        assert paths(lambda wrong=wrong: validation.request_id(wrong)) == ["request_id"]  # type: ignore[misc]


def test_digests_and_media_types() -> None:
    assert validation.sha256("0f" * 32) == "0f" * 32
    for wrong in ("", "0F" * 32, "0f" * 31, "0f" * 32 + "\n"):
        assert paths(lambda wrong=wrong: validation.sha256(wrong)) == ["sha256"]  # type: ignore[misc]
    assert validation.content_type("") == "application/octet-stream"
    assert validation.content_type("video/x-matroska") == "video/x-matroska"
    for wrong in ("video", "video/mp4; a=b", "video/mp4\r\nX: y", "/", "a" * 64 + "/b"):
        assert paths(lambda wrong=wrong: validation.content_type(wrong)) == ["content_type"]  # type: ignore[misc]


def test_display_text() -> None:
    assert validation.display_text(unicodedata.normalize("NFD", " 한글 "), "display_name", most=2) == "한글"
    for wrong in ("", " ", "abc", "a\0"):
        assert paths(lambda wrong=wrong: validation.display_text(wrong, "display_name", most=2)) == ["display_name"]  # type: ignore[misc]
