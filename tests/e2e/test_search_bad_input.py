"""Searches that make no sense, on the real stack: each is refused by its field, or answered; none breaks anything."""

from __future__ import annotations

import math
import struct
import unicodedata
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from deploy.demo.film import Shot, make
from heimdex.client import InvalidArgument, NotFound, errors
from heimdex.scene.v1 import scene_service_pb2 as scene_pb2
from heimdex.scene.v1.scene_service_pb2_grpc import SceneServiceStub
from heimdex.search.v1 import search_service_pb2 as pb
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceStub
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from heimdex.video.v1 import video_pb2
from tests.e2e.conftest import SPEECH
from tests.stack import Stack, ingest

pytestmark = pytest.mark.e2e

QUERY = "고양이"
QUERY_IMAGE = upload_pb2.UPLOAD_PURPOSE_QUERY_IMAGE
VIDEO, PERSON, SCENE = ("vid_" + "0" * 26, "per_" + "0" * 26, "scn_" + "0" * 26)
INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class Library:
    """A tenant with a cat that is spoken of and seen, a rocket, and the cat again; requests go as they are."""

    stack: Stack
    channel: grpc.Channel
    tenant: str
    video_id: str

    def search(
        self, query: str = QUERY, *, tenant: str = "", user: str = "tester", **fields: Any
    ) -> pb.SearchScenesResponse:
        """Return DONE. Raises the SDK's errors."""
        request = pb.SearchScenesRequest(query=query, delivery=pb.DELIVERY_FINAL_ONLY, **fields)
        done: pb.SearchScenesResponse
        (done,) = self._call(SearchServiceStub(self.channel).SearchScenes, request, tenant, user)
        assert done.kind == pb.FRAME_KIND_DONE
        assert not done.summary.degraded
        return done

    def similar(self, scene_id: str, **fields: Any) -> pb.FindSimilarResponse:
        """Return scenes like another. Raises the SDK's errors."""
        request = pb.FindSimilarRequest(scene_id=scene_id, **fields)
        answer: pb.FindSimilarResponse = self._call(SearchServiceStub(self.channel).FindSimilar, request)
        return answer

    def suggest(self, text: str, **fields: Any) -> pb.SuggestQueriesResponse:
        """Return how a text goes on. Raises the SDK's errors."""
        request = pb.SuggestQueriesRequest(text=text, **fields)
        answer: pb.SuggestQueriesResponse = self._call(SearchServiceStub(self.channel).SuggestQueries, request)
        return answer

    def scenes(self, page_token: str = "") -> scene_pb2.ListScenesResponse:
        """Return a page of one scene. Raises the SDK's errors."""
        request = scene_pb2.ListScenesRequest(video_id=self.video_id, page_size=1, page_token=page_token)
        page: scene_pb2.ListScenesResponse = self._call(SceneServiceStub(self.channel).ListScenes, request)
        return page

    def _call(self, method: Callable[..., Any], request: Any, tenant: str = "", user: str = "tester") -> Any:
        token = self.stack.token(tenant or self.tenant, user=user)
        try:
            answer = method(request, metadata=(("authorization", f"Bearer {token}"),), timeout=60)
            return list(answer) if hasattr(answer, "__next__") else answer
        except grpc.RpcError as error:
            raise errors.from_rpc(error) from error


@pytest.fixture(scope="module")
def library(stack: Stack, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    film = tmp_path_factory.mktemp("films") / "cat.mp4"
    cat = Shot(pictures / "chelsea.png", 5, (SPEECH / "speech-en-cat.ogg",))
    make(film, (cat, Shot(pictures / "rocket.jpg", 2), Shot(pictures / "chelsea.png", 2)))
    tenant = f"t-{uuid.uuid4().hex[:12]}"
    with stack.client(tenant) as client, grpc.insecure_channel(stack.endpoint) as channel:
        video = ingest(client, film)
        assert video.state == video_pb2.VIDEO_STATE_INDEXED
        made = Library(stack, channel, tenant, video.video_id)
        assert len(made.search().hits) > 1
        yield made


def refused(call: Callable[[], object], field: str, reason: str = "INVALID_FIELD") -> InvalidArgument:
    """Check that a call is the caller's fault, by one field; return the error."""
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert (caught.value.reason, [v.field for v in caught.value.violations]) == (reason, [field])
    assert caught.value.retry_after_s is None, "to try again does not help"
    return caught.value


# ---- the query --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "", "   ", " \t\r\n\u3000", "가" * 1001, "가" * 10_000, "\u200d" * 300_000,
        "a" + "\u0301" * 100_000 + "\u0323" * 100_000, "bell\a", "nul\0", "\x1b[31m고양이", '"', '""', '" "',
        "“”", '"' * 1000, "-고양이", '-"고양이"', "-고양이!", "!!!", "@", "-", "-" * 1000, "\u200b", "\ufeff",
        "*:?~^/\\[]{}()&&||!<>=", "@없는사람", "고양이 @없는사람", "-@민지",
        " ".join(f'"{number}"' for number in range(11)),
        " ".join([QUERY, *(f"-{chr(0xAC00 + n)}" for n in range(11))]),
    ],
    ids=lambda query: ascii(query)[:20],
)  # fmt: skip
def test_what_is_no_query_is_refused(library: Library, query: str) -> None:
    refused(lambda: library.search(query), "query")


