"""People of the command line: a name means whom it means in a query."""

from __future__ import annotations

from typing import cast

import pytest

from heimdex.cli.failure import Usage
from heimdex.cli.people import find_people, find_person
from heimdex.client import Client, NotFound
from heimdex.people.v1.people_service_pb2 import Person


class Listed:
    """A client that knows some people."""

    def list_people(self) -> list[Person]:
        return [
            Person(person_id="per_o", display_name="버락 오바마", aliases=["Obama"]),
            Person(person_id="per_a", display_name="Ann E"),
            Person(person_id="per_1", display_name="수지"),
            Person(person_id="per_2", display_name="이수지", aliases=["수지"]),
        ]


CLIENT = cast("Client", Listed())


@pytest.mark.parametrize("name", ["버락 오바마", "버락오바마", "obama", "OBAMA", "버락  오바마"])
def test_case_and_spaces_of_a_korean_name_do_not_matter(name: str) -> None:
    assert find_people(CLIENT, name) == ["per_o"]


def test_spaces_of_other_names_do() -> None:
    assert find_people(CLIENT, "ann e") == ["per_a"]
    with pytest.raises(NotFound):
        find_people(CLIENT, "anne")


def test_one_who_is_meant_is_the_only_one_of_that_name() -> None:
    assert find_people(CLIENT, "수지") == ["per_1", "per_2"]
    assert find_person(CLIENT, "이수지") == "per_2"
    with pytest.raises(Usage, match="per_1, per_2"):
        find_person(CLIENT, "수지")
