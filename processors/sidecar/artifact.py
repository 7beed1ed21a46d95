"""Artifact of ``sidecar``: records of scenes -> ``Sidecar``, which ``commit`` makes rows of. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from contracts import flow
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2
from heimdex.scene.v1 import scene_pb2
from processors.asr.stage import SpokenUtterance
from processors.messages import pack, serialise, to_tag
from processors.sidecar.stage import Keyframe, Kind, SceneRecord

_KIND = {Kind.VISION: scene_pb2.TAG_KIND_VISION, Kind.AFFECT: scene_pb2.TAG_KIND_AFFECT}


def encode(
    video_id: str,
    records: Sequence[SceneRecord],
    *,
    language: str,
    text_model_version: str,
    vision_model_version: str,
    degraded: Sequence[str],
) -> bytes:
    """Return the artifact. Revision and file name stay empty: revisions share a sidecar, and commit knows both.

    Args:
        language: BCP-47; empty when nothing is said.
        text_model_version: empty when there are no text vectors.
        vision_model_version: empty when there are no vision vectors.
        degraded: nouns of the stages that ended REJECTED or FAILED, in the order of the flow.
    """
    stages = [flow.STAGES[noun].number for noun in degraded]
    return serialise(
        artifact_pb2.Sidecar(
            text_model_version=text_model_version,
            vision_model_version=vision_model_version,
            scenes=[
                artifact_pb2.SceneRecord(
                    scene=_scene(video_id, record, stages),
                    text_vector=b"" if record.text_vector is None else pack(record.text_vector),
                    vision_vectors=[pack(view.vector) for view in record.views],
                )
                for record in records
            ],
            language=language,
            degraded_stages=stages,
        )
    )


def _scene(video_id: str, record: SceneRecord, degraded: Sequence[common_pb2.Stage.ValueType]) -> scene_pb2.Scene:
    return scene_pb2.Scene(
        scene_id=record.scene_id,
        video_id=video_id,
        index=record.span.index,
        start_offset=_duration(record.span.start_ms),
        end_offset=_duration(record.span.end_ms),
        transcript=[_line(line) for line in record.lines],
        tags=[to_tag(tag.tag, _KIND[tag.kind]) for tag in record.tags],
        keyframe=_keyframe(record.keyframe) if record.keyframe else None,
        face_frame_count=record.face_frame_count,
        degraded_stages=degraded,
        view_offsets=[_duration(view.at_ms) for view in record.views],
    )


def _line(line: SpokenUtterance) -> scene_pb2.TranscriptLine:
    return scene_pb2.TranscriptLine(
        start_offset=_duration(line.start_ms),
        end_offset=_duration(line.end_ms),
        text=line.text,
        confidence=line.confidence,
    )


def _keyframe(keyframe: Keyframe) -> scene_pb2.Keyframe:
    return scene_pb2.Keyframe(
        offset=_duration(keyframe.at_ms),
        object_key=keyframe.object_key,
        width_px=keyframe.width_px,
        height_px=keyframe.height_px,
    )


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration
