"""Search requests: ``SearchScenesRequest`` -> what the searcher takes, and what must stay from page to page. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from gateway import validation
from heimdex.search.v1 import search_service_pb2 as pb
from indexer.search.parse import clean
from indexer.search.types import Facet, Filter, Fusion, GroupBy, SearchRequest, Weights

DEFAULT_PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 200
MAX_VIDEOS: Final = 100
MAX_PEOPLE: Final = 10
MAX_TAGS: Final = 10
MAX_LANGUAGES: Final = 10
MAX_FACETS: Final = 3
MAX_SCENES_PER_VIDEO: Final = 200
DEFAULT_SCENES_PER_VIDEO: Final = 4
"""Source of all: ``heimdex.search.v1``."""

_TAG: Final = re.compile(r"[a-z0-9_]{1,64}")
_LANGUAGE: Final = re.compile(r"([A-Za-z]{2,8})(?:-[A-Za-z0-9]{1,8})*")
_NANOS: Final = 1_000_000_000
_TIMES: Final = range(-62_135_596_800, 253_402_300_800)  # years 1 to 9999
_MAX_DURATION_S: Final = 315_576_000_000
"""Source of both ranges: ``google.protobuf.Timestamp`` and ``Duration``."""

_DELIVERIES: Final = frozenset(pb.Delivery.values())
_FUSIONS: Final[Mapping[int, Fusion]] = MappingProxyType(
    {0: Fusion.CALIBRATED, **{pb.Fusion.Value(f"FUSION_{one.name}"): one for one in Fusion}}
)
_GROUPS: Final[Mapping[int, GroupBy]] = MappingProxyType(
    {0: GroupBy.SCENE, **{pb.GroupBy.Value(f"GROUP_BY_{one.name}"): one for one in GroupBy}}
)
_FACETS: Final[Mapping[int, Facet]] = MappingProxyType({pb.Facet.Value(f"FACET_{one.name}"): one for one in Facet})

_NOT_OF_THE_LIST: Final = frozenset({"limit", "progressive", "facets", "image", "include_weak"})
"""Fields of a search that do not decide which hits there are; ``image`` is what ``image_id`` names."""


def from_proto(request: pb.SearchScenesRequest, tenant_id: str) -> SearchRequest:
    """Return what is asked for. Raises InvalidRequest (permanent) with proto paths."""
    narrow = filter_of(request.filter)
    image_id = request.image_upload_id and validation.resource_id(request.image_upload_id, "image_upload_id", "upl")
    may_be_empty = narrow.person_ids or narrow.tags or image_id
    if request.delivery not in _DELIVERIES:
        raise validation.invalid("delivery", "is neither PROGRESSIVE nor FINAL_ONLY")
    if request.fusion not in _FUSIONS:
        raise validation.invalid("fusion", "is neither CALIBRATED nor RECIPROCAL_RANK")
    if request.group_by not in _GROUPS:
        raise validation.invalid("group_by", "is neither SCENE nor VIDEO")
    return SearchRequest(
        tenant_id=tenant_id,
        query=clean(request.query, may_be_blank=bool(may_be_empty)),
        limit=validation.page_size(request.page_size, default=DEFAULT_PAGE_SIZE, most=MAX_PAGE_SIZE),
        filter=narrow,
        progressive=request.delivery != pb.DELIVERY_FINAL_ONLY,
        weights=weights_of(request.weights),
        fusion=_FUSIONS[request.fusion],
        max_scenes_per_video=_max_scenes_per_video(request, narrow),
        group_by=_GROUPS[request.group_by],
        facets=_facets(request.facets),
        include_weak=request.include_weak,
        image_id=image_id,
    )


def filter_of(narrow: pb.SearchFilter) -> Filter:
    """Return what a hit must have, each value once. Raises InvalidRequest (permanent) with proto paths."""
    if not 0.0 <= narrow.min_confidence <= 1.0:  # also for what is no number
        raise validation.invalid("filter.min_confidence", "is not in [0, 1]")
    uploaded_from_ms = _time_ms(narrow, "uploaded_from")
    uploaded_to_ms = _time_ms(narrow, "uploaded_to")
    offset_from_ms = _offset_ms(narrow, "offset_from")
    offset_to_ms = _offset_ms(narrow, "offset_to")
    _check_order(uploaded_from_ms, uploaded_to_ms, "uploaded")
    _check_order(offset_from_ms, offset_to_ms, "offset")
    person_ids = validation.resource_ids(narrow.person_ids, "filter.person_ids", "per", most=MAX_PEOPLE)
    excluded = "filter.excluded_person_ids"
    excluded_ids = validation.resource_ids(narrow.excluded_person_ids, excluded, "per", most=MAX_PEOPLE)
    for place, person_id in enumerate(narrow.excluded_person_ids):
        if person_id in person_ids:
            raise validation.invalid(f"{excluded}[{place}]", "is also in filter.person_ids")
    return Filter(
        video_ids=validation.resource_ids(narrow.video_ids, "filter.video_ids", "vid", most=MAX_VIDEOS),
        person_ids=person_ids,
        excluded_person_ids=excluded_ids,
        tags=_tags(narrow.tags),
        languages=_languages(narrow.languages),
        uploaded_from_ms=uploaded_from_ms,
        uploaded_to_ms=uploaded_to_ms,
        offset_from_ms=offset_from_ms,
        offset_to_ms=offset_to_ms,
        min_confidence=narrow.min_confidence,
    )


def weights_of(weights: pb.SearchWeights) -> Weights:
    """Return the weights of one search; None where none is set. Raises InvalidRequest (permanent) with proto paths."""
    for field, value in weights.ListFields():
        if not 0.0 <= value <= 1.0:  # also for what is no number
            raise validation.invalid(f"weights.{field.name}", "is not in [0, 1]")
    return Weights(**{field.name: value for field, value in weights.ListFields()})


def scope(asked: SearchRequest) -> str:
    """Return what must stay the same from page to page: everything that decides which hits there are."""
    same = {field.name: getattr(asked, field.name) for field in fields(asked) if field.name not in _NOT_OF_THE_LIST}
    digest = hashlib.sha256(json.dumps({name: _plain(value) for name, value in same.items()}).encode())
    return f"SearchScenes:{digest.hexdigest()}"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; lists of a filter mean the same in any order."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return sorted(value) if isinstance(value, tuple) else value


def _max_scenes_per_video(request: pb.SearchScenesRequest, narrow: Filter) -> int:
    if not request.HasField("max_scenes_per_video"):
        return 0 if len(narrow.video_ids) == 1 else DEFAULT_SCENES_PER_VIDEO
    if not 0 <= request.max_scenes_per_video <= MAX_SCENES_PER_VIDEO:
        raise validation.invalid(
            "max_scenes_per_video", f"is {request.max_scenes_per_video}, outside of [0, {MAX_SCENES_PER_VIDEO}]"
        )
    return request.max_scenes_per_video


def _facets(values: Sequence[int]) -> tuple[Facet, ...]:
    if len(values) > MAX_FACETS:
        raise validation.invalid("facets", f"has {len(values)} facets, more than {MAX_FACETS}")
    for place, value in enumerate(values):
        if value not in _FACETS:
            raise validation.invalid(f"facets[{place}]", "is none of PEOPLE, TAGS and VIDEOS")
    return tuple(dict.fromkeys(_FACETS[value] for value in values))


def _tags(values: Sequence[str]) -> tuple[str, ...]:
    if len(values) > MAX_TAGS:
        raise validation.invalid("filter.tags", f"has {len(values)} tags, more than {MAX_TAGS}")
    for place, value in enumerate(values):
        if not _TAG.fullmatch(value):
            raise validation.invalid(f"filter.tags[{place}]", "is no tag id such as espresso")
    return tuple(dict.fromkeys(values))


def _languages(values: Sequence[str]) -> tuple[str, ...]:
    """Return primary subtags in lower case: that of ``ko-KR`` is ``ko``."""
    if len(values) > MAX_LANGUAGES:
        raise validation.invalid("filter.languages", f"has {len(values)} languages, more than {MAX_LANGUAGES}")
    primary = []
    for place, value in enumerate(values):
        language = _LANGUAGE.fullmatch(value)
        if language is None:
            raise validation.invalid(f"filter.languages[{place}]", "is no BCP-47 tag such as ko")
        primary.append(language[1].lower())
    return tuple(dict.fromkeys(primary))


def _time_ms(narrow: pb.SearchFilter, name: Literal["uploaded_from", "uploaded_to"]) -> int | None:
    """Return a time in Unix milliseconds; None when it is not set."""
    if not narrow.HasField(name):
        return None
    time: Timestamp = getattr(narrow, name)
    if time.seconds not in _TIMES or not 0 <= time.nanos < _NANOS:
        raise validation.invalid(f"filter.{name}", "is no valid timestamp")
    return _up_to_ms(time)


def _offset_ms(narrow: pb.SearchFilter, name: Literal["offset_from", "offset_to"]) -> int | None:
    """Return an offset in milliseconds; None when it is not set."""
    if not narrow.HasField(name):
        return None
    offset: Duration = getattr(narrow, name)
    if not (0 <= offset.seconds <= _MAX_DURATION_S and 0 <= offset.nanos < _NANOS):
        raise validation.invalid(f"filter.{name}", "is negative or no valid duration")
    return _up_to_ms(offset)


def _up_to_ms(moment: Timestamp | Duration) -> int:
    """Return milliseconds, rounded up: what begins within one begins after a limit that lies in it."""
    return moment.seconds * 1000 - (-moment.nanos // 1_000_000)


def _check_order(from_ms: int | None, to_ms: int | None, name: str) -> None:
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise validation.invalid(f"filter.{name}_to", f"is not after filter.{name}_from")