@pytest.mark.parametrize(
    "query",
    [
        "😀", "👩\u200d👩\u200d👧", "ㅋㅋㅋ", "ㅏ", "ㄱㅊㅉㄱ", "\u202e고양이", "@ 고양이", "고\u200b양이",
        "＂고양이＂", "a" + "\u0301" * 999, "가" * 1000, "".join(map(chr, range(0xAC00, 0xAC00 + 1000))),
        " ".join(map(chr, range(0xAC00, 0xAC00 + 500))), "word " * 200, "/(a+)+$/",
        "title:고양이 OR _id:*", "고양이'; DROP TABLE scenes; --", "<script>alert(1)</script>", "${jndi:ldap://nowhere}",
        "𠀀𪚥 韓國", '"ㅋㅋ"', '"😀"', '"은 는 이 가"', "고양이 -😀 -ㅋㅋ",
    ],
    ids=lambda query: ascii(query)[:20],
)  # fmt: skip
def test_odd_queries_are_answered(library: Library, query: str) -> None:
    done = library.search(query)
    assert done.summary.match_quality != pb.MATCH_QUALITY_UNSPECIFIED
    assert bool(done.hits) is (done.summary.match_quality != pb.MATCH_QUALITY_NONE)


@pytest.mark.parametrize(
    "query",
    [unicodedata.normalize("NFD", QUERY), '"' + QUERY, QUERY + '"', "“" + QUERY, f"  {QUERY}\n", f"-- {QUERY} --"],
    ids=ascii,
)
def test_however_it_is_typed_the_cat_is_found(library: Library, query: str) -> None:
    first, same = library.search().hits[0], library.search(query).hits[0]
    assert same.scene.scene_id == first.scene.scene_id
    assert same.scene.start_offset.seconds == 0
    assert any(tag.tag for tag in same.matched_tags)


def test_decomposed_hangul_is_the_same_query(library: Library) -> None:
    whole, apart = library.search(), library.search(unicodedata.normalize("NFD", QUERY))
    assert [(h.scene.scene_id, h.score) for h in apart.hits] == [(h.scene.scene_id, h.score) for h in whole.hits]
    assert apart.summary.parsed == whole.summary.parsed


@pytest.mark.parametrize(
    "text",
    ["😀", "ㅋㅋ", ".*", "[가-힣]+", "(((((", "\\", '"', "<1-9>", "#~@&", "@", "a" * 100, "가" * 100],
    ids=lambda text: ascii(text)[:20],
)
def test_odd_beginnings_are_nothing_but_text(library: Library, text: str) -> None:
    assert not library.suggest(text).suggestions


@pytest.mark.parametrize(
    ("text", "size", "field"),
    [
        ("", 0, "text"), ("  ", 0, "text"), ("\u200b", 0, "text"), ("가" * 101, 0, "text"), ("bell\a", 0, "text"),
        ("고", -1, "page_size"),
        ("고", 21, "page_size"), ("고", INT32_MAX, "page_size"),
    ],
)  # fmt: skip
def test_what_cannot_be_completed_is_refused(library: Library, text: str, size: int, field: str) -> None:
    refused(lambda: library.suggest(text, page_size=size), field)


