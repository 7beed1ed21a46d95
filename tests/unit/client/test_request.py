"""Arguments as messages: what none can hold is InvalidArgument, what is wrong as Python a TypeError."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from heimdex.client import InvalidArgument
from heimdex.client._request import message, part, several
from heimdex.scene.v1.scene_service_pb2 import GetSceneMediaRequest
from heimdex.search.v1 import search_service_pb2 as pb


def test_fields_are_put_where_they_belong() -> None:
    made = message(pb.SearchScenesRequest, query="고양이", page_size=5, facets=(pb.FACET_TAGS,), weights=None)
    assert made == pb.SearchScenesRequest(query="고양이", page_size=5, facets=[pb.FACET_TAGS])


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"page_size": 1 << 40}, "page_size", "value out of range: 1099511627776"),
        ({"fusion": 1 << 40}, "fusion", "value out of range: 1099511627776"),
        ({"query": "\ud800"}, "query", "is no text that UTF-8 can hold"),
        ({"query": "고양이", "page_token": b"\xff"}, "page_token", "is no text that UTF-8 can hold"),
        ({"facets": ["moods"]}, "facets", 'unknown enum label "moods"'),
    ],
)
def test_what_no_message_holds_is_refused_by_field(fields: Mapping[str, Any], field: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        message(pb.SearchScenesRequest, **fields)
    assert [(v.field, v.description) for v in refused.value.violations] == [(field, why)]
    assert refused.value.reason == "INVALID_FIELD"


def test_a_part_is_named_within_its_request() -> None:
    with pytest.raises(InvalidArgument) as refused:
        part("filter", pb.SearchFilter, tags=["cat", "\udfff"])
    assert [violation.field for violation in refused.value.violations] == ["filter.tags"]


@pytest.mark.parametrize("alone", ["scn_1", b"scn_1", Path("scn_1")])
def test_one_where_several_are_meant_is_a_mistake(alone: Any) -> None:
    with pytest.raises(TypeError, match="scene_ids takes several values, such as a list of them, not one: "):
        several("scene_ids", alone)
    with pytest.raises(TypeError, match="scene_ids takes several values"):
        message(GetSceneMediaRequest, scene_ids=alone)


def test_several_are_of_any_kind() -> None:
    assert [several("x", values) for values in (["a"], ("a",), {"a"}, {"a": 1}, iter("a"))] == [["a"]] * 5
    assert not message(GetSceneMediaRequest, scene_ids=()).scene_ids


@pytest.mark.parametrize("fields", [{"query": None, "page_size": "5"}, {"page_size": 1.5}, {"facets": [None]}])
def test_another_type_is_a_type_error(fields: Mapping[str, Any]) -> None:
    with pytest.raises(TypeError):
        message(pb.SearchScenesRequest, **fields)
