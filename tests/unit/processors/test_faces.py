"""Faces: who is alike in a scene becomes one track; nobody has a name."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.models.faces.fake import FakeFaceModel, draw_face
from processors.faces import artifact
from processors.faces.artifact import Found
from processors.faces.stage import Faces, find_faces
from processors.pictures import Picture

ANNA, BERT = (200, 160, 60), (40, 90, 200)


def _picture(scene: int, at_ms: int, *people: tuple[int, int, tuple[int, int, int]]) -> Picture:
    image = np.full((200, 400, 3), 60, np.uint8)
    for x, side, rgb in people:
        draw_face(image, (x, 20, side, side), rgb)
    return Picture(f"f-{at_ms}", scene, at_ms, lambda: image)


def _find(*shown: Picture) -> Faces:
    return find_faces(shown, FakeFaceModel(), progress=lambda _: None)


def test_alike_faces_are_one_track() -> None:
    faces = _find(
        _picture(0, 0, (10, 120, ANNA), (200, 80, BERT)),
        _picture(0, 2000, (30, 80, BERT)),
        _picture(0, 4000),
        _picture(0, 6000, (250, 100, ANNA)),
    )
    assert [(t.scene_index, t.track_index, [s.frame for s in t.sightings]) for t in faces.tracks] == [
        (0, 0, ["f-0", "f-6000"]), (0, 1, ["f-0", "f-2000"]),
    ]  # fmt: skip
    assert faces.face_frames == {0: 3}


def test_two_alike_in_one_frame_are_two() -> None:
    faces = _find(_picture(0, 0, (10, 100, ANNA), (200, 100, ANNA)))
    assert [len(track.sightings) for track in faces.tracks] == [1, 1]
    assert faces.face_frames == {0: 1}


def test_scenes_do_not_share_tracks() -> None:
    faces = _find(_picture(0, 0, (10, 100, ANNA)), _picture(3, 9000, (10, 100, ANNA)))
    assert [(track.scene_index, track.track_index) for track in faces.tracks] == [(0, 0), (3, 0)]
    assert faces.face_frames == {0: 1, 3: 1}


def test_faces_too_small_to_know_are_left_out() -> None:
    faces = _find(_picture(0, 0, (10, 22, ANNA)))
    assert faces == Faces((), {})


def test_boxes_are_shares_of_the_picture() -> None:
    (track,) = _find(_picture(0, 0, (100, 80, ANNA))).tracks
    assert track.sightings[0].box == pytest.approx((0.25, 0.1, 0.2, 0.4))


def test_faces_travel() -> None:
    faces = _find(_picture(0, 0, (10, 120, ANNA), (200, 80, BERT)), _picture(1, 2000, (30, 80, BERT)))
    body = artifact.encode(Found("fake", 16, faces))
    again = artifact.decode(body)
    assert again.faces.face_frames == {0: 1, 1: 1}
    assert artifact.encode(again) == body
    assert np.array_equal(again.faces.tracks[0].sightings[0].vector, faces.tracks[0].sightings[0].vector)
