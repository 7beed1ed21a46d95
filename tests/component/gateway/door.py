"""A gateway of its own in the test's process: real gRPC on loopback, SQL on SQLite, object storage in memory.

Stores of search answer what a test puts in; photos are read by the fake face model.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import jwt
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry.trace import NoOpTracer

from adapters.catalog.sql import SqlCatalog
from adapters.catalog.temporary import temporary_catalog
from adapters.clock import SystemClock
from adapters.inference.photo import decode
from adapters.models.faces.fake import FakeFaceModel
from adapters.models.vision.fake import FakeVisionEncoder
from adapters.objects.memory import MemoryObjects
from adapters.text.memory import MemoryText
from contracts import flow, ids, plan
from contracts.catalog import Generation, SceneRow, StageRun, StageUpdate
from contracts.ports import Face, Float32, TextIndex, TextRow, VectorIndex
from gateway.admin_service import AdminService
from gateway.completion import Completion
from gateway.feedback import Feedback
from gateway.interceptors.around import WRITE_TIMEOUT_S
from gateway.pages import PageTokens
from gateway.people_service import PeopleService
from gateway.performed import PerformedSearches
from gateway.pictures import Pictures
from gateway.revisions import Revisions
from gateway.scene_service import SceneService
from gateway.search_service import SearchService
from gateway.searchers import Searchers
from gateway.server import GatewayServer, Service, interceptors
from gateway.suggestions import Suggestions
from gateway.tokens import KeyFile, TokenVerifier
from gateway.upload_service import UploadLimits, UploadService
from gateway.video_service import VideoService
from gateway.watch import ChangePoller
from heimdex.admin.v1.admin_service_pb2_grpc import AdminServiceStub, add_AdminServiceServicer_to_server
from heimdex.people.v1.people_service_pb2_grpc import PeopleServiceStub, add_PeopleServiceServicer_to_server
from heimdex.scene.v1 import scene_pb2
from heimdex.scene.v1.scene_service_pb2_grpc import SceneServiceStub, add_SceneServiceServicer_to_server
from heimdex.search.v1.search_service_pb2_grpc import SearchServiceStub, add_SearchServiceServicer_to_server
from heimdex.upload.v1 import upload_service_pb2 as upload_pb2
from heimdex.upload.v1.upload_service_pb2_grpc import UploadServiceStub, add_UploadServiceServicer_to_server
from heimdex.video.v1.video_service_pb2_grpc import VideoServiceStub, add_VideoServiceServicer_to_server
from indexer.search import ranking
from indexer.search.searcher import Searcher
from tests.unit.search.fakes import FakeEncoder, FakeText, FakeVectors

ISSUER, AUDIENCE = "test-issuer", "test-audience"
PART_SIZE_BYTES = 1000
MAX_VIDEO_BYTES, MAX_IMAGE_BYTES = 10_000, 2000
PAGE_KEY = b"k" * 32
CLOCK = SystemClock()
PIPELINE = plan.pipeline({"asr": "a-1", "embeddings": "e-1", "vision": "v-1", "affect": "f-1", "faces": "g-1"})
GENERATION = Generation(1, "ACTIVE", "c_text", "c_vision", "i-1", "e-1", "v-1", ranking.FIRST)


@dataclass
class Signer:
    """Whoever makes tokens: an Ed25519 pair and its JWKS file."""

    file: Path
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    key_id: str = "k1"

    def write(self) -> None:
        jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key()))
        self.file.write_text(json.dumps({"keys": [jwk | {"kid": self.key_id, "alg": "EdDSA", "use": "sig"}]}))

    def token(self, tenant: str = "team", user: str = "ann", *, ttl_s: float = 600, **claims: Any) -> str:
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "tenant_id": tenant, "exp": time.time() + ttl_s} | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self.key, algorithm="EdDSA", headers={"kid": self.key_id})


class Photos:
    """``contracts.ports.PhotoReader`` and ``ImageEncoder`` in this process: real decoding, fake models; a test may take
    them away.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.read = 0

    async def faces(self, image: bytes) -> Sequence[tuple[Face, int, int]]:
        self.read += 1
        if self.error is not None:
            raise self.error
        pixels = decode(image)
        height_px, width_px = pixels.shape[:2]
        return [(face, width_px, height_px) for face in FakeFaceModel().find(pixels)]

    async def encode_image(self, image: bytes, *, version: str) -> Float32:
        self.read += 1
        if self.error is not None:
            raise self.error
        assert version == GENERATION.vision_model
        (vector,), _ = FakeVisionEncoder().encode_images([decode(image)])
        return np.asarray(vector)


