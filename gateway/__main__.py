"""The gateway process: settings -> every service on a gRPC port. ``python -m gateway``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path

import grpc
import structlog
import uvloop
from pydantic import Field, SecretStr, model_validator

from adapters import logs, ops, tracing
from adapters.catalog.sql import SqlCatalog
from adapters.clock import SystemClock
from adapters.inference import client as inference
from adapters.inference import photo
from adapters.models import profiles
from adapters.objects.s3 import S3Connection
from adapters.settings import CatalogSettings, ObjectSettings, PipelineSettings, StoreSettings
from adapters.text.batched import BatchedText
from adapters.text.opensearch import OpenSearchText
from adapters.vectors.batched import BatchedVectors
from adapters.vectors.milvus import MilvusVectors
from contracts.catalog import Catalog, Generation
from contracts.errors import DependencyUnavailable, HeimdexError
from gateway.admin_service import AdminService
from gateway.completion import Completion
from gateway.feedback import Feedback
from gateway.interceptors.admission import MAX_SEARCHES
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
from gateway.upload_service import MAX_IMAGE_BYTES, PART_SIZE_BYTES, UPLOAD_LIFE_S, UploadLimits, UploadService
from gateway.video_service import VideoService
from gateway.watch import ChangePoller
from heimdex.admin.v1 import admin_service_pb2
from heimdex.admin.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server
from heimdex.people.v1 import people_service_pb2
from heimdex.people.v1.people_service_pb2_grpc import add_PeopleServiceServicer_to_server
from heimdex.scene.v1 import scene_service_pb2
from heimdex.scene.v1.scene_service_pb2_grpc import add_SceneServiceServicer_to_server
from heimdex.search.v1 import search_service_pb2
from heimdex.search.v1.search_service_pb2_grpc import add_SearchServiceServicer_to_server
from heimdex.upload.v1 import upload_service_pb2
from heimdex.upload.v1.upload_service_pb2_grpc import add_UploadServiceServicer_to_server
from heimdex.video.v1 import video_service_pb2
from heimdex.video.v1.video_service_pb2_grpc import add_VideoServiceServicer_to_server
from indexer.schema.schema import first_generation
from indexer.search import ranking
from indexer.search.searcher import Searcher

_CHECK_S = 2.0
_READY_S = 5.0  # a catalogue that takes longer to say its version stands still
_COLLECT_AFTER = 100_000  # objects made and not gone; 700 by default
_MIN_PART_BYTES = 5 * 1024 * 1024  # S3 joins no smaller parts but the last

_log = structlog.get_logger()


class Settings(ObjectSettings, StoreSettings, CatalogSettings, PipelineSettings):
    """What the process reads from its environment, all with the prefix HEIMDEX_."""

    gateway_listen: str = Field(description="host:port to listen on")
    gateway_tls_certificate: Path | None = Field(default=None, description="PEM chain; plain text without both")
    gateway_tls_key: Path | None = Field(default=None, description="PEM key of the certificate")
    inference: str = Field(description="host:port of the inference process")
    jwks_file: Path = Field(description="public keys that tokens are verified with")
    token_issuer: str = Field(description="what tokens must name as their issuer")
    token_audience: str = Field(description="what tokens must name as their audience")
    page_token_key: SecretStr = Field(description="signs page tokens, keys hashes of queries; at least 32 bytes, hex")
    part_size_bytes: int = Field(default=PART_SIZE_BYTES, ge=_MIN_PART_BYTES, description="larger files go in parts")
    max_image_bytes: int = Field(
        default=MAX_IMAGE_BYTES,
        gt=0,
        le=photo.MAX_BYTES,
        description="largest photo or query image, up to 10 MiB",
    )
    max_searches: int = Field(
        default=MAX_SEARCHES, ge=2, description="searches at once, half of them one tenant's; the rest comes back later"
    )
    upload_life_s: int = Field(default=UPLOAD_LIFE_S, gt=0, description="how long an upload waits to be completed")

    @model_validator(mode="after")
    def _whole_tls(self) -> Settings:
        """Refuse half of what TLS needs: it would be plain text."""
        if (self.gateway_tls_certificate is None) != (self.gateway_tls_key is None):
            raise ValueError("HEIMDEX_GATEWAY_TLS_CERTIFICATE and HEIMDEX_GATEWAY_TLS_KEY go together: one is missing")
        return self

    def credentials(self) -> grpc.ServerCredentials | None:
        """Return what to encrypt with; None for plain text."""
        if self.gateway_tls_certificate is None or self.gateway_tls_key is None:
            return None
        pair = (self.gateway_tls_key.read_bytes(), self.gateway_tls_certificate.read_bytes())
        return grpc.ssl_server_credentials([pair])


class Process:
    """What the services of one process share. Nothing is waited for: every part connects when it is needed."""

    def __init__(self, settings: Settings, resources: AsyncExitStack) -> None:
        self._settings = settings
        self._resources = resources
        self.clock = SystemClock()
        self.catalog = SqlCatalog(settings.catalog)
        self.connection = S3Connection(settings.s3())
        self.objects = self.connection.bucket(settings.s3_bucket)
        self.pipeline = settings.pipeline()
        secret = bytes.fromhex(settings.page_token_key.get_secret_value())
        self.pages = PageTokens(secret)
        self.performed = PerformedSearches(self.catalog, self.clock, secret)
        self.poller = ChangePoller(self.catalog, self.clock)
        self.revisions = Revisions(self.catalog, self.objects, self.pipeline, self.clock)
        self.completion = Completion(self.catalog, self.objects, self.revisions)
        self.inference = inference.channel(settings.inference)
        resources.callback(self.connection.close)
        resources.push_async_callback(self.catalog.close)
        resources.push_async_callback(self.inference.close)

    async def services(self) -> Sequence[Service]:
        """Return every service: the one table of them."""
        return (
            self._uploads(), self._videos(), self._scenes(), await self._search(), self._people(), self._admin(),
        )  # fmt: skip

    def _uploads(self) -> Service:
        settings = self._settings
        limits = UploadLimits(
            max_video_bytes=settings.max_bytes,
            max_image_bytes=settings.max_image_bytes,
            part_size_bytes=settings.part_size_bytes,
            life_s=settings.upload_life_s,
        )
        servicer = UploadService(self.catalog, self.objects, self.completion, self.clock, limits)
        name = upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"].full_name
        return Service(name, add_UploadServiceServicer_to_server, servicer)

    def _videos(self) -> Service:
        servicer = VideoService(self.catalog, self.objects, self.revisions, self.poller, self.pages, self.clock)
        name = video_service_pb2.DESCRIPTOR.services_by_name["VideoService"].full_name
        return Service(name, add_VideoServiceServicer_to_server, servicer)

    def _scenes(self) -> Service:
        servicer = SceneService(self.catalog, self.objects, self.pages, self.clock)
        name = scene_service_pb2.DESCRIPTOR.services_by_name["SceneService"].full_name
        return Service(name, add_SceneServiceServicer_to_server, servicer)

    async def _search(self) -> Service:
        enter = self._resources.enter_async_context
        text = BatchedText(await enter(OpenSearchText(self._settings.opensearch)))
        text_vectors = BatchedVectors(await enter(MilvusVectors(self._settings.milvus_text)))
        vision_vectors = text_vectors
        if self._settings.milvus_vision != self._settings.milvus_text:
            vision_vectors = BatchedVectors(await enter(MilvusVectors(self._settings.milvus_vision)))

        @cache  # a promotion that changes words alone keeps the vectors of queries that are known
        def encoder(text_model: str, vision_model: str) -> inference.GrpcQueryEncoder:
            made = inference.GrpcQueryEncoder(self.inference, text_version=text_model, vision_version=vision_model)
            self._resources.push_async_callback(made.close)
            return made

        def make(generation: Generation) -> Searcher:
            try:
                ranked_by = ranking.load(generation.ranking)
            except ValueError as error:
                raise DependencyUnavailable("ranking", f"generation {generation.generation}: {error}") from error
            encodes = encoder(generation.text_model, generation.vision_model)
            return Searcher(
                self.catalog, text, text_vectors, vision_vectors, encodes, generation, ranked_by, self.clock
            )

        searchers = Searchers(self.catalog, make, self.clock)
        suggestions = Suggestions(self.catalog, text, self.clock)
        feedback = Feedback(self.catalog, self.clock)
        servicer = SearchService(
            searchers,
            suggestions,
            self.objects,
            self.pages,
            self.clock,
            performed=self.performed,
            feedback=feedback,
            pictures=Pictures(self.catalog, self.objects, inference.GrpcImageEncoder(self.inference)),
        )
        name = search_service_pb2.DESCRIPTOR.services_by_name["SearchService"].full_name
        return Service(name, add_SearchServiceServicer_to_server, servicer)

    def _people(self) -> Service:
        faces = profiles.face_model(self._settings.profile, self._settings.models())
        photos = inference.GrpcPhotoReader(self.inference, faces_version=faces.version)
        servicer = PeopleService(self.catalog, self.objects, self.pages, self.clock, photos=photos, faces=faces)
        name = people_service_pb2.DESCRIPTOR.services_by_name["PeopleService"].full_name
        return Service(name, add_PeopleServiceServicer_to_server, servicer)

    def _admin(self) -> Service:
        name = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
        return Service(name, add_AdminServiceServicer_to_server, AdminService(self.catalog))


async def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; NOT_SERVING while the catalogue is away. No store is waited for."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    keys = KeyFile(settings.jwks_file)
    verifier = TokenVerifier(keys, issuer=settings.token_issuer, audience=settings.token_audience)
    async with AsyncExitStack() as resources:
        process = Process(settings, resources)
        tracer = resources.enter_context(tracing.calls("heimdex-gateway"))
        around = interceptors(verifier, tracer, process.clock, max_searches=settings.max_searches)
        server = GatewayServer(await process.services(), around)
        server.listen(settings.gateway_listen, settings.credentials())
        await server.start()
        spare_the_collector()
        _log.info("listening", address=settings.gateway_listen, profile=settings.profile)
        async with (
            _background(process.poller.run()) as polls,
            _background(process.performed.run()),
            _background(_follow(server, process, settings)),
        ):
            pages = await _pages(settings, live=polls, ready=lambda: server.serving)
            await stop.wait()
            await server.stop(process.poller.drain)
            await process.completion.drain()
            await process.performed.drain()
            if pages is not None:
                pages.close()
    _log.info("stopped")


def spare_the_collector() -> None:
    """Leave what is loaded out of garbage collection, and collect rarely.

    An answer makes thousands of small objects and no cycles. Source: a search of 100 callers cost this
    process a third less processor time with this than with Python's defaults, in one run.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 50, 1000)


