"""Search by an uploaded picture over gRPC: what it finds, and every picture that is none."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from adapters.models.vision.fake import FakeVisionEncoder
from contracts.catalog import SceneRow
from contracts.errors import DependencyUnavailable
from contracts.ids import row_id
from heimdex.client import AsyncClient, InvalidArgument
from heimdex.scene.v1 import scene_pb2
from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from tests.component.gateway.door import Door, refused

RED = (220, 30, 30)
QUERY_IMAGE = upload_pb2.UPLOAD_PURPOSE_QUERY_IMAGE
UNKNOWN = "upl_00000000000000000000000000"


def png(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (64, 36)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


async def uploaded(door: Door, body: bytes, *, tenant: str = "team", **fields: Any) -> str:
    """Return the id of a completed query image."""
    fields = {"purpose": QUERY_IMAGE, "content_type": "image/png", "file_name": "picture.png"} | fields
    return (await door.upload(body, tenant=tenant, **fields)).upload.upload_id


async def library(door: Door, count: int = 3) -> tuple[SceneRow, ...]:
    """Index scenes that look like whatever is asked for, the first one most."""
    rows = await door.index(b"film", *(f"{n} 고양이가 잔다" for n in range(count)))
    door.stores.vision.cosines = {row_id(r.scene_id, r.revision): 0.9 - 0.1 * n for n, r in enumerate(rows)}
    door.stores.vision.videos = {row_id(row.scene_id, row.revision): row.video_id for row in rows}
    return rows


async def done(door: Door, upload_id: str, *, tenant: str = "team", **fields: Any) -> pb.SearchScenesResponse:
    request = pb.SearchScenesRequest(image_upload_id=upload_id, **fields)
    last = pb.SearchScenesResponse()
    async for last in door.search.SearchScenes(request, metadata=door.auth(tenant)):  # noqa: B007  # DONE is the last
        pass
    assert last.kind == pb.FRAME_KIND_DONE
    return last


async def test_a_picture_alone_finds_what_looks_like_it(door: Door) -> None:
    rows = await library(door)
    answer = await done(door, await uploaded(door, png()))
    assert [hit.scene.scene_id for hit in answer.hits] == [row.scene_id for row in rows]
    assert list(answer.answered) == [pb.CHANNEL_VISION]
    assert answer.summary.match_quality == pb.MATCH_QUALITY_SUPPORTED
    (asked,) = door.stores.vision.asked
    (red,), _ = FakeVisionEncoder().encode_images([np.full((36, 64, 3), RED, np.uint8)])
    assert asked == pytest.approx(red)
    assert door.stores.encoder.texts == []


async def test_pages_go_on_with_the_same_picture_and_no_other(door: Door) -> None:
    rows = await library(door)
    upload_id = await uploaded(door, png())
    first = await done(door, upload_id, page_size=2)
    seen = door.photos.read
    rest = await done(door, upload_id, page_size=2, page_token=first.next_page_token)
    assert [hit.scene.scene_id for hit in rest.hits] == [rows[2].scene_id]
    assert door.photos.read == seen, "later pages do not look at the picture again"
    other = await uploaded(door, png((30, 60, 220)))
    wrong = await refused(done(door, other, page_token=first.next_page_token))
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")


async def test_a_hit_tells_which_of_its_pictures_looks_like_it_on_every_page(door: Door) -> None:
    rows = await library(door)
    door.stores.vision.best_views = {row_id(rows[0].scene_id, 1): 1, row_id(rows[2].scene_id, 1): 1}
    upload_id = await uploaded(door, png())
    first = await done(door, upload_id, page_size=2)
    rest = await done(door, upload_id, page_size=2, page_token=first.next_page_token)
    frames = [hit.best_frame_offset.ToMilliseconds() for hit in (*first.hits, *rest.hits)]
    assert frames == [100, 1500, 2100]
    assert all(hit.best_frame_offset in hit.scene.view_offsets for hit in (*first.hits, *rest.hits))


async def test_a_scene_indexed_before_views_had_times_has_none(door: Door) -> None:
    rows = await library(door, 1)
    scene = scene_pb2.Scene.FromString(rows[0].body)
    del scene.view_offsets[:]
    earlier = replace(rows[0], revision=2, body=scene.SerializeToString(deterministic=True))
    await door.commit([earlier])
    row = row_id(earlier.scene_id, 2)
    door.stores.vision.cosines, door.stores.vision.videos = {row: 0.9}, {row: earlier.video_id}
    (hit,) = (await done(door, await uploaded(door, png()))).hits
    assert hit.scene.scene_id == earlier.scene_id
    assert not hit.HasField("best_frame_offset")


async def test_a_picture_may_be_searched_by_again(door: Door) -> None:
    await library(door)
    upload_id = await uploaded(door, png())
    assert (await done(door, upload_id)).hits
    assert (await done(door, upload_id)).hits


def bomb(width_px: int, height_px: int) -> bytes:
    """Return the beginning of a PNG that says it is as large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(9_000))
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"no picture at all", "is no readable JPEG, PNG or WebP image"),
        (b"%PDF-1.7" + bytes(100), "is no readable JPEG, PNG or WebP image"),
        (png()[:60], "is no readable JPEG, PNG or WebP image"),
        (bomb(9_000, 6_000), "has more than 50000000 pixels"),
        (bomb(50_000, 50_000), "has more than 50000000 pixels"),
    ],
    ids=["text", "pdf", "cut", "54 megapixels", "2,500 megapixels"],
)
async def test_what_is_no_picture_is_the_callers_fault(door: Door, body: bytes, said: str) -> None:
    wrong = await refused(done(door, await uploaded(door, body)))
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [(v.field, v.description) for v in wrong.details["BadRequest"].field_violations] == [
        ("image_upload_id", said)
    ]
    assert not door.stores.vision.asked