@dataclass
class Stores:
    """What search asks beside SQL; ``words`` hold what is suggested of videos that were indexed."""

    words: MemoryText = field(default_factory=MemoryText)
    text: FakeText = field(default_factory=FakeText)
    dense: FakeVectors = field(default_factory=FakeVectors)
    vision: FakeVectors = field(default_factory=FakeVectors)
    encoder: FakeEncoder = field(default_factory=lambda: FakeEncoder(FakeVisionEncoder().dim))


@dataclass
class Door:
    """A running gateway and what stands behind it."""

    port: int
    server: GatewayServer
    catalog: SqlCatalog
    objects: MemoryObjects
    poller: ChangePoller
    completion: Completion
    signer: Signer
    channel: grpc.aio.Channel
    stores: Stores
    photos: Photos
    clock: SystemClock

    @property
    def scenes(self) -> Any:
        return SceneServiceStub(self.channel)

    @property
    def search(self) -> Any:
        return SearchServiceStub(self.channel)

    @property
    def people(self) -> Any:
        return PeopleServiceStub(self.channel)

    @property
    def admin(self) -> Any:
        return AdminServiceStub(self.channel)

    @property
    def uploads(self) -> Any:
        return UploadServiceStub(self.channel)

    @property
    def videos(self) -> Any:
        return VideoServiceStub(self.channel)

    def auth(self, tenant: str = "team", user: str = "ann", **claims: Any) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.signer.token(tenant, user, **claims)}"),)

    async def create(self, body: bytes, *, tenant: str = "team", **fields: Any) -> upload_pb2.Upload:
        request = create_request(body, **fields)
        upload: upload_pb2.Upload = (await self.uploads.CreateUpload(request, metadata=self.auth(tenant))).upload
        return upload

    async def put(self, request: upload_pb2.SignedRequest, body: bytes) -> int:
        return await self.objects.send(request.url, request.method, request.headers, body)

    async def complete(self, upload_id: str, *, tenant: str = "team") -> upload_pb2.CompleteUploadResponse:
        request = upload_pb2.CompleteUploadRequest(upload_id=upload_id, request_id=str(uuid.uuid4()))
        done: upload_pb2.CompleteUploadResponse = await self.uploads.CompleteUpload(request, metadata=self.auth(tenant))
        return done

    async def upload(self, body: bytes, *, tenant: str = "team", **fields: Any) -> upload_pb2.CompleteUploadResponse:
        opened = await self.create(body, tenant=tenant, **fields)
        if opened.HasField("request"):
            assert await self.put(opened.request, body) == 200
        for part in opened.parts:
            assert await self.put(part.request, body[part.offset_bytes :][: part.size_bytes]) == 200
        return await self.complete(opened.upload_id, tenant=tenant)

    async def run_stage(self, video_id: str, stage: str, outcome: str = "OK", *, tenant: str = "team") -> None:
        """Say what the tracker says when a stage has ended."""
        run = StageRun(stage, "ENDED", outcome, attempt=1, elapsed_ms=5)
        assert await self.catalog.apply_updates([StageUpdate(tenant, video_id, 1, run)], int(time.time() * 1000))

    async def index(self, body: bytes, *said: str, tenant: str = "team", **fields: Any) -> tuple[SceneRow, ...]:
        """Upload a video and make it searchable, a scene of one second for each text that is said."""
        video_id = (await self.upload(body, tenant=tenant, **fields)).video.video_id
        now_ms = int(time.time() * 1000)
        ended = [StageUpdate(tenant, video_id, 1, StageRun(noun, "ENDED", "OK", attempt=1)) for noun in flow.STAGES]
        await self.catalog.apply_updates(ended, now_ms)
        rows = tuple(scene_row(tenant, video_id, index, text) for index, text in enumerate(said))
        await self.commit(rows, now_ms=now_ms)
        await self.stores.words.ensure(GENERATION.text_index)
        await self.stores.words.upsert(GENERATION.text_index, list(map(text_row, rows, said)))
        return rows

    async def validating(self, tenant: str = "team") -> str:
        """Return the id of the tenant's video as soon as it is uploaded."""
        async with asyncio.timeout(30):
            while True:
                listed = await self.catalog.list_videos(tenant, states=(), limit=1, before=None)
                if listed and listed[0].state == "validating":
                    return listed[0].video_id
                await asyncio.sleep(0.01)

    async def commit(self, rows: Sequence[SceneRow], *, now_ms: int = 1) -> None:
        """Make the scenes of one revision of a video the searchable ones."""
        first = rows[0]
        await self.catalog.commit_revision(
            first.tenant_id, first.video_id, first.revision, scenes=rows, language="ko", now_ms=now_ms, records=[]
        )


