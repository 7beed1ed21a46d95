"""People: names, and the verdict on what a photo shows."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.catalog import Person, Photo
from contracts.errors import InvalidRequest
from contracts.ports import Face
from gateway import people
from heimdex.people.v1 import people_service_pb2 as pb


def face(side_px: float, sharpness: float = 100.0, *, height_px: float | None = None) -> Face:
    return Face((5.0, 5.0, side_px, height_px or side_px), 0.9, np.ones(4, np.float32), sharpness)


@pytest.mark.parametrize(
    ("faces", "verdict"),
    [
        ([], "NO_FACE"),
        ([face(40)], "ACCEPTED"),
        ([face(39.9)], "TOO_SMALL"),
        ([face(200, height_px=30)], "TOO_SMALL"),
        ([face(20), face(30)], "TOO_SMALL"),
        ([face(200), face(60)], "SEVERAL_FACES"),
        ([face(200), face(30), face(20)], "ACCEPTED"),  # passers-by
        ([face(200, 39.0)], "BLURRED"),
        ([face(200, 40.0)], "ACCEPTED"),
    ],
)
def test_verdicts(faces: list[Face], verdict: str) -> None:
    found, meant = people.judge(faces, min_face_px=40, min_sharpness=40.0)
    assert found == verdict
    assert meant is faces[0] if verdict == "ACCEPTED" else meant is None


def test_names_are_kept_once() -> None:
    assert people.names(" 민지 ", ["Minji", "민지", "Minji", " 김민지"]) == ("민지", ("Minji", "김민지"))
    with pytest.raises(InvalidRequest):
        people.names("민지", ["x"] * 21)
    with pytest.raises(InvalidRequest, match="quotation marks"):
        people.names("민지", ['홍"길동'])
    with pytest.raises(InvalidRequest, match="quotation marks"):
        people.names("홍＂길동", [])
    for nobody in ("\u200b", "!!", "😀"):
        with pytest.raises(InvalidRequest, match="no letter"):
            people.names(nobody, [])
    for at in ("@민지", "＠민지", "\u200b@민지"):
        with pytest.raises(InvalidRequest, match="begins with @"):
            people.names("민지", [at])


def test_a_person_is_told_without_vectors() -> None:
    photos = tuple(
        Photo(f"upl_{place}", f"{place}.jpg", name.removeprefix("PHOTO_VERDICT_"), "key", b"\0\0\0\0")
        for place, name in enumerate(pb.PhotoVerdict.keys())  # no mapping
        if place
    )
    message = people.to_proto(
        Person("per_1", "team", "민지", ("Minji",), photos, 1500, "m", scene_count=3, matched=True)
    )
    assert [photo.verdict for photo in message.photos] == pb.PhotoVerdict.values()[1:]
    assert (message.create_time.ToMilliseconds(), message.scene_count, message.matched) == (1500, 3, True)
    assert b"\0\0\0\0" not in message.SerializeToString()