async def test_a_picture_that_is_too_large_is_not_taken(door: Door) -> None:
    wrong = await refused(door.create(bytes(2001), purpose=QUERY_IMAGE))
    assert wrong.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == ["size_bytes"]


async def _unknown(_: Door) -> str:
    return UNKNOWN


async def _malformed(_: Door) -> str:
    return "vid_00000000000000000000000000"


async def _theirs(door: Door) -> str:
    return await uploaded(door, png(), tenant="others")


async def _photo(door: Door) -> str:
    return await uploaded(door, png(), purpose=upload_pb2.UPLOAD_PURPOSE_PERSON_PHOTO)


async def _open(door: Door) -> str:
    return (await door.create(png(), purpose=QUERY_IMAGE)).upload_id


async def _swept(door: Door) -> str:
    upload_id = await uploaded(door, png())
    await door.objects.purge((await door.catalog.get_upload("team", upload_id)).object_key)
    return upload_id


@pytest.mark.parametrize(
    ("make", "code", "reason"),
    [
        (_unknown, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (_theirs, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (_malformed, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (_photo, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (_open, grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE"),
        (_swept, grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_CLOSED"),
    ],
)
async def test_uploads_that_cannot_be_searched_by(
    door: Door, make: Callable[[Door], Awaitable[str]], code: grpc.StatusCode, reason: str
) -> None:
    upload_id = await make(door)
    wrong = await refused(done(door, upload_id, query="고양이"))
    assert (wrong.code, wrong.reason) == (code, reason)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        assert [v.field for v in wrong.details["BadRequest"].field_violations] == ["image_upload_id"]
    assert not door.stores.text.queries, "nothing is searched"
    assert door.photos.read == 0


async def test_when_pictures_cannot_be_read_now_it_is_to_be_tried_again(door: Door) -> None:
    upload_id = await uploaded(door, png())
    door.photos.error = DependencyUnavailable("inference", "is down")
    down = await refused(done(door, upload_id))
    assert (down.code, down.metadata) == (grpc.StatusCode.UNAVAILABLE, {"dependency": "inference"})
    assert down.details["RetryInfo"].retry_delay.seconds == 1


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "picture.png"
    file.write_bytes(png())
    return file


async def test_a_search_needs_a_query_or_a_picture(door: Door) -> None:
    wrong = await refused(done(door, ""))
    assert [v.field for v in wrong.details["BadRequest"].field_violations] == ["query"]
    async with AsyncClient(f"127.0.0.1:{door.port}", door.signer.token(), insecure=True) as client:
        with pytest.raises(InvalidArgument):
            [frame async for frame in client.search()]