def scene_row(tenant: str, video_id: str, index: int, text: str, *, revision: int = 1) -> SceneRow:
    """Return a scene as commit writes it: one spoken line, one tag, one keyframe, two looks at 0.5 s and at 0.1 s."""
    start_ms = index * 1000
    scene_id = ids.scene_id(video_id, start_ms, start_ms + 1000)
    scene = scene_pb2.Scene(
        scene_id=scene_id, video_id=video_id, revision=revision, index=index, file_name="film.mp4",
        tags=[scene_pb2.Tag(tag="cat", names=["고양이", "cat"], score=0.5, kind=scene_pb2.TAG_KIND_VISION)],
        keyframe=scene_pb2.Keyframe(object_key=f"t/{tenant}/v/{video_id}/{index}.jpg", width_px=64, height_px=36),
    )  # fmt: skip
    for within_ms in (500, 100):
        scene.view_offsets.add().FromMilliseconds(start_ms + within_ms)
    scene.start_offset.FromMilliseconds(start_ms)
    scene.end_offset.FromMilliseconds(start_ms + 1000)
    if text:
        line = scene.transcript.add(text=text)
        line.start_offset.CopyFrom(scene.start_offset)
        line.end_offset.CopyFrom(scene.end_offset)
    row = SceneRow(scene_id, tenant, video_id, revision, index, start_ms, start_ms + 1000, b"")
    return replace(row, body=scene.SerializeToString(deterministic=True))


def text_row(row: SceneRow, said: str) -> TextRow:
    """Return a scene as commit writes it into the text index."""
    of_row = (row.tenant_id, row.video_id, row.scene_id, row.revision, row.start_ms, row.end_ms)
    return TextRow(ids.row_id(row.scene_id, row.revision), *of_row, said, ("cat",), ("고양이", "cat"))


def create_request(body: bytes, **fields: Any) -> upload_pb2.CreateUploadRequest:
    values: dict[str, Any] = {
        "purpose": upload_pb2.UPLOAD_PURPOSE_VIDEO,
        "size_bytes": len(body),
        "content_type": "video/mp4",
        "sha256": hashlib.sha256(body).hexdigest(),
        "file_name": "film.mp4",
        "request_id": str(uuid.uuid4()),
    }
    return upload_pb2.CreateUploadRequest(**values | fields)


