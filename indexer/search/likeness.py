"""Likeness: a scene and what the stores have near it -> what is asked, what is left, what tags are shared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from contracts.catalog import Generation, SceneRow
from contracts.ids import split_row_id
from indexer.search.channels import Answers, Question, question_of
from indexer.search.fuse import Answer
from indexer.search.parse import Parsed
from indexer.search.ranking import Ramp, Ranking, weighted
from indexer.search.transcripts import scene_of
from indexer.search.types import SearchRequest, SimilarRequest, Weights

NO_WORDS = Parsed("", "", (), ())
_NO_EVIDENCE = Ramp(1.0, 2.0)  # 0 for every share


def ranking_like(ranking: Ranking, weights: Weights) -> Ranking:
    """Return the ranking of one call. People narrow and are not compared; tags in common order scenes, but make none
    like another by themselves. Confidence is on the scales of two scenes. Raises InvalidRequest (permanent) as
    ``weighted``.
    """
    like = ranking.likeness
    scale = replace(ranking.confidence, dense=like.dense, vision=like.vision, tags=_NO_EVIDENCE)
    return replace(weighted(ranking, replace(weights, people=0.0)), confidence=scale)


def question_like(request: SimilarRequest, generation: Generation, *, rows: int) -> Question:
    """Return what is asked of the stores beside the scene's own vectors; ``rows`` of each."""
    # Tags are looked at in the scenes that are found: there are no words to ask the text index for.
    narrow = replace(request.filter, tags=())
    asked = SearchRequest(request.tenant_id, "", limit=rows, filter=narrow, weights=request.weights)
    return question_of(asked, NO_WORDS, generation)


def others(answers: Answers, scene: SceneRow, *, same_video: bool, most: int) -> Answers:
    """Return the answers without the scene, in whatever revision, and its video's unless ``same_video``.

    Args:
        most: rows kept of each list, best first.
    """
    return {channel: _others(answer, scene, same_video=same_video, most=most) for channel, answer in answers.items()}


def _others(answer: Answer, scene: SceneRow, *, same_video: bool, most: int) -> Answer:
    left = [
        row
        for row in answer.raw
        if split_row_id(row)[0] != scene.scene_id and (same_video or answer.videos[row] != scene.video_id)
    ]
    kept = left if answer.people else left[:most]  # a person's scenes are not in the order of likeness
    return replace(
        answer,
        raw={row: answer.raw[row] for row in kept},
        exact=answer.exact and len(kept) == len(left),
        cut=answer.cut or len(kept) < len(left),
    )


def tags_of(scene: SceneRow) -> Mapping[str, float]:
    """Return tag -> score. Raises: Internal (permanent) when the body is no scene."""
    return {tag.tag: tag.score for tag in scene_of(scene.body).tags}


def tags_in_common(own: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the weighted Jaccard index of two scenes' tags, [0, 1]: sum of the lower scores by that of the higher.

    1 for the same tags with the same scores, 0 for none in common. Source: Ruzicka similarity.
    """
    tags = own.keys() | other.keys()
    whole = sum(max(own.get(tag, 0.0), other.get(tag, 0.0)) for tag in tags)
    return sum(min(own.get(tag, 0.0), other.get(tag, 0.0)) for tag in tags) / whole if whole else 0.0
