"""Filters: what narrows a search, as keyword arguments -> ``heimdex.search.v1.SearchFilter``. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TypedDict

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from heimdex.client._request import Strings, part, refused
from heimdex.search.v1 import search_service_pb2 as search_pb2


class Narrowed(TypedDict, total=False):
    """What a hit must have; what is left out narrows nothing. Limits are said where ``SearchFilter`` is.

    Attributes:
        video_ids: it is of any of these videos.
        person_ids: it has all of these people.
        excluded_person_ids: it has none of these people.
        tags: it has all of these tags, by id.
        languages: its video is in any of these languages, such as ``ko``.
        uploaded_from: its video was uploaded then or later; a time without a zone is local.
        uploaded_to: its video was uploaded before.
        offset_from_s: it begins there in its video or later, in seconds.
        offset_to_s: it begins before.
        min_confidence: it is at least this sure, [0, 1].
    """

    video_ids: Strings
    person_ids: Strings
    excluded_person_ids: Strings
    tags: Strings
    languages: Strings
    uploaded_from: datetime | None
    uploaded_to: datetime | None
    offset_from_s: float | None
    offset_to_s: float | None
    min_confidence: float


def search_filter(narrowed: Narrowed) -> search_pb2.SearchFilter:
    """Return the filter as a message.

    Raises:
        InvalidArgument: a value is beyond what the message can hold, as the gateway says it.
        TypeError: a name is no filter's, or a value has another type.
    """
    if unknown := sorted(narrowed.keys() - Narrowed.__annotations__.keys()):
        near = get_close_matches(unknown[0], Narrowed.__annotations__, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}{meant}")
    return part(
        "filter",
        search_pb2.SearchFilter,
        video_ids=narrowed.get("video_ids", ()),
        person_ids=narrowed.get("person_ids", ()),
        excluded_person_ids=narrowed.get("excluded_person_ids", ()),
        tags=narrowed.get("tags", ()),
        languages=narrowed.get("languages", ()),
        uploaded_from=_time("uploaded_from", narrowed.get("uploaded_from")),
        uploaded_to=_time("uploaded_to", narrowed.get("uploaded_to")),
        offset_from=_offset("offset_from", narrowed.get("offset_from_s")),
        offset_to=_offset("offset_to", narrowed.get("offset_to_s")),
        min_confidence=narrowed.get("min_confidence", 0.0),
    )


def _time(name: str, time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    message = Timestamp()
    try:
        message.FromDatetime(time.astimezone(UTC))
    except AttributeError:
        raise TypeError(f"{name} takes a datetime, not {time!r}") from None
    except (ValueError, OverflowError):
        raise refused(f"filter.{name}", "is not within the years 1 to 9999, UTC") from None
    return message


def _offset(name: str, seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    message = Duration()
    try:
        message.FromTimedelta(timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        raise refused(f"filter.{name}", "is no number of seconds, or too large") from None
    return message