# ---- filters, limits, weights -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("narrow", "field"),
    [
        (pb.SearchFilter(person_ids=[PERSON], excluded_person_ids=[PERSON]), "filter.excluded_person_ids[0]"),
        (pb.SearchFilter(person_ids=[VIDEO]), "filter.person_ids[0]"),
        (pb.SearchFilter(person_ids=[PERSON] * 11), "filter.person_ids"),
        (pb.SearchFilter(video_ids=[VIDEO, "민지"]), "filter.video_ids[1]"),
        (pb.SearchFilter(video_ids=[VIDEO] * 101), "filter.video_ids"),
        (pb.SearchFilter(tags=["cat", "고양이"]), "filter.tags[1]"),
        (pb.SearchFilter(tags=["cat"] * 11), "filter.tags"),
        (pb.SearchFilter(languages=["한국어"]), "filter.languages[0]"),
        (pb.SearchFilter(languages=["ko"] * 11), "filter.languages"),
        (pb.SearchFilter(offset_from=Duration(seconds=2), offset_to=Duration(seconds=1)), "filter.offset_to"),
        (pb.SearchFilter(offset_from=Duration(seconds=2), offset_to=Duration(seconds=2)), "filter.offset_to"),
        (pb.SearchFilter(offset_from=Duration(seconds=-1)), "filter.offset_from"),
        (pb.SearchFilter(offset_to=Duration(nanos=-1)), "filter.offset_to"),
        (pb.SearchFilter(offset_to=Duration(seconds=2**62)), "filter.offset_to"),
        (pb.SearchFilter(offset_to=Duration(nanos=INT32_MAX)), "filter.offset_to"),
        (pb.SearchFilter(uploaded_from=Timestamp(seconds=2), uploaded_to=Timestamp(seconds=1)), "filter.uploaded_to"),
        (pb.SearchFilter(uploaded_from=Timestamp(seconds=2**62)), "filter.uploaded_from"),
        (pb.SearchFilter(uploaded_to=Timestamp(nanos=-1)), "filter.uploaded_to"),
        *((pb.SearchFilter(min_confidence=n), "filter.min_confidence") for n in (-0.1, 1.1, math.inf, math.nan)),
    ],
)  # fmt: skip
def test_a_filter_that_nothing_can_match_is_refused(library: Library, narrow: pb.SearchFilter, field: str) -> None:
    refused(lambda: library.search(filter=narrow), field)
    refused(lambda: library.similar(SCENE, filter=narrow), field)


@pytest.mark.parametrize(
    "narrow",
    [
        pb.SearchFilter(person_ids=[PERSON]),
        pb.SearchFilter(video_ids=[VIDEO]),
        pb.SearchFilter(tags=["no_such_tag"]),
        pb.SearchFilter(languages=["tlh"]),
        pb.SearchFilter(min_confidence=1.0, offset_from=Duration(seconds=300_000_000_000)),
        pb.SearchFilter(uploaded_to=Timestamp(seconds=-62_135_596_800)),
    ],
)
def test_a_filter_that_nothing_matches_is_an_empty_answer(library: Library, narrow: pb.SearchFilter) -> None:
    done = library.search(filter=narrow)
    assert (list(done.hits), done.summary.match_quality) == ([], pb.MATCH_QUALITY_NONE)
    assert not done.next_page_token


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(({"page_size": size}, "page_size") for size in (-1, 201, INT32_MAX, -INT32_MAX - 1)),
        *(({"max_scenes_per_video": n}, "max_scenes_per_video") for n in (-1, 201, INT32_MAX)),
        ({"facets": [pb.FACET_TAGS] * 4}, "facets"),
        ({"facets": [pb.FACET_TAGS, pb.FACET_UNSPECIFIED]}, "facets[1]"),
        ({"facets": [99]}, "facets[0]"),
        ({"fusion": 99}, "fusion"),
        ({"group_by": -1}, "group_by"),
    ],
)
def test_what_an_answer_cannot_be_is_refused(library: Library, fields: dict[str, Any], field: str) -> None:
    refused(lambda: library.search(**fields), field)


@pytest.mark.parametrize("name", ["text", "vision", "tags", "people"])
@pytest.mark.parametrize("weight", [-0.1, 1.1, math.inf, math.nan])
def test_a_weight_is_within_its_range(library: Library, name: str, weight: float) -> None:
    weights = pb.SearchWeights(**{name: weight})
    refused(lambda: library.search(weights=weights), f"weights.{name}")
    refused(lambda: library.similar(SCENE, weights=weights), f"weights.{name}")


def test_weights_that_leave_nothing_are_refused(library: Library) -> None:
    nothing = pb.SearchWeights(text=0.0, vision=0.0, tags=0.0, people=1.0)
    refused(lambda: library.search(weights=nothing), "weights")
    refused(lambda: library.similar(SCENE, weights=nothing), "weights")


# ---- page tokens ------------------------------------------------------------------------------------------


