"""People of the command line: a name means whom it means in a query."""

from __future__ import annotations

from typing import cast

import pytest

from heimdex.cli.people import find_people
from heimdex.client import Client, NotFound
from heimdex.people.v1.people_service_pb2 import Person


class Listed:
    """A client that knows some people."""

    def list_people(self) -> list[Person]:
        return [
            Person(person_id="per_o", display_name="버락 오바마", aliases=["Obama"]),
            Person(person_id="per_a", display_name="Ann E"),
        ]


CLIENT = cast("Client", Listed())


@pytest.mark.parametrize("name", ["버락 오바마", "버락오바마", "obama", "OBAMA", "버락  오바마"])
def test_case_and_spaces_of_a_korean_name_do_not_matter(name: str) -> None:
    assert find_people(CLIENT, name) == ["per_o"]


def test_spaces_of_other_names_do() -> None:
    assert find_people(CLIENT, "ann e") == ["per_a"]
    with pytest.raises(NotFound):
        find_people(CLIENT, "anne")
