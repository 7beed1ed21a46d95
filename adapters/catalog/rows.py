"""Rows: rows of the tables <-> the values of ``contracts.catalog``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from adapters.catalog.models import (
    GenerationRow,
    OutboxTableRow,
    PersonRow,
    PhotoRow,
    SceneTableRow,
    StageRunRow,
    UploadRow,
    VideoRow,
)
from contracts.catalog import (
    Build,
    Generation,
    OutboxRow,
    Person,
    Photo,
    ScenePerson,
    SceneRow,
    StageRun,
    Upload,
    UploadState,
    Video,
    VideoState,
)
from contracts.flow import STAGES
from contracts.ports import Record
from contracts.vocabulary import Vocabulary

_FLOW = {noun: position for position, noun in enumerate(STAGES)}


def upload_of(row: UploadRow) -> Upload:
    """Return an upload."""
    return Upload(
        upload_id=row.upload_id,
        tenant_id=row.tenant_id,
        purpose=row.purpose,
        state=UploadState(row.state),
        object_key=row.object_key,
        size_bytes=row.size_bytes,
        content_type=row.content_type,
        sha256=row.sha256,
        file_name=row.file_name,
        create_ms=row.create_ms,
        expire_ms=row.expire_ms,
        video_id=row.video_id,
        multipart_id=row.multipart_id,
        part_size_bytes=row.part_size_bytes,
        part_sha256=tuple(row.part_sha256),
    )


def upload_row(upload: Upload) -> UploadRow:
    """Return the row of a new upload."""
    return UploadRow(
        upload_id=upload.upload_id,
        tenant_id=upload.tenant_id,
        purpose=upload.purpose,
        state=upload.state,
        object_key=upload.object_key,
        size_bytes=upload.size_bytes,
        content_type=upload.content_type,
        sha256=upload.sha256,
        file_name=upload.file_name,
        create_ms=upload.create_ms,
        update_ms=upload.create_ms,
        expire_ms=upload.expire_ms,
        video_id=upload.video_id,
        multipart_id=upload.multipart_id,
        part_size_bytes=upload.part_size_bytes,
        part_sha256=list(upload.part_sha256),
    )


def stage_run_of(row: StageRunRow) -> StageRun:
    """Return a stage run."""
    return StageRun(
        stage=row.stage,
        state=row.state,
        outcome=row.outcome,
        attempt=row.attempt,
        progress=row.progress,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        elapsed_ms=row.elapsed_ms,
        reason=row.reason,
        message=row.message,
        manifest_key=row.manifest_key,
        metadata=tuple(sorted(row.error_metadata.items())),
    )


def put_stage_run(row: StageRunRow, run: StageRun) -> None:
    """Write a stage run into its row."""
    row.state, row.outcome, row.attempt, row.progress = run.state, run.outcome, run.attempt, run.progress
    row.start_ms, row.end_ms, row.elapsed_ms = run.start_ms, run.end_ms, run.elapsed_ms
    row.reason, row.message, row.manifest_key = run.reason, run.message, run.manifest_key
    row.error_metadata = dict(run.metadata)


def video_of(row: VideoRow, runs: Iterable[StageRunRow], plan_key: str) -> Video:
    """Return a video with the stage runs of its current revision in the order of the flow."""
    return Video(
        video_id=row.video_id,
        tenant_id=row.tenant_id,
        state=VideoState(row.state),
        file_name=row.file_name,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        create_ms=row.create_ms,
        update_ms=row.update_ms,
        revision=row.revision,
        searchable_revision=row.searchable_revision,
        scene_count=row.scene_count,
        content_type=row.content_type,
        browser_playable=row.browser_playable,
        duration_ms=row.duration_ms,
        width_px=row.width_px,
        height_px=row.height_px,
        language=row.language,
        index_ms=row.index_ms,
        error_reason=row.error_reason,
        error_message=row.error_message,
        source_key=row.source_key,
        source_etag=row.source_etag,
        plan_key=plan_key,
        stages=tuple(stage_run_of(run) for run in sorted(runs, key=lambda run: _FLOW[run.stage])),
    )


SCENE_COLUMNS: tuple[Any, ...] = (
    SceneTableRow.scene_id,
    SceneTableRow.tenant_id,
    SceneTableRow.video_id,
    SceneTableRow.revision,
    SceneTableRow.position,
    SceneTableRow.start_ms,
    SceneTableRow.end_ms,
    SceneTableRow.body,
)
"""What ``scene_of`` reads, in the order of ``SceneRow``: a search makes thirty of them."""


def scene_of(row: Row[Any], people: Mapping[tuple[str, int], Sequence[ScenePerson]]) -> SceneRow:
    """Return a scene with the people in it, best first; ``people`` by scene id and revision."""
    scene = SceneRow(*tuple(row))
    there = people.get((scene.scene_id, scene.revision))
    if not there:
        return scene
    return replace(scene, people=tuple(sorted(there, key=lambda person: (-person.confidence, person.person_id))))


def scene_row(scene: SceneRow) -> SceneTableRow:
    """Return the row of a scene."""
    return SceneTableRow(
        scene_id=scene.scene_id,
        revision=scene.revision,
        tenant_id=scene.tenant_id,
        video_id=scene.video_id,
        position=scene.index,
        start_ms=scene.start_ms,
        end_ms=scene.end_ms,
        body=scene.body,
    )


def person_of(row: PersonRow, photos: Iterable[PhotoRow], scene_count: int) -> Person:
    """Return a person with the photos in the order of enrolment."""
    return Person(
        person_id=row.person_id,
        tenant_id=row.tenant_id,
        display_name=row.display_name,
        aliases=tuple(row.aliases),
        photos=tuple(
            Photo(p.upload_id, p.file_name, p.verdict, p.object_key, p.vector)
            for p in sorted(photos, key=lambda photo: photo.position)
        ),
        create_ms=row.create_ms,
        model_version=row.model_version,
        scene_count=scene_count,
        matched=row.matched,
    )


def generation_of(row: GenerationRow) -> Generation:
    """Return a generation."""
    return Generation(
        generation=row.generation,
        state=row.state,
        text_collection=row.text_collection,
        vision_collection=row.vision_collection,
        text_index=row.text_index,
        text_model=row.text_model,
        vision_model=row.vision_model,
        ranking=row.ranking,
        vocabulary=Vocabulary(tuple(row.dictionary), tuple(map(tuple, row.synonyms))),
    )


def generation_row(build: Build) -> GenerationRow:
    """Return the row of a new generation."""
    generation = build.generation
    return GenerationRow(
        generation=generation.generation,
        state=generation.state,
        text_collection=generation.text_collection,
        vision_collection=generation.vision_collection,
        text_index=generation.text_index,
        text_model=generation.text_model,
        vision_model=generation.vision_model,
        ranking=generation.ranking,
        dictionary=list(generation.vocabulary.dictionary),
        synonyms=[list(group) for group in generation.vocabulary.synonyms],
        create_ms=build.create_ms,
        update_ms=build.update_ms,
        created_by=build.created_by,
        promote_when_ready=build.promote_when_ready,
    )


def build_of(row: GenerationRow) -> Build:
    """Return a generation and how it has come about."""
    return Build(
        generation=generation_of(row),
        create_ms=row.create_ms,
        update_ms=row.update_ms,
        created_by=row.created_by,
        promote_when_ready=row.promote_when_ready,
        videos_done=row.videos_done,
        videos_total=row.videos_total,
        after_video_id=row.after_video_id,
        error_reason=row.error_reason,
        error_message=row.error_message,
    )


def outbox_row(record: Record, now_ms: int) -> dict[str, Any]:
    """Return the columns of a record to send."""
    return {
        "topic": record.topic,
        "key": record.key,
        "value": record.value,
        "headers": [[name, value.decode("latin-1")] for name, value in record.headers],
        "create_ms": now_ms,
    }


def record_of(row: OutboxTableRow) -> OutboxRow:
    """Return a record to send with its number."""
    headers = tuple((name, value.encode("latin-1")) for name, value in row.headers)
    return OutboxRow(row.row, Record(row.topic, row.key, row.value, headers))
