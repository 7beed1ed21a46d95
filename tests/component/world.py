"""World: one deployment on memory parts and a real temporary catalogue, with videos at any point of their way."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from adapters.catalog.sql import SqlCatalog
from adapters.catalog.temporary import temporary_catalog
from adapters.objects.memory import MemoryObjects
from adapters.text.memory import MemoryText
from adapters.vectors.memory import MemoryVectors
from contracts import facts, flow, ids, plan
from contracts.catalog import Build, Generation, Idempotency, NewRevision, StageRun, StageUpdate, Upload, UploadState
from contracts.delivery import Delivery
from contracts.errors import DependencyUnavailable
from contracts.ports import Record, TextRow, VectorRow
from contracts.work import ARTIFACT
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2, context_pb2, manifest_pb2
from heimdex.scene.v1 import scene_pb2
from indexer.schema.schema import first_generation

TENANT = "acme"
TEXT_MODEL, VISION_MODEL, FACES_MODEL = "text.1", "vision.1", "fake-frames.1"
MODELS = {"asr": "asr.1", "embeddings": TEXT_MODEL, "vision": VISION_MODEL, "affect": "affect.1", "faces": FACES_MODEL}
FIRST = first_generation(TEXT_MODEL, VISION_MODEL)
START_MS = 1_700_000_000_000


class VirtualClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = START_MS / 1000
        self.slept_s: list[float] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


@dataclass
class Bus:
    """Records that were sent; ``fail`` makes the next ones fail."""

    sent: list[Record] = field(default_factory=list)
    fail: int = 0

    async def send(self, record: Record) -> None:
        if self.fail:
            self.fail -= 1
            raise DependencyUnavailable("kafka", "away")
        self.sent.append(record)


@dataclass(frozen=True)
class Ingest:
    """A video whose revision is planned."""

    video_id: str
    upload_id: str
    plan: manifest_pb2.Plan
    context: context_pb2.EventContext

    def spec(self, noun: str, index: int = 0) -> str:
        return plan.spec_of(plan.planned_specs(self.plan), noun, index)

    def manifest_key(self, noun: str, index: int = 0) -> str:
        return ids.manifest_key(TENANT, self.video_id, noun, self.spec(noun, index))


class World:
    """Every store of a deployment, and what the stages would have left in them."""

    def __init__(self, catalog: SqlCatalog, clock: VirtualClock) -> None:
        self.catalog, self.clock = catalog, clock
        self.objects, self.leases = MemoryObjects(), MemoryObjects()
        self.text_vectors, self.vision_vectors, self.text = MemoryVectors(), MemoryVectors(), MemoryText()
        self.bus = Bus()
        self.generations: list[Generation] = []
        self._made = 0

    async def build(self, generation: Generation) -> None:
        """Begin another generation beside the serving one."""
        from adapters.catalog.rows import generation_row

        async def work(session: object) -> None:
            session.add(generation_row(Build(generation)))  # type: ignore[attr-defined]

        await self.catalog._write(work)
        await self.text.ensure(generation.text_index, generation.vocabulary)
        self.generations.append(generation)

    def call(self, method: str) -> Idempotency:
        self._made += 1
        return Idempotency(TENANT, "user", method, f"request-{self._made}", "body")

    async def upload(self, name: str = "one") -> Upload:
        """Return the open upload of a video."""
        video_id = ids.digest_id("vid", name)
        upload = Upload(
            ids.digest_id("upl", name), TENANT, "VIDEO", UploadState.OPEN, ids.source_key(TENANT, video_id), 7,
            "video/mp4", hashlib.sha256(name.encode()).hexdigest(), f"{name}.mp4", create_ms=self.clock.now_ms(),
            expire_ms=self.clock.now_ms() + 900_000, video_id=video_id,
        )  # fmt: skip
        return await self.catalog.create_upload(upload, self.call("CreateUpload"), allow_duplicate=True)

    async def ingest(self, name: str = "one", *, faces: bool = True) -> Ingest:
        """Return a video that is being validated: uploaded, planned, its first fact in the outbox."""
        upload = await self.upload(name)
        stored = await self.objects.put(upload.object_key, b"content")
        made = self.planned(upload, 1, stored.etag, faces=faces)
        await self.objects.put(made.context.plan_key, made.plan.SerializeToString(deterministic=True))
        await self.catalog.begin_completion(TENANT, upload.upload_id)
        await self.catalog.finish_completion(
            TENANT,
            upload.upload_id,
            etag=stored.etag,
            begins=NewRevision(
                1,
                made.context.plan_key,
                {noun: ",".join(each) for noun, each in plan.planned_specs(made.plan).items()},
                [facts.video_uploaded(made.context, made.plan.create_time)],
            ),
        )
        return made

    async def next_revision(self, ingest: Ingest) -> Ingest:
        """Return a further revision of a video, as ReprocessVideo would plan it."""
        upload = await self.catalog.get_upload(TENANT, ingest.upload_id)
        made = self.planned(upload, ingest.plan.revision + 1, ingest.plan.source.etag, faces=True)
        await self.objects.put(made.context.plan_key, made.plan.SerializeToString(deterministic=True))
        return made

    def planned(self, upload: Upload, revision: int, etag: str, *, faces: bool) -> Ingest:
        planned = plan.build_plan(
            plan.pipeline(MODELS),
            tenant_id=TENANT,
            video_id=upload.video_id,
            revision=revision,
            source=manifest_pb2.Source(
                key=upload.object_key, etag=etag, size_bytes=upload.size_bytes, sha256=upload.sha256
            ),
            faces_enabled=faces,
            generations=[
                plan.TargetGeneration(g.generation, {"embeddings": g.text_model, "vision": g.vision_model})
                for g in self.generations
            ],
            create_time=facts.timestamp(self.clock.now_ms()),
        )
        context = context_pb2.EventContext(
            tenant_id=TENANT,
            video_id=upload.video_id,
            revision=revision,
            plan_key=ids.plan_key(TENANT, upload.video_id, revision),
            root_traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        return Ingest(upload.video_id, upload.upload_id, planned, context)

    async def end(
        self,
        ingest: Ingest,
        noun: str,
        artifact: Message | None = None,
        *,
        outcome: common_pb2.Outcome.ValueType = common_pb2.OUTCOME_OK,
        index: int = 0,
        attempt: str = "try-1",
    ) -> manifest_pb2.Manifest:
        """Leave what a stage leaves: blobs, then the manifest."""
        spec = ingest.spec(noun, index)
        manifest = manifest_pb2.Manifest(
            tenant_id=TENANT,
            video_id=ingest.video_id,
            stage=flow.STAGES[noun].number,
            spec=spec,
            outcome=outcome,
            end_time=facts.timestamp(self.clock.now_ms()),
            elapsed_ms=1200,
            attempts=1,
        )
        if artifact is not None:
            body = artifact.SerializeToString(deterministic=True)
            key = ids.blob_key(TENANT, ingest.video_id, noun, spec, attempt, ARTIFACT)
            await self.objects.put(key, body)
            digest = hashlib.sha256(body).hexdigest()
            manifest.blobs.add(name=ARTIFACT, key=key, size_bytes=len(body), sha256=digest)
        await self.objects.put(ingest.manifest_key(noun, index), manifest.SerializeToString(), if_none_match=True)
        return manifest

    async def tell(self, ingest: Ingest, *nouns: str, outcome: str = "OK") -> None:
        """Have the tracker know of endings."""
        updates = [
            StageUpdate(
                TENANT,
                ingest.video_id,
                ingest.plan.revision,
                StageRun(noun, "ENDED", outcome, attempt=1, end_ms=self.clock.now_ms(), manifest_key="m"),
            )
            for noun in nouns
        ]
        await self.catalog.apply_updates(updates, self.clock.now_ms())

    async def delivery(self, ingest: Ingest, noun: str, *, index: int = 0, attempt: int = 1) -> Delivery:
        """Return a stage's work on a video, with the manifests that are there."""
        inputs = {}
        for stage in flow.ancestors(noun):
            if await self.objects.head(ingest.manifest_key(stage.noun, index)) is not None:
                body, _ = await self.objects.get(ingest.manifest_key(stage.noun, index))
                inputs[stage.noun] = manifest_pb2.Manifest.FromString(body)
        record = Record("heimdex-sidecar-built-v1", ingest.video_id, b"", partition=0, offset=3)
        spec = ingest.spec(noun, index)
        return Delivery(flow.STAGES[noun], record, ingest.context, ingest.plan, spec, index, inputs, attempt)

    async def outbox(self) -> list[Record]:
        """Return what is to be sent, in order, and mark it sent."""
        rows = await self.catalog.pending(limit=1000)
        await self.catalog.mark_sent([row.row for row in rows], self.clock.now_ms())
        return [row.record for row in rows]

    async def request_deletion(self, ingest: Ingest) -> Record:
        """Ask to delete a video; return the fact."""
        asked = facts.deletion_requested(TENANT, ingest.video_id, self.clock.now_ms())
        await self.catalog.request_deletion(TENANT, ingest.video_id, self.call("DeleteVideo"), [asked])
        return asked


