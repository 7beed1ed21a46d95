"""Search requests: messages as values, and what belongs to one list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from contracts.errors import InvalidRequest
from gateway import search_requests
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.types import Facet, Filter, Fusion, GroupBy, SearchRequest, Weights

VIDEO, OTHER_VIDEO = "vid_00000000000000000000000000", "vid_11111111111111111111111111"
PERSON, OTHER_PERSON = "per_00000000000000000000000000", "per_11111111111111111111111111"
IMAGE = "upl_00000000000000000000000000"


def taken(**asked: Any) -> SearchRequest:
    return search_requests.from_proto(pb.SearchScenesRequest(**asked), "team")


def test_a_request_is_taken_with_its_defaults() -> None:
    assert taken(query=" 고양이 ") == SearchRequest("team", "고양이", max_scenes_per_video=4)


def test_a_request_is_taken_whole() -> None:
    narrow = pb.SearchFilter(
        video_ids=[VIDEO, OTHER_VIDEO, VIDEO],
        person_ids=[PERSON, PERSON],
        excluded_person_ids=[OTHER_PERSON],
        tags=["cat", "coffee_mug", "cat"],
        languages=["ko-KR", "en", "KO"],
        uploaded_from=Timestamp(seconds=5, nanos=1),
        uploaded_to=Timestamp(seconds=6),
        offset_from=Duration(seconds=1, nanos=500_000_000),
        offset_to=Duration(seconds=2),
        min_confidence=0.5,
    )
    assert taken(
        query="",
        page_size=7,
        filter=narrow,
        delivery=pb.DELIVERY_FINAL_ONLY,
        weights=pb.SearchWeights(text=0.5, people=0.0),
        fusion=pb.FUSION_RECIPROCAL_RANK,
        max_scenes_per_video=0,
        group_by=pb.GROUP_BY_VIDEO,
        facets=[pb.FACET_TAGS, pb.FACET_PEOPLE, pb.FACET_TAGS],
        include_weak=True,
        image_upload_id=IMAGE,
    ) == SearchRequest(
        "team",
        "",
        limit=7,
        filter=Filter(
            video_ids=(VIDEO, OTHER_VIDEO),
            person_ids=(PERSON,),
            excluded_person_ids=(OTHER_PERSON,),
            tags=("cat", "coffee_mug"),
            languages=("ko", "en"),
            uploaded_from_ms=5001,
            uploaded_to_ms=6000,
            offset_from_ms=1500,
            offset_to_ms=2000,
            min_confidence=0.5,
        ),
        progressive=False,
        weights=Weights(text=0.5, people=0.0),
        fusion=Fusion.RECIPROCAL_RANK,
        group_by=GroupBy.VIDEO,
        facets=(Facet.TAGS, Facet.PEOPLE),
        include_weak=True,
        image_id=IMAGE,
    )


def test_every_field_of_the_filter_is_taken() -> None:
    assert {field.name for field in fields(Filter)} == {
        f"{name}_ms" if name.startswith(("uploaded", "offset")) else name
        for name in pb.SearchFilter.DESCRIPTOR.fields_by_name
    }


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        ({}, 4),
        ({"filter": pb.SearchFilter(video_ids=[VIDEO])}, 0),
        ({"filter": pb.SearchFilter(video_ids=[VIDEO, VIDEO])}, 0),
        ({"filter": pb.SearchFilter(video_ids=[VIDEO, OTHER_VIDEO])}, 4),
        ({"filter": pb.SearchFilter(video_ids=[VIDEO]), "max_scenes_per_video": 3}, 3),
        ({"max_scenes_per_video": 0}, 0),
        ({"max_scenes_per_video": 200}, 200),
    ],
)
def test_scenes_of_a_video_are_limited_unless_one_is_asked_for(asked: dict[str, Any], most: int) -> None:
    assert taken(query="고양이", **asked).max_scenes_per_video == most


@pytest.mark.parametrize(
    "asked",
    [
        {"filter": pb.SearchFilter(person_ids=[PERSON])},
        {"filter": pb.SearchFilter(tags=["cat"])},
        {"image_upload_id": IMAGE},
    ],
)
def test_a_query_may_be_empty_beside_something_to_find_by(asked: dict[str, Any]) -> None:
    assert taken(query="  ", **asked).query == ""


def narrowed(**values: Any) -> dict[str, Any]:
    return {"filter": pb.SearchFilter(**values)}


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"query": ""}, "query"),
        ({"query": "", **narrowed(excluded_person_ids=[PERSON])}, "query"),
        ({"query": "", **narrowed(languages=["ko"])}, "query"),
        (narrowed(excluded_person_ids=["x"]), "filter.excluded_person_ids[0]"),
        (narrowed(excluded_person_ids=[PERSON] * 11), "filter.excluded_person_ids"),
        (
            narrowed(person_ids=[PERSON], excluded_person_ids=[OTHER_PERSON, PERSON]),
            "filter.excluded_person_ids[1]",
        ),
        (narrowed(tags=["cat"] * 11), "filter.tags"),
        (narrowed(tags=["cat", "고양이"]), "filter.tags[1]"),
        (narrowed(tags=["Cat"]), "filter.tags[0]"),
        (narrowed(tags=[""]), "filter.tags[0]"),
        (narrowed(tags=["a" * 65]), "filter.tags[0]"),
        (narrowed(languages=["ko"] * 11), "filter.languages"),
        (narrowed(languages=["ko", "한국어"]), "filter.languages[1]"),
        (narrowed(languages=[""]), "filter.languages[0]"),
        (narrowed(languages=["ko_KR"]), "filter.languages[0]"),
        (narrowed(languages=["k"]), "filter.languages[0]"),
        (narrowed(uploaded_from=Timestamp(seconds=-(10**12))), "filter.uploaded_from"),
        (narrowed(uploaded_to=Timestamp(nanos=-1)), "filter.uploaded_to"),
        (narrowed(uploaded_to=Timestamp(seconds=10**15)), "filter.uploaded_to"),
        (narrowed(uploaded_from=Timestamp(seconds=5), uploaded_to=Timestamp(seconds=5)), "filter.uploaded_to"),
        (narrowed(offset_from=Duration(seconds=-1)), "filter.offset_from"),
        (narrowed(offset_from=Duration(nanos=10**9)), "filter.offset_from"),
        (narrowed(offset_to=Duration(seconds=10**15)), "filter.offset_to"),
        (narrowed(offset_from=Duration(seconds=5), offset_to=Duration(seconds=4)), "filter.offset_to"),
        (narrowed(offset_to=Duration(), offset_from=Duration()), "filter.offset_to"),
        (narrowed(min_confidence=float("nan")), "filter.min_confidence"),
        ({"weights": pb.SearchWeights(text=-0.1)}, "weights.text"),
        ({"weights": pb.SearchWeights(vision=1.1)}, "weights.vision"),
        ({"weights": pb.SearchWeights(people=float("nan"))}, "weights.people"),
        ({"weights": pb.SearchWeights(tags=float("inf"))}, "weights.tags"),
        ({"fusion": 9}, "fusion"),
        ({"group_by": 9}, "group_by"),
        ({"facets": [pb.FACET_TAGS, pb.FACET_UNSPECIFIED]}, "facets[1]"),
        ({"facets": [7]}, "facets[0]"),
        ({"facets": [pb.FACET_TAGS] * 4}, "facets"),
        ({"max_scenes_per_video": -1}, "max_scenes_per_video"),
        ({"max_scenes_per_video": 201}, "max_scenes_per_video"),
        ({"image_upload_id": "x"}, "image_upload_id"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_path(asked: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        taken(**({"query": "고양이"} | asked))
    assert [violation.field for violation in refused.value.violations] == [path]


# ------------------------------------------------------------------------------------------------ scope

OTHERS: Mapping[str, Any] = MappingProxyType(
    {
        "tenant_id": "else", "query": "개", "filter": Filter(tags=("cat",)), "weights": Weights(text=0.1),
        "fusion": Fusion.RECIPROCAL_RANK, "max_scenes_per_video": 9, "group_by": GroupBy.VIDEO,
        "image_id": IMAGE,
    }
)  # fmt: skip
OF_A_PAGE: Mapping[str, Any] = MappingProxyType(
    {"limit": 99, "progressive": False, "facets": (Facet.TAGS,), "include_weak": True, "image": np.ones(3, np.float32)}
)
FILTERS: Mapping[str, Any] = MappingProxyType(
    {
        "video_ids": ("vid_1",), "person_ids": ("per_1",), "excluded_person_ids": ("per_1",), "tags": ("cat",),
        "languages": ("ko",), "uploaded_from_ms": 1, "uploaded_to_ms": 1, "offset_from_ms": 1, "offset_to_ms": 1,
        "min_confidence": 0.1,
    }
)  # fmt: skip
WEIGHTS = MappingProxyType({field.name: 0.1 for field in fields(Weights)})

ASKED = SearchRequest("team", "고양이")
SCOPE: Callable[[SearchRequest], str] = search_requests.scope


def test_no_field_is_forgotten_here() -> None:
    assert OTHERS.keys() | OF_A_PAGE.keys() == {field.name for field in fields(SearchRequest)}
    assert FILTERS.keys() == {field.name for field in fields(Filter)}


def test_pages_belong_to_everything_that_decides_the_hits() -> None:
    others = [replace(ASKED, **{name: value}) for name, value in OTHERS.items()]
    others += [replace(ASKED, filter=replace(ASKED.filter, **{name: value})) for name, value in FILTERS.items()]
    others += [replace(ASKED, weights=replace(ASKED.weights, **{name: value})) for name, value in WEIGHTS.items()]
    distinct = {repr(other) for other in (ASKED, *others)}
    assert len({SCOPE(other) for other in (ASKED, *others)}) == len(distinct)


@pytest.mark.parametrize("name", OF_A_PAGE)
def test_what_is_of_a_page_changes_no_list(name: str) -> None:
    assert SCOPE(replace(ASKED, **{name: OF_A_PAGE[name]})) == SCOPE(ASKED)


def test_the_order_of_a_filter_means_nothing() -> None:
    one, other = (Filter(video_ids=ids, tags=ids) for ids in (("a", "b"), ("b", "a")))
    assert SCOPE(replace(ASKED, filter=one)) == SCOPE(replace(ASKED, filter=other))
