"""Uploads: how a file is cut into parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import Upload, UploadState
from gateway.uploads import part_count, pieces


def upload(size_bytes: int, part_size_bytes: int) -> Upload:
    several = part_count(size_bytes, part_size_bytes) > 0
    return Upload(
        "upl_1", "t", "VIDEO", UploadState.OPEN, "k", size_bytes, "", "", "", 0, 0,
        multipart_id="m" if several else "", part_size_bytes=part_size_bytes if several else 0,
    )  # fmt: skip


@given(st.integers(min_value=0, max_value=5000), st.integers(min_value=1, max_value=700))
def test_parts_cover_the_file_without_gap(size_bytes: int, part_size_bytes: int) -> None:
    parts = pieces(upload(size_bytes, part_size_bytes))
    assert len(parts) == part_count(size_bytes, part_size_bytes)
    if size_bytes <= part_size_bytes:
        assert parts == ()
        return
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    end = 0
    for part in parts:
        assert part.offset_bytes == end
        assert 0 < part.size_bytes <= part_size_bytes
        end += part.size_bytes
    assert end == size_bytes
    assert all(part.size_bytes == part_size_bytes for part in parts[:-1])