def vector_rows(index: MemoryVectors) -> dict[str, dict[str, VectorRow]]:
    """Return the rows of each collection, by row id."""
    return {name: collection.rows for name, collection in index._collections.items()}


def text_rows(index: MemoryText) -> dict[str, dict[str, TextRow]]:
    """Return the rows of each index, by row id."""
    return index._indices


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Yield a deployment with its first generation."""
    clock = VirtualClock()
    async with temporary_catalog(clock=clock.now_ms) as catalog:
        made = World(catalog, clock)
        made.generations.append(await catalog.ensure_generation(FIRST))
        yield made


def unit(*values: float) -> bytes:
    """Return the bytes of a vector of length one in the direction of ``values``."""
    vector = np.asarray(values, "<f4")
    return bytes((vector / np.linalg.norm(vector)).astype("<f4").tobytes())


def sidecar(
    video_id: str,
    cuts_ms: Sequence[int],
    *,
    said: Mapping[int, str] | None = None,
    models: tuple[str, str] = ("", ""),
    views: Mapping[int, Sequence[tuple[int, bytes]]] | None = None,
) -> artifact_pb2.Sidecar:
    """Return everything known of the scenes between ``cuts_ms``: ``said`` by scene, and a picture of each.

    Args:
        views: by scene, when it looks otherwise too, and how.
    """
    said = {} if said is None else said
    text_model, vision_model = models
    made = artifact_pb2.Sidecar(
        text_model_version=text_model or TEXT_MODEL, vision_model_version=vision_model or VISION_MODEL, language="ko"
    )
    for index, (start_ms, end_ms) in enumerate(itertools.pairwise(cuts_ms)):
        scene = scene_pb2.Scene(
            scene_id=ids.scene_id(video_id, start_ms, end_ms),
            index=index,
            start_offset=_duration(start_ms),
            end_offset=_duration(end_ms),
            tags=[scene_pb2.Tag(tag="cat", names=["고양이", "cat"], score=0.9, kind=scene_pb2.TAG_KIND_VISION)],
        )
        if index in said:
            scene.transcript.add(
                start_offset=_duration(start_ms), end_offset=_duration(end_ms), text=said[index], confidence=0.9
            )
        text_vector = unit(1, index, 0, 0) if index in said else b""
        seen = [(start_ms, unit(index, 1, 0)), *(views or {}).get(index, ())]
        scene.view_offsets.extend(_duration(at_ms) for at_ms, _ in seen)
        made.scenes.add(scene=scene, text_vector=text_vector, vision_vectors=[vector for _, vector in seen])
    return made


def _duration(ms: int) -> Duration:
    return Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)
