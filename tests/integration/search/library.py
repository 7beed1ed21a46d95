"""Library: a video that is through the line of stages -> searchable in stores of its own on the real servers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from adapters.catalog.sql import SqlCatalog
from adapters.catalog.temporary import temporary_catalog
from adapters.clock import SystemClock
from adapters.text.opensearch import OpenSearchText
from adapters.vectors.milvus import MilvusVectors
from contracts import flow, ids, plan
from contracts.catalog import Generation, Idempotency, NewRevision, Upload, UploadState
from contracts.delivery import Delivery
from contracts.ports import QueryEncoder, Record
from heimdex.events.v1 import manifest_pb2
from indexer.commit.handler import CommitHandler
from indexer.schema.schema import first_generation
from indexer.search.ranking import load
from indexer.search.searcher import Searcher
from tests.component.processors.line import CONTEXT, TENANT, VIDEO, Line
from tests.milvus import milvus
from tests.stack import Servers


@asynccontextmanager
async def searchable(
    servers: Servers, line: Line, encoder: QueryEncoder, versions: Mapping[str, str]
) -> AsyncIterator[tuple[Searcher, int]]:
    """Yield what searches the line's video, and how many scenes it has.

    Args:
        versions: of the line's models, by noun.
    """
    async with AsyncExitStack() as resources:
        enter = resources.enter_async_context
        catalog = await enter(temporary_catalog())
        text = await enter(OpenSearchText(servers.opensearch))
        text_vectors = await enter(MilvusVectors(servers.milvus_text))
        vision_vectors = await enter(MilvusVectors(servers.milvus_vision))
        mark = secrets.token_hex(4)
        generation = await catalog.ensure_generation(
            replace(
                first_generation(versions["embeddings"], versions["vision"]),
                text_collection=f"test_library_text_{mark}",
                vision_collection=f"test_library_vision_{mark}",
                text_index=f"test-library-{mark}",
            )
        )
        await _uploaded(catalog)
        handler = CommitHandler(
            catalog, line.objects, text_vectors, vision_vectors, text, producer=line.bus, clock=SystemClock()
        )
        assert await handler.run(await _sidecar_built(line)) is False
        await handler.close()
        video = await catalog.get_video(TENANT, VIDEO)
        ranking = load(generation.ranking)
        yield (
            Searcher(catalog, text, text_vectors, vision_vectors, encoder, generation, ranking, SystemClock()),
            video.scene_count,
        )
    await asyncio.to_thread(_drop, servers, generation)


async def _uploaded(catalog: SqlCatalog) -> None:
    """Have the catalogue know the line's video."""
    now_ms = time.time_ns() // 1_000_000
    upload = Upload(
        upload_id=ids.new_id("upl"),
        tenant_id=TENANT,
        purpose="VIDEO",
        state=UploadState.OPEN,
        object_key=ids.source_key(TENANT, VIDEO),
        size_bytes=1,
        content_type="video/mp4",
        sha256="00" * 32,
        file_name="film.mp4",
        create_ms=now_ms,
        expire_ms=now_ms + 3_600_000,
        video_id=VIDEO,
    )
    call = Idempotency(TENANT, "test", "CreateUpload", upload.upload_id, upload.sha256)
    await catalog.create_upload(upload, call, allow_duplicate=True)
    await catalog.begin_completion(TENANT, upload.upload_id)
    await catalog.finish_completion(TENANT, upload.upload_id, etag="", begins=NewRevision(1, CONTEXT.plan_key, {}, ()))


async def _sidecar_built(line: Line) -> Delivery:
    """Return commit's work, as the intake would hand it over."""
    body, _ = await line.objects.get(CONTEXT.plan_key)
    planned = manifest_pb2.Plan.FromString(body)
    spec = plan.spec_of(plan.planned_specs(planned), "commit", 0)
    record = Record("heimdex-sidecar-built-v1", VIDEO, b"", partition=0, offset=0)
    inputs = {"sidecar": await line.manifest("sidecar")}
    return Delivery(flow.STAGES["commit"], record, CONTEXT, planned, spec, 0, inputs, 1)


def _drop(servers: Servers, generation: Generation) -> None:
    """Remove what the test has made."""
    from opensearchpy import OpenSearch

    for uri, name in (
        (servers.milvus_text, generation.text_collection),
        (servers.milvus_vision, generation.vision_collection),
    ):
        with milvus(uri) as client:
            client.drop_collection(name)
    text = OpenSearch(servers.opensearch)
    text.indices.delete(index=generation.text_index)
    text.close()
