"""Who is in a scene: shares of frames, the best person of each face, several photos."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.catalog import Match
from contracts.ports import Face, Float32, UInt8
from control.people.match import Known, Seen, find_people


class Distance:
    """``FaceModel`` whose similarity is one less the distance of one-dimensional vectors."""

    version, dim, min_face_px, min_sharpness = "line.1", 1, 0, 0.0

    def find(self, image: UInt8) -> tuple[Face, ...]:
        raise NotImplementedError

    def similarity(self, a: Float32, b: Float32) -> Float32:
        scores: Float32 = np.clip(1 - np.abs(a - b.T), 0, 1).astype(np.float32)
        return scores


def at(*places: float) -> Float32:
    return np.asarray([[place] for place in places], np.float32)


def seen(scene_id: str, frame: str, place: float) -> Seen:
    return Seen(scene_id, frame, at(place)[0])


MINJI, JUNHO = Known("per_a", at(0.0)), Known("per_b", at(10.0))


def found(faces: list[Seen], frames: dict[str, int], *gallery: Known) -> dict[tuple[str, str], float]:
    matches = find_people(faces, frames, gallery or (MINJI, JUNHO), Distance())
    assert list(matches) == sorted(matches, key=lambda m: (m.scene_id, m.person_id))
    return {(m.scene_id, m.person_id): round(m.confidence, 4) for m in matches}


@pytest.mark.parametrize(
    ("shown", "frames", "is_there"),
    [
        (1, 1, True),
        (1, 2, True),
        (2, 5, True),
        (4, 10, True),
        (6, 15, True),
        (1, 3, False),
        (3, 8, False),
        (0, 4, False),
    ],
)
def test_forty_percent_of_the_frames_with_faces_must_agree(shown: int, frames: int, is_there: bool) -> None:  # noqa: FBT001 - the case
    faces = [seen("scn_1", f"f{n}", 0.0 if n < shown else 5.0) for n in range(frames)]
    assert bool(found(faces, {"scn_1": frames})) is is_there


def test_frames_without_faces_do_not_count_and_scenes_are_counted_apart() -> None:
    faces = [seen("scn_1", "f1", 0.0), seen("scn_2", "f2", 0.0), seen("scn_2", "f3", 5.0), seen("scn_2", "f4", 5.0)]
    assert found(faces, {"scn_1": 1, "scn_2": 3}) == {("scn_1", "per_a"): 1.0}


def test_two_people_can_share_a_frame() -> None:
    faces = [seen("scn_1", "f1", 0.0), seen("scn_1", "f1", 10.0)]
    assert found(faces, {"scn_1": 1}) == {("scn_1", "per_a"): 1.0, ("scn_1", "per_b"): 1.0}


def test_a_frame_counts_once_however_often_it_shows_somebody() -> None:
    faces = [seen("scn_1", "f1", 0.0), seen("scn_1", "f1", 0.1)]
    assert found(faces, {"scn_1": 3}) == {}
    assert found(faces, {"scn_1": 1}) == {("scn_1", "per_a"): 1.0}


def test_a_face_is_the_person_it_resembles_most() -> None:
    near, nearer = Known("per_a", at(0.4)), Known("per_b", at(0.1))
    assert found([seen("scn_1", "f1", 0.0)], {"scn_1": 1}, near, nearer) == {("scn_1", "per_b"): 0.9}


def test_of_several_photos_the_best_one_counts() -> None:
    minji = Known("per_a", at(9.0, 0.3, 4.0))
    assert found([seen("scn_1", "f1", 0.0)], {"scn_1": 1}, minji) == {("scn_1", "per_a"): 0.7}


@pytest.mark.parametrize(("place", "is_there"), [(0.5, True), (0.51, False)])
def test_half_similar_is_the_same(place: float, is_there: bool) -> None:  # noqa: FBT001 - the case
    assert bool(found([seen("scn_1", "f1", place)], {"scn_1": 1})) is is_there


def test_confidence_is_the_mean_over_the_frames_that_show_somebody() -> None:
    faces = [seen("scn_1", "f1", 0.0), seen("scn_1", "f2", 0.2), seen("scn_1", "f3", 5.0)]
    assert found(faces, {"scn_1": 3}) == {("scn_1", "per_a"): 0.9}


def test_nobody_is_found_where_nobody_is() -> None:
    assert find_people([], {}, [MINJI], Distance()) == ()
    assert find_people([seen("scn_1", "f1", 0.0)], {"scn_1": 1}, [], Distance()) == ()


def test_a_scene_that_was_not_counted_is_judged_by_what_is_seen() -> None:
    assert find_people([seen("scn_1", "f1", 0.0)], {}, [MINJI], Distance()) == (Match("scn_1", "per_a", 1.0),)
