"""A file -> its size and digests, whole and by parts."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from heimdex.client import _transfer


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 3000, 3001])
def test_digests_are_those_of_the_file_and_of_its_parts(tmp_path: Path, size: int) -> None:
    body = random.Random(size).randbytes(size)
    path = tmp_path / "film.mp4"
    path.write_bytes(body)
    found_size, whole, parts = _transfer.digests(path, part_size_bytes=1000)
    assert (found_size, whole) == (size, hashlib.sha256(body).hexdigest())
    wanted = [hashlib.sha256(body[at : at + 1000]).hexdigest() for at in range(0, size, 1000)]
    assert parts == (wanted if size > 1000 else [])
