"""Vectors and judgements -> the ramp of two scenes' cosines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from contracts.ports import Float32
from indexer.evaluation.fit_likeness import LEAST_SCENES, FittedLikeness, fit_likeness, only_said, only_seen
from indexer.evaluation.folder import Collection, Query, Scene
from indexer.search.ranking import load

SCALE = load("small-v1").confidence
SUBJECTS = LEAST_SCENES


def at(degrees: float, plane: int) -> Float32:
    """Return a direction: scenes of two planes have nothing in common."""
    vector = np.zeros(2 * SUBJECTS, np.float32)
    vector[2 * plane : 2 * plane + 2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector


def collection(scenes: list[Scene], judgements: Mapping[str, Mapping[str, int]]) -> Collection:
    return Collection("own", tuple(scenes), tuple(Query(query, query, "") for query in judgements), judgements)


def pairs(*, between: float, video: str = "") -> tuple[Collection, dict[str, Float32]]:
    """Return two scenes to a subject, ``between`` degrees apart, each pair answering a query."""
    scenes = [Scene(f"{half}{n}", "말", video and f"{video}{n}") for n in range(SUBJECTS) for half in "ab"]
    vectors = {f"{half}{n}": at(between * (half == "b"), n) for n in range(SUBJECTS) for half in "ab"}
    judgements = {f"q{n}": {f"a{n}": 1, f"b{n}": 2} for n in range(SUBJECTS)}
    return collection(scenes, judgements), vectors


def fitted(made: Collection, vectors: Mapping[str, Float32]) -> FittedLikeness:
    found = fit_likeness(made, vectors, only_said, SCALE)
    assert found is not None
    return found


def with_unlike(made: Collection, vectors: Mapping[str, Float32], degrees: float) -> FittedLikeness:
    """Return the fit with, for every subject, one more scene so far off that answers nothing."""
    scenes = [*made.scenes, *(Scene(f"u{n}", "말") for n in range(SUBJECTS))]
    more = {f"u{n}": at(degrees, n) for n in range(SUBJECTS)}
    return fitted(collection(scenes, made.judgements), {**vectors, **more})


def test_confidence_begins_above_unlike_pairs_and_supports_above_the_nearest() -> None:
    made, vectors = pairs(between=0)
    found = with_unlike(made, vectors, 60)  # a cosine of 0.5; all other pairs have 0
    assert found.ramp.floor == 0.0, "of each scene's pairs one in fifty is near"
    assert found.ramp(np.array([0.5]))[0] == pytest.approx(SCALE.supported_from)
    assert (found.scenes, found.like, found.lost, found.supported) == (2 * SUBJECTS, 2 * SUBJECTS, 0.0, 1.0)
    assert found.none == 0.0


def test_what_answers_the_same_query_is_not_unlike() -> None:
    made, vectors = pairs(between=10)
    nearer = np.cos(np.radians(50)) / SCALE.supported_from
    assert with_unlike(made, vectors, 60).ramp.top == pytest.approx(nearer, abs=0.001), "10 degrees off is like it"
    apart = collection(list(made.scenes), {f"q{n}": {f"a{n}": 1} for n in range(SUBJECTS)})
    assert with_unlike(apart, vectors, 60).ramp.top > 1.9, "without their query they are not"


def test_what_is_like_and_far_is_lost() -> None:
    made, vectors = pairs(between=85)
    found = with_unlike(made, vectors, 60)
    assert (found.lost, found.supported) == (1.0, 0.0)


def test_scenes_of_one_video_are_not_compared() -> None:
    made, vectors = pairs(between=0, video="film")
    found = with_unlike(made, vectors, 60)
    assert (found.like, found.lost, found.supported) == (0, None, None)


def test_only_queries_about_the_channel_are_looked_at() -> None:
    made, vectors = pairs(between=0)
    seen = [Scene(scene.id, scene.text, labels={"tabby_cat": 0.6}) for scene in made.scenes]
    both = collection(seen, made.judgements)
    assert fit_likeness(both, vectors, only_said, SCALE) is None
    assert fit_likeness(both, vectors, only_seen, SCALE) is None
    silent = [Scene(scene.id, "", labels=scene.labels) if scene.id[0] == "a" else scene for scene in seen]
    unlike = [Scene(f"u{n}", "", labels={"zebra": 0.9}) for n in range(SUBJECTS)]
    more = {f"u{n}": at(60, n) for n in range(SUBJECTS)}
    assert (
        fit_likeness(collection([*silent, *unlike], made.judgements), {**vectors, **more}, only_seen, SCALE) is not None
    )


def test_too_little_is_not_fitted() -> None:
    made, vectors = pairs(between=0)
    judgements = dict(list(made.judgements.items())[: LEAST_SCENES // 2 - 1])
    assert fit_likeness(collection(list(made.scenes), judgements), vectors, only_said, SCALE) is None
    assert fit_likeness(made, {}, only_said, SCALE) is None
    one = collection([Scene(scene.id, scene.text, "film") for scene in made.scenes], made.judgements)
    assert fit_likeness(one, vectors, only_said, SCALE) is None, "of one video nothing is compared"
    assert fit_likeness(made, vectors, only_said, SCALE) is None, "where all unlike ones are as far there is no slope"


@pytest.mark.parametrize(
    ("scene", "said", "seen"),
    [
        (Scene("s", "말"), True, False),
        (Scene("s", "", labels={"zebra": 0.9}), False, True),
        (Scene("s", "말", labels={"zebra": 0.9}), False, False),
        (Scene("s", "말", affect=("sad",)), False, False),
        (Scene("s", "", labels={"zebra": 0.9}, people={"민지": 0.9}), False, False),
    ],
)
def test_what_else_a_scene_can_be_found_by(scene: Scene, *, said: bool, seen: bool) -> None:
    assert (only_said(scene), only_seen(scene)) == (said, seen)
