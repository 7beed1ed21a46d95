"""Facets: the scenes of an answer -> how many have which person, tag and video. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from contracts.catalog import SceneRow
from indexer.search.transcripts import scene_of
from indexer.search.types import Facet, FacetCount

MOST_VALUES = 50
"""Of one facet. Source: ``heimdex.search.v1.FacetCounts.counts``."""


def count(asked: Iterable[Facet], scenes: Sequence[SceneRow]) -> Mapping[Facet, tuple[FacetCount, ...]]:
    """Return the counts of each facet that is asked for, most first, then by value; a scene counts once for a value.

    Raises: Internal (permanent) when the body of a row is no scene.
    """
    return {facet: _count([_values(facet, scene) for scene in scenes]) for facet in asked}


def _count(values: Sequence[Mapping[str, str]]) -> tuple[FacetCount, ...]:
    counts = Counter(value for own in values for value in own)
    labels = {value: label for own in values for value, label in own.items()}
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_VALUES]
    return tuple(FacetCount(value, labels[value], hits) for value, hits in most)


def _values(facet: Facet, row: SceneRow) -> Mapping[str, str]:
    """Return value -> label."""
    if facet is Facet.PEOPLE:
        return {person.person_id: person.display_name for person in row.people}
    scene = scene_of(row.body)
    if facet is Facet.VIDEOS:
        return {row.video_id: scene.file_name}
    return {tag.tag: tag.names[0] if tag.names else tag.tag for tag in scene.tags}
