"""Ranking: a channel's raw measures -> similarities, weights and confidence, by one named, versioned file. Pure.

Ranking scores may be scaled by the query; confidence never is. Measures are columns: one value a row, float64 (n,).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.errors import FieldViolation, InvalidRequest
from indexer.search.types import Channel, MatchQuality, Weights

Column = npt.NDArray[np.float64]

FIRST = "small-v1"
"""Ranking of the first generation."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """A straight line from 0 at ``floor`` to 1 at ``top``, cut off outside."""

    floor: float
    top: float

    def __call__(self, values: Column) -> Column:
        """Return the places of ``values`` on the ramp, [0, 1]."""
        return _share((values - self.floor) / (self.top - self.floor))


@dataclass(frozen=True, slots=True)
class Confidence:
    """How measures become an absolute score.

    Attributes:
        words_share: of words in what is said; the rest is meaning, [0, 1].
        meaning_alone: share of its certainty that meaning keeps where the words are others, (0, 1].
        people_share: part of the confidence that people have, when the query names people and something else.
        supported_from: from here a hit is SUPPORTED.
        none_below: when the best hit is below, the answer's quality is NONE.
    """

    dense: Ramp
    vision: Ramp
    tags: Ramp
    words_share: float
    meaning_alone: float
    people_share: float
    supported_from: float
    none_below: float


@dataclass(frozen=True, slots=True)
class Likeness:
    """What stands in for the ramps of ``Confidence`` where a scene is asked by: two scenes' cosines run higher."""

    provenance: str
    dense: Ramp
    vision: Ramp


@dataclass(frozen=True, slots=True)
class Ranking:
    """One ranking file.

    Attributes:
        text, vision, tags: weights of the base, sum 1.
        people: most that people add to the base.
        lexical_share: of words in "text"; the rest is meaning.
        meaning_alone: share of "text" that meaning keeps in a row where words say less than that, (0, 1].
        lexical_trust: from the highest share of the query that any row says to what BM25 is worth.
    """

    name: str
    provenance: str
    text: float
    vision: float
    tags: float
    people: float
    lexical_share: float
    meaning_alone: float
    lexical_trust: Ramp
    dense_similarity: Ramp
    vision_similarity: Ramp
    tags_similarity: Ramp
    confidence: Confidence
    likeness: Likeness


@cache
def load(name: str) -> Ranking:
    """Return the ranking file ``name``. Raises: ValueError (permanent) when there is none or it makes no sense."""
    path = files(__package__) / "rankings" / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"no ranking {name!r}")
    return from_mapping(json.loads(path.read_text(encoding="utf-8")))


def from_mapping(content: Mapping[str, Any]) -> Ranking:
    """Return a ranking from the content of its file. Raises: ValueError (permanent) when it makes no sense."""
    try:
        weights, similarity, confidence = content["weights"], content["similarity"], content["confidence"]
        likeness = content["likeness"]
        ranking = Ranking(
            name=content["name"],
            provenance=content["provenance"],
            text=weights["text"],
            vision=weights["vision"],
            tags=weights["tags"],
            people=weights["people"],
            lexical_share=content["lexical_share_of_text"],
            meaning_alone=content["meaning_alone"],
            lexical_trust=Ramp(**similarity["lexical_by_coverage"]),
            dense_similarity=Ramp(**similarity["dense"]),
            vision_similarity=Ramp(**similarity["vision"]),
            tags_similarity=Ramp(**similarity["tags"]),
            confidence=Confidence(
                dense=Ramp(**confidence["dense"]),
                vision=Ramp(**confidence["vision"]),
                tags=Ramp(**confidence["tags"]),
                words_share=confidence["words_share"],
                meaning_alone=confidence["meaning_alone"],
                people_share=confidence["people_share"],
                supported_from=confidence["supported_from"],
                none_below=confidence["none_below"],
            ),
            likeness=Likeness(likeness["provenance"], Ramp(**likeness["dense"]), Ramp(**likeness["vision"])),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"ranking file is malformed: {error}") from error
    if abs(ranking.text + ranking.vision + ranking.tags - 1.0) > 1e-9:  # noqa: PLR2004  # rounding
        raise ValueError(f"weights of {ranking.name} do not sum to 1")
    if not all(0.0 < share <= 1.0 for share in (ranking.meaning_alone, ranking.confidence.meaning_alone)):
        raise ValueError(f"meaning alone of {ranking.name} is not in (0, 1]")
    if not 0.0 <= ranking.confidence.words_share <= 1.0:
        raise ValueError(f"words share of {ranking.name} is not in [0, 1]")
    if not 0.0 <= ranking.confidence.none_below <= ranking.confidence.supported_from <= 1.0:
        raise ValueError(f"thresholds of {ranking.name} are out of order")
    return ranking


def weighted(ranking: Ranking, weights: Weights) -> Ranking:
    """Return the ranking with the weights of one search; those of the base are divided by their sum.

    Confidence stays as it is: weights say what matters to somebody, not what is so.

    Raises: InvalidRequest (permanent) when text, vision and tags sum to nothing.
    """
    if weights == Weights():
        return ranking
    text, vision, tags, people = (
        own if given is None else given
        for given, own in (
            (weights.text, ranking.text),
            (weights.vision, ranking.vision),
            (weights.tags, ranking.tags),
            (weights.people, ranking.people),
        )
    )
    total = text + vision + tags
    if total <= 0:
        raise InvalidRequest(FieldViolation("weights", "text, vision and tags sum to 0"))
    return replace(ranking, text=text / total, vision=vision / total, tags=tags / total, people=people)


