"""Library: a tenant and a number of scenes -> that many in every store, written by the ports that commit writes by."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.models import profiles
from adapters.models.settings import ModelSettings
from adapters.models.vision.label_bridge import vectors_file
from contracts import ids
from contracts.catalog import Idempotency, NewRevision, StageRun, StageUpdate, Upload, UploadState
from contracts.flow import STAGES
from contracts.ports import Float32, VectorIndex, VectorRow
from indexer.commit.rows import Rows, rows
from tests.bench import corpus
from tests.bench.stores import Stores

_BATCH_ROWS = 500
_ENCODED_AT_ONCE = 256
_REVISION = 1


@dataclass(frozen=True, slots=True)
class Filled:
    """How long it took to make the vectors (0 when they were kept from an earlier run) and to write everything."""

    row_ids: tuple[str, ...]
    encode_s: float
    write_s: float


async def fill(stores: Stores, tenant_id: str, scenes: int, *, models: Path, kept: Path) -> Filled:
    """Write a library.

    Args:
        models: folder of the small profile's models.
        kept: folder in which the texts' vectors stay for the next run.
    """
    begin = time.perf_counter()
    texts, was_kept = _vectors(scenes, models, kept)
    encoded = time.perf_counter()
    of_labels: Float32 = np.load(models / vectors_file())
    generation = stores.generation
    written: list[Rows] = []
    for film in corpus.films(
        scenes,
        texts,
        of_labels - of_labels.mean(axis=0),
        text_model=generation.text_model,
        vision_model=generation.vision_model,
    ):
        name = f"{film.video_id}.mp4"
        made = rows(film.sidecar, tenant_id=tenant_id, video_id=film.video_id, revision=_REVISION, file_name=name)
        await _catalogue(stores, tenant_id, film.video_id, name, made)
        written.append(made)
    await _write(stores.text_vectors, generation.text_collection, [r for made in written for r in made.text_vectors])
    await _write(
        stores.vision_vectors, generation.vision_collection, [r for made in written for r in made.vision_vectors]
    )
    await stores.text.ensure(generation.text_index)
    for made in written:
        await stores.text.upsert(generation.text_index, made.text)
    await stores.text.refresh(generation.text_index)
    row_ids = tuple(row.row_id for made in written for row in made.text)
    return Filled(row_ids, 0.0 if was_kept else encoded - begin, time.perf_counter() - encoded)


def _vectors(scenes: int, models: Path, kept: Path) -> tuple[Float32, bool]:
    """Return float32 (scenes, dim), real vectors of what is said, and whether an earlier run had made them."""
    encoder = profiles.profile("small").text.make(ModelSettings(models, threads=2))
    texts = [corpus.sentence(number) for number in range(scenes)]
    key = hashlib.sha256("\n".join([encoder.version, *texts]).encode()).hexdigest()[:16]
    path = kept / f"vectors-{key}.npy"
    if path.exists():
        found: Float32 = np.load(path)
        return found, True
    parts = [encoder.encode_passages(texts[at : at + _ENCODED_AT_ONCE]) for at in range(0, scenes, _ENCODED_AT_ONCE)]
    vectors = np.concatenate(parts)
    np.save(path, vectors)
    return vectors, False


async def _write(index: VectorIndex, collection: str, made: Sequence[VectorRow]) -> None:
    await index.ensure(collection, len(made[0].vector))
    for start in range(0, len(made), _BATCH_ROWS):
        await index.upsert(collection, made[start : start + _BATCH_ROWS])
    await index.flush(collection)


async def _catalogue(stores: Stores, tenant_id: str, video_id: str, file_name: str, made: Rows) -> None:
    """Take a video through its states to INDEXED, without facts: nobody else has anything to do with it."""
    catalog, now_ms = stores.catalog, time.time_ns() // 1_000_000
    upload = Upload(
        upload_id=ids.new_id("upl"),
        tenant_id=tenant_id,
        purpose="VIDEO",
        state=UploadState.OPEN,
        object_key=ids.source_key(tenant_id, video_id),
        size_bytes=1,
        content_type="video/mp4",
        sha256=hashlib.sha256(video_id.encode()).hexdigest(),
        file_name=file_name,
        create_ms=now_ms,
        expire_ms=now_ms + 3_600_000,
        video_id=video_id,
    )
    call = Idempotency(tenant_id, "bench", "CreateUpload", upload.upload_id, upload.sha256)
    await catalog.create_upload(upload, call, allow_duplicate=True)
    await catalog.begin_completion(tenant_id, upload.upload_id)
    begins = NewRevision(_REVISION, ids.plan_key(tenant_id, video_id, _REVISION), {}, ())
    await catalog.finish_completion(tenant_id, upload.upload_id, etag="", begins=begins)
    await catalog.commit_revision(
        tenant_id, video_id, _REVISION, scenes=made.scenes, language=made.language, now_ms=now_ms, records=()
    )
    ended = [StageRun(noun, "ENDED", "OK", attempt=1, progress=1.0, end_ms=now_ms) for noun in STAGES]
    await catalog.apply_updates([StageUpdate(tenant_id, video_id, _REVISION, run) for run in ended], now_ms)
