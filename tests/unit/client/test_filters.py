"""What narrows a search, as a message."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from heimdex.client import InvalidArgument, Narrowed
from heimdex.client.filters import search_filter
from heimdex.search.v1 import search_service_pb2 as pb

SEOUL = timezone(timedelta(hours=9))


def test_what_is_left_out_is_not_set() -> None:
    assert search_filter({}) == pb.SearchFilter()
    assert search_filter({"uploaded_from": None, "offset_to_s": None}) == pb.SearchFilter()


def test_everything_is_put_where_it_belongs() -> None:
    narrowed: Narrowed = {
        "video_ids": ["v"],
        "person_ids": ["p"],
        "excluded_person_ids": ["q"],
        "tags": ["cat"],
        "languages": ["ko"],
        "uploaded_from": datetime(2024, 5, 1, 9, tzinfo=SEOUL),
        "uploaded_to": datetime(2024, 5, 2, tzinfo=UTC),
        "offset_from_s": 0.0,
        "offset_to_s": 1.5,
        "min_confidence": 0.5,
    }
    assert search_filter(narrowed) == pb.SearchFilter(
        video_ids=["v"],
        person_ids=["p"],
        excluded_person_ids=["q"],
        tags=["cat"],
        languages=["ko"],
        uploaded_from=Timestamp(seconds=1_714_521_600),
        uploaded_to=Timestamp(seconds=1_714_608_000),
        offset_from=Duration(),
        offset_to=Duration(seconds=1, nanos=500_000_000),
        min_confidence=0.5,
    )
    assert search_filter(narrowed).HasField("offset_from")
    assert len(narrowed) == len(pb.SearchFilter.DESCRIPTOR.fields), "one for each field"


@pytest.mark.parametrize(
    ("narrowed", "field"),
    [
        ({"offset_from_s": math.nan}, "filter.offset_from"),
        ({"offset_to_s": math.inf}, "filter.offset_to"),
        ({"offset_to_s": -math.inf}, "filter.offset_to"),
        ({"offset_from_s": 1e300}, "filter.offset_from"),
        ({"uploaded_from": datetime(1, 1, 1, tzinfo=SEOUL)}, "filter.uploaded_from"),
        ({"uploaded_to": datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=9)))}, "filter.uploaded_to"),
    ],
)
def test_what_no_message_holds_is_refused_as_the_gateway_does(narrowed: Narrowed, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        search_filter(narrowed)
    assert [violation.field for violation in refused.value.violations] == [field]
    assert refused.value.reason == "INVALID_FIELD"


@pytest.mark.parametrize("local", [datetime(2024, 5, 1), datetime(2024, 12, 1, 12)])  # noqa: DTZ001  # without a zone
def test_a_time_without_a_zone_is_local(local: datetime) -> None:
    assert search_filter({"uploaded_from": local}).uploaded_from.seconds == local.timestamp()


def test_a_filter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'tag'; did you mean 'tags'\?"):
        search_filter({"tag": ["cat"]})  # type: ignore[typeddict-unknown-key]  # type checkers see it too
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'bogus'$"):
        search_filter({"tags": ["cat"], "bogus": 1})  # type: ignore[typeddict-unknown-key]


def test_a_string_is_no_list_of_its_letters() -> None:
    with pytest.raises(TypeError, match="tags takes several values"):
        search_filter({"tags": "cat"})  # type: ignore[typeddict-item]  # type checkers see it too
    with pytest.raises(TypeError, match="video_ids takes several values"):
        search_filter({"video_ids": "vid_1"})  # type: ignore[typeddict-item]
    assert list(search_filter({"tags": {"cat"}}).tags) == ["cat"]


def test_a_time_is_a_datetime() -> None:
    with pytest.raises(TypeError, match="uploaded_from takes a datetime, not '2024-05-01'"):
        search_filter({"uploaded_from": "2024-05-01"})  # type: ignore[typeddict-item]