async def _follow(server: GatewayServer, process: Process, settings: Settings) -> None:
    """Serve while the catalogue is there; the first time, see that there is a generation to plan for."""
    prepared = False
    while True:
        try:
            await _ready(process.catalog)
            if not prepared:
                await _prepare(process.catalog, settings)
                prepared = True
            await server.set_serving(serving=True)
        except HeimdexError as error:
            _log.warning("not ready", reason=error.reason, error=error.message)
            await server.set_serving(serving=False)
        await asyncio.sleep(_CHECK_S)


async def _ready(catalog: SqlCatalog) -> None:
    try:
        async with asyncio.timeout(_READY_S):
            await catalog.ready()
    except TimeoutError:
        raise DependencyUnavailable(
            "catalog", f"the catalogue did not answer within {_READY_S:g} s", reason="DEADLINE_EXCEEDED"
        ) from None


async def _prepare(catalog: Catalog, settings: Settings) -> None:
    versions = profiles.versions(settings.profile, settings.models())
    active = await catalog.ensure_generation(first_generation(versions["embeddings"], versions["vision"]))
    _log.info("generation", generation=active.generation, text=active.text_model, vision=active.vision_model)


@asynccontextmanager
async def _background(work: Coroutine[None, None, None]) -> AsyncIterator[Callable[[], bool]]:
    """Run ``work`` beside the block; yields whether it still runs."""
    task = asyncio.ensure_future(work)
    try:
        yield lambda: not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _pages(settings: Settings, *, live: Callable[[], bool], ready: Callable[[], bool]) -> asyncio.Server | None:
    if settings.ops_port is None:
        return None
    return await ops.serve(settings.ops_port, live=live, ready=ready)


if __name__ == "__main__":
    logs.configure()
    uvloop.run(main(Settings()))  # type: ignore[call-arg]  # the environment gives them
