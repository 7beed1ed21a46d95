"""People: ``contracts.catalog.Person`` -> ``heimdex.people.v1.Person``; names and photos -> what is enrolled. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.catalog import Person
from contracts.facts import timestamp
from contracts.ports import Face
from gateway import validation
from heimdex.people.v1 import people_service_pb2 as pb
from indexer.search.parse import QUOTES, plain

MAX_NAME_LENGTH: Final = 100
MAX_ALIASES: Final = 20

ACCEPTED, NO_FACE, SEVERAL_FACES, TOO_SMALL, BLURRED, NOT_AN_IMAGE = (
    "ACCEPTED", "NO_FACE", "SEVERAL_FACES", "TOO_SMALL", "BLURRED", "NOT_AN_IMAGE",
)  # fmt: skip
"""Verdicts: the names of ``heimdex.people.v1.PhotoVerdict`` without prefix."""


def names(display_name: str, aliases: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the display name and the other names, NFC, each once. Raises InvalidRequest (permanent)."""
    if len(aliases) > MAX_ALIASES:
        raise validation.invalid("aliases", f"has {len(aliases)} names, more than {MAX_ALIASES}")
    name = validation.display_text(display_name, "display_name", most=MAX_NAME_LENGTH)
    others = [validation.display_text(a, f"aliases[{i}]", most=MAX_NAME_LENGTH) for i, a in enumerate(aliases)]
    for field, text in (("display_name", name), *((f"aliases[{i}]", other) for i, other in enumerate(others))):
        typed = plain(text).strip()
        if not frozenset(QUOTES).isdisjoint(typed):
            raise validation.invalid(field, "has quotation marks, within which a query names nobody")
        if not any(map(str.isalnum, typed)):
            raise validation.invalid(field, "has no letter and no digit, so that no query names it")
        if typed.startswith("@"):
            raise validation.invalid(field, "begins with @, which a query puts before names")
    return name, tuple(other for other in dict.fromkeys(others) if other != name)


def judge(faces: Sequence[Face], *, min_face_px: int, min_sharpness: float) -> tuple[str, Face | None]:
    """Return the verdict on a photo and, with ACCEPTED, the face that is meant.

    A face that is too small to be compared is a passer-by: it neither serves nor disturbs.

    Args:
        faces: of the photo.
        min_face_px: least length of the shorter side of a face's box.
        min_sharpness: a face below it is blurred.
    """
    if not faces:
        return NO_FACE, None
    large = [face for face in faces if min(face.box[2:]) >= min_face_px]
    if not large:
        return TOO_SMALL, None
    if len(large) > 1:
        return SEVERAL_FACES, None
    if large[0].sharpness < min_sharpness:
        return BLURRED, None
    return ACCEPTED, large[0]


def to_proto(person: Person) -> pb.Person:
    """Return a person with the verdicts on the photos, in the order of enrolment."""
    return pb.Person(
        person_id=person.person_id,
        display_name=person.display_name,
        aliases=person.aliases,
        photos=[
            pb.EnrolledPhoto(
                upload_id=photo.upload_id,
                verdict=pb.PhotoVerdict.Value(f"PHOTO_VERDICT_{photo.verdict}"),
                file_name=photo.file_name,
            )
            for photo in person.photos
        ],
        create_time=timestamp(person.create_ms),
        scene_count=person.scene_count,
        matched=person.matched,
    )