def test_a_page_token_goes_on_with_its_own_search_and_nothing_else(library: Library) -> None:
    token = library.search(page_size=1).next_page_token
    assert [hit.rank for hit in library.search(page_size=1, page_token=token).hits] == [2]
    of_scenes = library.scenes().next_page_token
    assert of_scenes
    elsewhere: tuple[Callable[[], object], ...] = (
        lambda: library.search(tenant=f"t-{uuid.uuid4().hex[:12]}", page_token=token),
        lambda: library.search(user="somebody-else", page_token=token),
        lambda: library.search("강아지", page_token=token),
        lambda: library.search(page_token=token, filter=pb.SearchFilter(min_confidence=0.1)),
        lambda: library.search(page_token=token, weights=pb.SearchWeights(vision=0.1)),
        lambda: library.search(page_token=token, max_scenes_per_video=1),
        lambda: library.search(page_token=of_scenes),
        lambda: library.scenes(token),
    )
    for call in elsewhere:
        refused(call, "page_token", "INVALID_PAGE_TOKEN")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-2],
        lambda token: ("A" if token[0] != "A" else "B") + token[1:],
        lambda token: token[:20] + ("A" if token[20] != "A" else "B") + token[21:],
        lambda token: token + "A",
        lambda token: token * 2,
        lambda _: "x",
        lambda _: "=",
        lambda _: "고양이",
        lambda _: "A" * 3_000_000,
    ],
    ids=["cut", "version", "flipped", "longer", "twice", "short", "padding", "hangul", "huge"],
)
def test_a_page_token_that_was_tampered_with_is_refused(library: Library, spoil: Callable[[str], str]) -> None:
    token = library.search(page_size=1).next_page_token
    refused(lambda: library.search(page_token=spoil(token)), "page_token", "INVALID_PAGE_TOKEN")


# ---- pictures ---------------------------------------------------------------------------------------------


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb(side_px: int = 50_000) -> bytes:
    """Return a whole PNG of 2.5 gigapixels, black or white each, in some 300 kB."""
    row = bytes(1 + side_px // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row * 1000) for _ in range(side_px // 1000)) + packer.flush()
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


_UNREADABLE = "is no readable JPEG, PNG or WebP image"


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda _: _bomb(), "has more than 50000000 pixels"),
        (lambda _: "고양이 사진입니다\n".encode() * 100, _UNREADABLE),
        (lambda _: b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>', _UNREADABLE),
        (lambda _: b"GIF89a" + bytes(100), _UNREADABLE),
        (lambda cat: cat[: len(cat) // 2], _UNREADABLE),
        (lambda cat: cat[:100] + bytes(len(cat) - 100), _UNREADABLE),
    ],
    ids=["bomb", "text", "svg", "gif", "cut", "zeroed"],
)
def test_what_is_no_picture_is_the_callers_fault(
    library: Library, pictures: Path, tmp_path: Path, build: Callable[[bytes], bytes], said: str
) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(build((pictures / "chelsea.png").read_bytes()))
    with library.stack.client(library.tenant) as client:
        error = refused(lambda: list(client.search(image=file, timeout_s=60)), "image_upload_id")
        assert error.violations[0].description == said
        *_, done = client.search(image=pictures / "rocket.jpg", timeout_s=60)
    assert done.hits[0].scene.start_offset.seconds == 5, "the next picture is read as ever"


def test_a_picture_above_five_mebibytes_is_not_taken(library: Library, tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(bytes((5 << 20) + 1))
    with library.stack.client(library.tenant) as client:
        refused(lambda: list(client.search(image=file)), "size_bytes", "TOO_LARGE")


def test_a_picture_of_another_tenant_is_not_there(library: Library, pictures: Path) -> None:
    with library.stack.client(f"t-{uuid.uuid4().hex[:12]}") as stranger:
        theirs = stranger.upload(pictures / "chelsea.png", purpose=QUERY_IMAGE).upload_id
    for upload_id in (theirs, "upl_" + "0" * 26):
        with pytest.raises(NotFound) as caught:
            library.search("", image_upload_id=upload_id)
        assert caught.value.reason == "NOT_FOUND"
    refused(lambda: library.search("", image_upload_id=VIDEO), "image_upload_id")


def test_a_picture_that_was_uploaded_for_something_else_is_refused(library: Library, pictures: Path) -> None:
    with library.stack.client(library.tenant) as client:
        photo = client.upload(pictures / "chelsea.png", purpose=upload_pb2.UPLOAD_PURPOSE_PERSON_PHOTO)
    refused(lambda: library.search("", image_upload_id=photo.upload_id), "image_upload_id")
