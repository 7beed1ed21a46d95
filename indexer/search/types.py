"""Types of search: the request and every frame of its answer, as values; the gateway turns them into messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from contracts.catalog import ScenePerson, SceneRow
from contracts.ports import Float32
from indexer.search.parse import Parsed


class Channel(StrEnum):
    """A way of finding; names are those of ``heimdex.search.v1.Channel``."""

    LEXICAL = "lexical"
    DENSE = "dense"
    VISION = "vision"
    TAGS = "tags"
    PEOPLE = "people"


class FrameKind(StrEnum):
    """What an update is; names are those of ``heimdex.search.v1.FrameKind``."""

    PARTIAL = "partial"
    UPDATE = "update"
    DONE = "done"


class Cause(StrEnum):
    """Why a channel is missing; FAILED is ``DEGRADED_CAUSE_UNAVAILABLE`` on the wire."""

    LATE = "late"
    FAILED = "failed"


class MatchQuality(StrEnum):
    """How well founded; names are those of ``heimdex.search.v1.MatchQuality``. NONE only of a whole answer."""

    SUPPORTED = "supported"
    BEST_GUESS = "best_guess"
    NONE = "none"


class Fusion(StrEnum):
    """How channels make one list; names are those of ``heimdex.search.v1.Fusion``."""

    CALIBRATED = "calibrated"
    RECIPROCAL_RANK = "reciprocal_rank"


class GroupBy(StrEnum):
    """What the rows of an answer are; names are those of ``heimdex.search.v1.GroupBy``."""

    SCENE = "scene"
    VIDEO = "video"


class Facet(StrEnum):
    """What can be counted over an answer; names are those of ``heimdex.search.v1.Facet``."""

    PEOPLE = "people"
    TAGS = "tags"
    VIDEOS = "videos"


@dataclass(frozen=True, slots=True)
class Filter:
    """What a scene must have to be a hit; empty and None stand for everything.

    Attributes:
        video_ids: of any of these videos.
        person_ids: with all of these people.
        excluded_person_ids: with none of these people.
        tags: with all of these tags.
        languages: of a video in any of these languages, BCP-47.
        uploaded_from_ms: of a video uploaded then or later, Unix milliseconds.
        uploaded_to_ms: of a video uploaded before.
        offset_from_ms: beginning there in its video or later.
        offset_to_ms: beginning before.
        min_confidence: with at least this confidence, [0, 1].
    """

    video_ids: tuple[str, ...] = ()
    person_ids: tuple[str, ...] = ()
    excluded_person_ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    uploaded_from_ms: int | None = None
    uploaded_to_ms: int | None = None
    offset_from_ms: int | None = None
    offset_to_ms: int | None = None
    min_confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of one search instead of the ranking's, each [0, 1]; None keeps the ranking's."""

    text: float | None = None
    vision: float | None = None
    tags: float | None = None
    people: float | None = None


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One search.

    Attributes:
        query: free text as the user wrote it; empty only with people or tags in ``filter``, or with ``image``.
        limit: most hits of a frame, 1-200.
        filter: what a hit must have.
        progressive: send PARTIAL and UPDATE too; else DONE alone.
        max_scenes_per_video: most hits of one video, 0 for all.
        facets: what to count over the whole answer.
        include_weak: when nothing answers, give the nearest there is in ``Summary.weak``.
        image: a picture to find by, in the space of images: float32 (dim,), L2-normalised; None for none.
        image_id: which picture it is.
    """

    tenant_id: str
    query: str
    limit: int = 20
    filter: Filter = Filter()
    progressive: bool = True
    weights: Weights = Weights()
    fusion: Fusion = Fusion.CALIBRATED
    max_scenes_per_video: int = 0
    group_by: GroupBy = GroupBy.SCENE
    facets: tuple[Facet, ...] = ()
    include_weak: bool = False
    image: Float32 | None = field(default=None, compare=False)
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class SimilarRequest:
    """One search for scenes like another.

    Attributes:
        limit: most hits, 1-200.
        weights: of text by meaning, of vision, and of the tags in common; people are not compared.
        include_same_video: scenes of the same video too.
    """

    tenant_id: str
    scene_id: str
    limit: int = 20
    filter: Filter = Filter()
    weights: Weights = Weights()
    include_same_video: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """How ranked rows make the list of an answer: a part of ``SearchRequest``, see there."""

    fusion: Fusion = Fusion.CALIBRATED
    max_scenes_per_video: int = 0
    group_by: GroupBy = GroupBy.SCENE


class Contribution(NamedTuple):
    """What one channel adds to a hit's score.

    Attributes:
        similarity: the channel's ranking score, scaled for this query, [0, 1].
        weight: the channel's share of this row's score, [0, 1]; of people the boost. Where meaning alone carries the
            text of a row, words weigh 0.
        points: similarity x weight; all channels' points sum to the score.
        raw: the channel's own measure: BM25, cosine, tag score, match confidence.
    """

    channel: Channel
    similarity: float
    weight: float
    points: float
    raw: float


class Run(NamedTuple):
    """A piece of a transcript; the pieces joined are the transcript.

    Attributes:
        start_ms: start of the spoken line it belongs to, from the beginning of the video.
        end_ms: end of that line, exclusive.
    """

    text: str
    highlighted: bool
    start_ms: int
    end_ms: int


class Ranked(NamedTuple):
    """A row's place in the ranking, before SQL has been asked what it is.

    Attributes:
        score: [0, 1.3], not comparable across queries; the sum of the contributions' points.
        confidence: [0, 1], absolute.
        channels: that answered; ``similarities``, ``weights`` and ``raw`` are theirs, in this order.
        view: which of the scene's views looks most like what is looked for, by its place in ``Scene.view_offsets``;
            None where vision has not seen it.
    """

    row_id: str
    score: float
    confidence: float
    match_quality: MatchQuality
    channels: tuple[Channel, ...]
    similarities: tuple[float, ...]
    weights: tuple[float, ...]
    raw: tuple[float, ...]
    view: int | None = None

    @property
    def contributions(self) -> tuple[Contribution, ...]:
        """Return what each channel adds, most points first; made when asked for: hundreds are ranked, twenty shown."""
        parts = zip(self.channels, self.similarities, self.weights, self.raw, strict=True)
        made = [
            Contribution(channel, similar, weight, similar * weight, raw) for channel, similar, weight, raw in parts
        ]
        return tuple(sorted(made, key=lambda part: -part.points))


@dataclass(frozen=True, slots=True)
class Hit:
    """A scene that was found.

    Attributes:
        rank: from 1 over all pages.
        scene: from SQL, right tenant and searchable revision; ``scene.people`` are those in it.
        transcript: marked only in DONE.
        tags: places, among the scene's, of those that the query names; told only in DONE.
    """

    rank: int
    scene: SceneRow
    ranked: Ranked
    transcript: tuple[Run, ...]
    tags: tuple[int, ...] = ()


class FacetCount(NamedTuple):
    """How many ``hits`` have one value of a facet.

    Attributes:
        value: person id, tag id or video id.
        label: the person's name, the tag's first name or the video's file name.
    """

    value: str
    label: str
    hits: int


@dataclass(frozen=True, slots=True)
class Degraded:
    """A channel that is missing from the answer."""

    channel: Channel
    cause: Cause


@dataclass(frozen=True, slots=True)
class Summary:
    """What a finished search has to say about itself.

    Attributes:
        total_hits: hits of all pages.
        total_is_lower_bound: whether there may be more: the frozen list was cut, or a channel's that may hide hits.
        match_quality: the best hit's; NONE, and no hits, when nothing in the library answers.
        degraded: channels that are missing.
        elapsed_ms: from the request to DONE.
        channel_ms: time each asked channel took, also of those that are missing.
        ranking: name and version of the ranking file.
        generation: that was read.
        people: whom the query was understood to name, by their display names.
        rest: the frozen list after this page, best first: what page tokens hold, what ``Searcher.page`` takes.
        marking: what to mark in the transcripts and tags of later pages.
        parsed: how the query was understood; None where scenes are asked for by another.
        facets: what was to be counted, over the hits of all pages.
        weak: when the quality is NONE and ``include_weak``: the nearest there is, best first.
    """

    total_hits: int
    match_quality: MatchQuality
    degraded: tuple[Degraded, ...]
    elapsed_ms: int
    channel_ms: Mapping[Channel, int]
    ranking: str
    generation: int
    people: tuple[ScenePerson, ...] = ()
    rest: tuple[Ranked, ...] = ()
    marking: str = ""
    total_is_lower_bound: bool = False
    parsed: Parsed | None = None
    facets: Mapping[Facet, tuple[FacetCount, ...]] = field(default_factory=dict)
    weak: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """One frame: the complete current list; ``summary`` only with DONE."""

    kind: FrameKind
    hits: tuple[Hit, ...]
    answered: tuple[Channel, ...]
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A later page: hits that may still be shown, and the frozen list after them."""

    hits: tuple[Hit, ...]
    rest: tuple[Ranked, ...]


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long each part of a search may take, in seconds, and how much it may look at.

    Attributes:
        lexical_s: OpenSearch. Source: p99 at 100 callers is 0.6 s; the rest is slack for a cold machine.
        dense_s: encoding and Milvus.
        vision_s: encoding and Milvus.
        people_s: SQL.
        backfill_s: cosines of rows that a channel's list did not reach.
        reserve_s: kept before the caller's deadline for SQL, marking and the last frame.
        leg_rows: rows asked of each channel of meaning; more for a longer page. Source: ``heimdex eval``: with 20 to
            100 the fused nDCG@10 differs by 0.0005, and with 30 instead of 20 a search costs a tenth more.
        words_rows: rows asked of text: who pages through what holds a word gets further, and it costs little.
        person_rows: scenes of people that are looked at when people narrow the search.
        filtered_rows: rows asked of text then, for many are of other scenes.
        window_rows: rows kept for pages.
        max_query_chars: code points of a query.
    """

    lexical_s: float = 2.0
    dense_s: float = 3.0
    vision_s: float = 3.0
    people_s: float = 1.0
    backfill_s: float = 1.0
    reserve_s: float = 0.25
    leg_rows: int = 20
    words_rows: int = 30
    person_rows: int = 1000
    filtered_rows: int = 500
    window_rows: int = 200
    max_query_chars: int = 1000

    def reserve(self, deadline_s: float) -> float:
        """Return what is kept of a deadline, in seconds: of a short one a share, else nothing were left to channels."""
        return min(self.reserve_s, deadline_s * 0.3)

    def seconds(self) -> Mapping[Channel, float]:
        """Return the budget of each channel in seconds; tags come with the words."""
        return {
            Channel.LEXICAL: self.lexical_s,
            Channel.TAGS: self.lexical_s,
            Channel.DENSE: self.dense_s,
            Channel.VISION: self.vision_s,
            Channel.PEOPLE: self.people_s,
        }