@asynccontextmanager
async def open_door(
    folder: Path,
    *,
    heartbeat_s: float = 15.0,
    services: Sequence[Service] = (),
    objects: MemoryObjects | None = None,
    around: Callable[[TokenVerifier], Any] = lambda verifier: interceptors(verifier, NoOpTracer(), CLOCK),
    write_timeout_s: float = WRITE_TIMEOUT_S,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[Door]:
    """Run a gateway; with credentials its own channel, which is plain, reaches nothing."""
    signer = Signer(folder / "jwks.json")
    signer.write()
    clock, objects, stores, photos = CLOCK, objects or MemoryObjects(), Stores(), Photos()
    verifier = TokenVerifier(KeyFile(signer.file), issuer=ISSUER, audience=AUDIENCE)
    async with temporary_catalog() as catalog:
        await catalog.ensure_generation(GENERATION)
        poller = ChangePoller(catalog, clock, poll_s=0.02)
        revisions = Revisions(catalog, objects, PIPELINE, clock)
        completion = Completion(catalog, objects, revisions)
        limits = UploadLimits(MAX_VIDEO_BYTES, MAX_IMAGE_BYTES, PART_SIZE_BYTES)
        pages = PageTokens(PAGE_KEY)

        def make(generation: Generation) -> Searcher:
            return Searcher(
                catalog, cast("TextIndex", stores.text), cast("VectorIndex", stores.dense),
                cast("VectorIndex", stores.vision), stores.encoder, generation, ranking.load(generation.ranking), clock,
            )  # fmt: skip

        uploads = UploadService(catalog, objects, completion, clock, limits)
        videos = VideoService(catalog, objects, revisions, poller, pages, clock, heartbeat_s=heartbeat_s)
        scenes = SceneService(catalog, objects, pages, clock)
        suggestions = Suggestions(catalog, stores.words, clock)
        performed, feedback = PerformedSearches(catalog, clock, PAGE_KEY), Feedback(catalog, clock)
        search = SearchService(
            Searchers(catalog, make, clock), suggestions, objects, pages, clock, performed=performed, feedback=feedback,
            pictures=Pictures(catalog, objects, photos),
        )  # fmt: skip
        people = PeopleService(catalog, objects, pages, clock, photos=photos, faces=FakeFaceModel())
        table = [
            Service("heimdex.upload.v1.UploadService", add_UploadServiceServicer_to_server, uploads),
            Service("heimdex.video.v1.VideoService", add_VideoServiceServicer_to_server, videos),
            Service("heimdex.scene.v1.SceneService", add_SceneServiceServicer_to_server, scenes),
            Service("heimdex.search.v1.SearchService", add_SearchServiceServicer_to_server, search),
            Service("heimdex.people.v1.PeopleService", add_PeopleServiceServicer_to_server, people),
            Service("heimdex.admin.v1.AdminService", add_AdminServiceServicer_to_server, AdminService(catalog)),
        ]
        server = GatewayServer(services or table, around(verifier), write_timeout_s=write_timeout_s)
        port = server.listen("127.0.0.1:0", credentials)
        await server.start()
        await server.set_serving(serving=True)
        polling = asyncio.gather(poller.run(), performed.run())
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        try:
            yield Door(port, server, catalog, objects, poller, completion, signer, channel, stores, photos, clock)
        finally:
            await channel.close()
            await server.stop(poller.drain, grace_s=0.5)
            await completion.drain()
            await performed.drain()
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)


@dataclass(frozen=True)
class Refusal:
    """A failed call: code, ErrorInfo and the other details by the name of their message."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    details: dict[str, Any]


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # errors of aio calls are calls
    assert status is not None, f"no details: {error!r}"
    kinds: list[type[Message]] = [
        error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.ResourceInfo,
        error_details_pb2.PreconditionFailure, error_details_pb2.QuotaFailure, error_details_pb2.RetryInfo,
    ]  # fmt: skip
    details: dict[str, Any] = {}
    for packed in status.details:
        for kind in kinds:
            if packed.Is(kind.DESCRIPTOR):
                details[kind.DESCRIPTOR.name] = kind.FromString(packed.value)
    assert status.details[0].Is(error_details_pb2.ErrorInfo.DESCRIPTOR), "ErrorInfo comes first"
    info = details.pop("ErrorInfo")
    assert info.domain == "heimdex"
    return Refusal(error.code(), str(error.details()), info.reason, dict(info.metadata), details)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that tells nobody when it becomes so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)


async def refused(call: Any) -> Refusal:
    """Return how a call is refused; a test fails when it is not."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    raise AssertionError("the call was not refused")
