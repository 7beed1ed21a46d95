"""Fit of likeness: vectors of scenes and judgements -> the ramp from two scenes' cosine to confidence. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.ports import Float32
from indexer.evaluation.folder import Collection, Scene
from indexer.search.ranking import Confidence, Ramp

LEAST_SCENES = 20
"""Scenes without which a channel is not fitted: among fewer nothing is one in twenty."""

_MOST_OF = 95  # percentile: all but one in twenty


@dataclass(frozen=True, slots=True)
class FittedLikeness:
    """A ramp, and what it makes of the scenes that it was fitted on.

    Attributes:
        ramp: from cosine to confidence, to three places.
        scenes: that were looked from.
        none: share of them whose nearest unlike scene is below ``none_below``, [0, 1].
        like: how many of them have a scene of another video that is like them.
        lost: share of these whose nearest like scene is below ``none_below``, [0, 1]; None when there are none.
        supported: share of these whose nearest like scene is SUPPORTED, [0, 1]; None when there are none.
    """

    ramp: Ramp
    scenes: int
    none: float
    like: int
    lost: float | None
    supported: float | None


def only_said(scene: Scene) -> bool:
    """Return whether what is said is all that the scene can be found by."""
    return bool(scene.text) and not (scene.labels or scene.affect or scene.people)


def only_seen(scene: Scene) -> bool:
    """Return whether what is seen is all that the scene can be found by."""
    return bool(scene.labels) and not (scene.text or scene.affect or scene.people)


def fit_likeness(
    collection: Collection, vectors: Mapping[str, Float32], alone: Callable[[Scene], bool], scale: Confidence
) -> FittedLikeness | None:
    """Return the ramp of a channel of meaning; None when fewer than ``LEAST_SCENES`` can be looked from, or when all
    that is unlike is as far.

    A query is about a channel when some scene answers it by that alone. The scenes that answer it are like each other
    there, and are looked from: by the rule for labelling, all that answer it are known. Unlike one of them is every
    scene of another video with which it answers no query.

    Confidence begins where 95 % of unlike pairs end, and reaches ``supported_from`` where 95 % of the scenes have
    nothing unlike as near. Unlike scenes alone decide, for there are many.

    Args:
        vectors: scene id -> its vector, length 1; scenes without one are not compared.
        alone: whether a scene can be found by this channel alone.
        scale: of the ranking that the ramp is for.
    """
    scenes = {scene.id: scene for scene in collection.scenes}
    matrix = np.array(list(vectors.values()), np.float32)
    videos = np.array([scenes[one].video or one for one in vectors])
    places = {scene: place for place, scene in enumerate(vectors)}
    judged, about = [], []
    for grades in collection.judgements.values():
        answers = frozenset(places[scene] for scene in grades if scene in places)
        judged.append(answers)
        if any(alone(scenes[scene]) for scene in grades if scene in scenes):
            about.append(answers)
    unlike_pairs, unlike, like = [], [], []
    for place in sorted(frozenset[int]().union(*about)):
        cosines = matrix @ matrix[place]
        elsewhere = videos != videos[place]
        others = cosines[elsewhere & ~_with(place, judged, len(vectors))]
        if not len(others):
            continue
        unlike_pairs.append(others)
        unlike.append(others.max())
        alike = cosines[elsewhere & _with(place, about, len(vectors))]
        like.extend([alike.max()] if len(alike) else [])
    if len(unlike) < LEAST_SCENES:
        return None
    floor = float(np.percentile(np.concatenate(unlike_pairs), _MOST_OF))
    supported = float(np.percentile(unlike, _MOST_OF))
    if supported <= floor:
        return None
    ramp = Ramp(round(floor, 3), round(floor + (supported - floor) / scale.supported_from, 3))
    nearest_unlike, nearest_like = (ramp(np.array(cosines, np.float64)) for cosines in (unlike, like))
    return FittedLikeness(
        ramp,
        scenes=len(unlike),
        none=_share(nearest_unlike < scale.none_below),
        like=len(like),
        lost=_share(nearest_like < scale.none_below) if like else None,
        supported=_share(nearest_like >= scale.supported_from) if like else None,
    )


def _with(place: int, queries: Sequence[frozenset[int]], scenes: int) -> npt.NDArray[np.bool_]:
    """Return which scenes answer a query that the one at ``place`` answers."""
    found = np.zeros(scenes, np.bool_)
    for answers in queries:
        if place in answers:
            found[list(answers)] = True
    return found


def _share(values: npt.NDArray[np.bool_]) -> float:
    return round(float(values.mean()), 3)
