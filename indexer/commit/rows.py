"""Rows: a sidecar and the revision it is committed to -> rows of every store and the records to send. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from contracts import codec, facts, flow, ids
from contracts.catalog import SceneRow
from contracts.endings import stage_event
from contracts.errors import BadArtifact
from contracts.ports import MAX_VIEWS, Float32, Record, TextRow, VectorRow
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2, context_pb2, events_pb2, manifest_pb2
from heimdex.scene.v1 import scene_pb2
from indexer.search.transcripts import joined, told

_COMMIT = flow.STAGES["commit"]
_MAX_NORM_ERROR = 1e-2


@dataclass(frozen=True, slots=True)
class Rows:
    """What one sidecar says, ready to be written; every list in the order of scenes.

    Attributes:
        text_vectors: scenes in which something is said, when the text encoder ran.
        vision_vectors: views of scenes of which there are pictures, when the vision encoder ran; a scene's in order.
        text: every scene.
        scenes: every scene.
        language: BCP-47; empty when nothing was said.
    """

    text_vectors: tuple[VectorRow, ...]
    vision_vectors: tuple[VectorRow, ...]
    text: tuple[TextRow, ...]
    scenes: tuple[SceneRow, ...]
    language: str


def parse(body: bytes) -> artifact_pb2.Sidecar:
    """Return the sidecar. Raises BadArtifact (permanent) when it is none."""
    try:
        return artifact_pb2.Sidecar.FromString(body)
    except DecodeError as error:
        raise BadArtifact("the sidecar's artifact is no sidecar") from error


def rows(sidecar: artifact_pb2.Sidecar, *, tenant_id: str, video_id: str, revision: int, file_name: str) -> Rows:
    """Return the rows of a revision.

    Args:
        revision: the one committed: a sidecar may be shared by several revisions.
        file_name: base name of the uploaded file, NFC; the catalogue alone knows it.

    Raises: BadArtifact (permanent): scenes without id, the same scene twice, vectors that are none, or views without
        their times.
    """
    scenes, text, text_vectors, vision_vectors = [], [], [], []
    for record in sidecar.scenes:
        scene = scene_pb2.Scene()
        scene.CopyFrom(record.scene)
        scene.video_id, scene.revision, scene.file_name = video_id, revision, file_name
        row = _scene_row(scene, tenant_id)
        scenes.append(row)
        text.append(text_row(scene, row))
        text_vectors += _vector_rows(row, [record.text_vector])
        if not len(scene.view_offsets) == len(record.vision_vectors) <= MAX_VIEWS:
            raise BadArtifact(
                f"a scene of {video_id} has {len(record.vision_vectors)} views, {len(scene.view_offsets)} with a time"
            )
        # Sidecars outlive versions: an older one has the mean of all frames instead.
        vision_vectors += _vector_rows(row, record.vision_vectors or [record.vision_vector])
    _check(scenes, text_vectors, vision_vectors)
    return Rows(tuple(text_vectors), tuple(vision_vectors), tuple(text), tuple(scenes), sidecar.language)


def records(
    context: context_pb2.EventContext,
    spec: str,
    scenes: Sequence[SceneRow],
    *,
    known_scene_ids: Iterable[str],
    language: str,
    start_ms: int,
    now_ms: int,
    attempt: int,
) -> tuple[Record, ...]:
    """Return what leaves with a commit, in this order: scene facts, tombstones of scenes that are gone, VIDEO_INDEXED.

    Args:
        known_scene_ids: every scene id ever recorded for the video.
        start_ms: when this try began, Unix milliseconds.
    """
    gone = sorted(set(known_scene_ids) - {scene.scene_id for scene in scenes})
    manifest = manifest_pb2.Manifest(
        stage=_COMMIT.number,
        spec=spec,
        outcome=common_pb2.OUTCOME_OK,
        end_time=facts.timestamp(now_ms),
        elapsed_ms=max(0, now_ms - start_ms),
        attempts=attempt,
        counts={"scenes": len(scenes)},
        labels={"language": language} if language else {},
    )
    return (
        *(facts.scene_fact(scene, now_ms=now_ms) for scene in scenes),
        *(facts.scene_tombstone(context.tenant_id, scene_id, revision=context.revision) for scene_id in gone),
        video_indexed(context, manifest, scene_count=len(scenes)),
    )


def video_indexed(context: context_pb2.EventContext, ending: manifest_pb2.Manifest, *, scene_count: int) -> Record:
    """Return the fact that commit ended, well or not; ``ending`` says how and lies nowhere."""
    event = stage_event(context, ending, "", "")
    if not isinstance(event, events_pb2.VideoIndexed):
        raise TypeError("the ending is not commit's")
    event.scene_count = scene_count
    return codec.encode_stage_event(event)


def text_row(scene: scene_pb2.Scene, row: SceneRow) -> TextRow:
    """Return the text row of a scene; ``scene`` is the row's body, without people."""
    return TextRow(
        row_id=ids.row_id(row.scene_id, row.revision),
        tenant_id=row.tenant_id,
        video_id=row.video_id,
        scene_id=row.scene_id,
        revision=row.revision,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        transcript=unicodedata.normalize("NFC", joined(told(row.body).lines)),
        tags=tuple(dict.fromkeys(tag.tag for tag in scene.tags)),
        tag_names=tuple(dict.fromkeys(name for tag in scene.tags for name in tag.names)),
    )


def _scene_row(scene: scene_pb2.Scene, tenant_id: str) -> SceneRow:
    start_ms, end_ms = _ms(scene.start_offset), _ms(scene.end_offset)
    return SceneRow(
        scene_id=scene.scene_id,
        tenant_id=tenant_id,
        video_id=scene.video_id,
        revision=scene.revision,
        index=scene.index,
        start_ms=start_ms,
        end_ms=end_ms,
        body=scene.SerializeToString(deterministic=True),
    )


def _vector_rows(row: SceneRow, packed: Iterable[bytes]) -> list[VectorRow]:
    """Return a row a view; none for one by which there is nothing to find: no vector, or one without direction."""
    vectors = enumerate(_vector(row, body) for body in packed)
    return [
        VectorRow(
            row_id=ids.row_id(row.scene_id, row.revision),
            tenant_id=row.tenant_id,
            video_id=row.video_id,
            scene_id=row.scene_id,
            revision=row.revision,
            start_ms=row.start_ms,
            end_ms=row.end_ms,
            vector=vector,
            view=view,
        )
        for view, vector in vectors
        if vector.any()
    ]


def _vector(row: SceneRow, packed: bytes) -> Float32:
    """Return a vector of length 1 or 0."""
    if len(packed) % 4:
        raise BadArtifact(f"a vector of {row.video_id} is not float32")
    vector: Float32 = np.frombuffer(packed, "<f4").astype(np.float32)
    length = float(np.linalg.norm(vector))
    if length != 0 and not abs(length - 1.0) < _MAX_NORM_ERROR:  # also for what is no number
        raise BadArtifact(f"a vector of {row.video_id} is not L2-normalised")
    return vector


def _check(scenes: Sequence[SceneRow], *spaces: Sequence[VectorRow]) -> None:
    scene_ids = [scene.scene_id for scene in scenes]
    if not all(scene_ids) or len(set(scene_ids)) < len(scene_ids):
        raise BadArtifact("the sidecar has a scene without id, or one twice")
    for vectors in spaces:
        if len({row.vector.shape for row in vectors}) > 1:
            raise BadArtifact("vectors of one sidecar differ in length")


def _ms(duration: Duration) -> int:
    return duration.seconds * 1000 + duration.nanos // 1_000_000