def base_weights(ranking: Ranking, answered: Collection[Channel]) -> Mapping[Channel, float]:
    """Return the weight of each channel that answered, sum 1: the missing ones' is shared out. Without any weight among
    those that answered, and when none did, there is nothing to share out.

    Words and meaning share "text" between themselves first, so that one alone carries all of it.
    """
    of_text = {Channel.LEXICAL: ranking.lexical_share, Channel.DENSE: 1.0 - ranking.lexical_share}
    text = {channel: share for channel, share in of_text.items() if channel in answered}
    weights = {channel: ranking.text * share / sum(text.values()) for channel, share in text.items()}
    if Channel.VISION in answered:
        weights[Channel.VISION] = ranking.vision
    if Channel.TAGS in answered:
        weights[Channel.TAGS] = ranking.tags
    total = sum(weights.values())
    return {channel: weight / total for channel, weight in weights.items()} if total else weights


def row_weights(
    ranking: Ranking, weights: Mapping[Channel, float], similarities: Mapping[Channel, Column]
) -> Mapping[Channel, Column]:
    """Return the weights of rows: ``weights``, but those of meaning alone where that makes more of a row's text.

    Words find nothing in another language, and little where the same is said in others: a row is not to pay for that.

    Args:
        weights: of the channels that answered.
        similarities: the rows', of the same channels at least.
    """
    same = {channel: np.full_like(similarities[channel], weight) for channel, weight in weights.items()}
    if not {Channel.LEXICAL, Channel.DENSE} <= weights.keys():
        return same
    words, meaning = weights[Channel.LEXICAL], weights[Channel.DENSE]
    alone = ranking.meaning_alone * (words + meaning)
    said, meant = similarities[Channel.LEXICAL], similarities[Channel.DENSE]
    gains = alone * meant > words * said + meaning * meant
    return {**same, Channel.LEXICAL: np.where(gains, 0.0, words), Channel.DENSE: np.where(gains, alone, meaning)}


def similarity(ranking: Ranking, channel: Channel, best: float, coverage: float) -> Callable[[Column], Column]:
    """Return what turns a channel's own measures into its ranking scores, [0, 1].

    Args:
        best: the highest BM25 of the query: it has no scale but that.
        coverage: the highest share of the query's words, by idf, that any row says, [0, 1]. Where nobody says much of
            it, the best BM25 is that of a stray word.
    """
    if channel is Channel.DENSE:
        return ranking.dense_similarity
    if channel is Channel.VISION:
        return ranking.vision_similarity
    if channel is Channel.TAGS:
        return ranking.tags_similarity
    if channel is Channel.PEOPLE:
        return Ramp(0.0, 1.0)
    if best <= 0:
        return np.zeros_like
    trust = ranking.lexical_trust(np.array(coverage))
    return lambda bm25: trust * _share(bm25 / best)


def confidence(
    ranking: Ranking,
    raw: Mapping[Channel, Column],
    coverage: Column,
    *,
    people_named: bool = False,
    people_alone: bool = False,
) -> Column:
    """Return how well each scene answers the query, [0, 1], comparable across queries.

    Evidence of any kind suffices: words and meaning together, meaning alone less so, what is seen, or a tag. Where the
    query names people beside something else, being there is a part of it; where it names nothing else, being there or
    being spoken of is all of it.

    Args:
        raw: measures of each channel that answered, and of each that counts as if it knew of nothing.
        coverage: share of the query's words, by idf, that each transcript holds, [0, 1].
        people_named: whether the query itself names people.
        people_alone: and nothing else.
    """
    scale = ranking.confidence
    what = []
    if Channel.LEXICAL in raw and Channel.DENSE in raw:
        meant = scale.dense(raw[Channel.DENSE])
        said = scale.words_share * coverage + (1.0 - scale.words_share) * meant
        what.append(np.maximum(said, scale.meaning_alone * meant))
    elif Channel.LEXICAL in raw:
        what.append(coverage)
    elif Channel.DENSE in raw:
        what.append(scale.dense(raw[Channel.DENSE]))
    if Channel.VISION in raw:
        what.append(scale.vision(raw[Channel.VISION]))
    if Channel.TAGS in raw:
        what.append(scale.tags(raw[Channel.TAGS]))
    who = _share(raw.get(Channel.PEOPLE, np.zeros_like(coverage)))
    if not what:
        return who
    seen: Column = np.maximum.reduce(what)
    if people_alone:
        return np.maximum(seen, who)
    if not (people_named and Channel.PEOPLE in raw):
        return seen
    return (1.0 - scale.people_share) * seen + scale.people_share * who


def quality_of_hit(ranking: Ranking, value: float) -> MatchQuality:
    """Return SUPPORTED or BEST_GUESS for a hit's confidence."""
    return MatchQuality.SUPPORTED if value >= ranking.confidence.supported_from else MatchQuality.BEST_GUESS


def quality_of_answer(ranking: Ranking, best: float) -> MatchQuality:
    """Return the answer's quality for its highest confidence; 0 when there is no hit."""
    return MatchQuality.NONE if best < ranking.confidence.none_below else quality_of_hit(ranking, best)


def _share(values: Column) -> Column:
    return np.minimum(1.0, np.maximum(0.0, values))
