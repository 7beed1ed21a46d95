"""A sidecar -> rows and records: what is written where, and what is refused."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from contracts import codec, ids
from contracts.errors import BadArtifact
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2, context_pb2, events_pb2, manifest_pb2
from heimdex.scene.v1 import scene_pb2
from indexer.commit import rows

TENANT, VIDEO = "acme", "vid_1"
CONTEXT = context_pb2.EventContext(tenant_id=TENANT, video_id=VIDEO, revision=3, plan_key="plan")


def vector(*values: float) -> bytes:
    return bytes(np.asarray(values, "<f4").tobytes())


def scene(index: int = 0, **values: object) -> scene_pb2.Scene:
    made = scene_pb2.Scene(
        scene_id=f"scn_{index}",
        index=index,
        start_offset=Duration(seconds=index, nanos=250_000_000),
        end_offset=Duration(seconds=index + 1),
    )
    made.MergeFrom(scene_pb2.Scene(**values))  # type: ignore[arg-type]
    return made


def sidecar(*records: artifact_pb2.SceneRecord) -> artifact_pb2.Sidecar:
    return artifact_pb2.Sidecar(scenes=records, language="ko")


def record(index: int, *views: bytes, text_vector: bytes = b"") -> artifact_pb2.SceneRecord:
    """Return a scene with what it looks like, a second apart."""
    offsets = [Duration(seconds=index + place) for place in range(len(views))]
    return artifact_pb2.SceneRecord(
        scene=scene(index, view_offsets=offsets), text_vector=text_vector, vision_vectors=views
    )


def made(*records: artifact_pb2.SceneRecord) -> rows.Rows:
    return rows.rows(sidecar(*records), tenant_id=TENANT, video_id=VIDEO, revision=3, file_name="강.mp4")


def test_every_row_of_a_scene_has_the_same_name_and_time() -> None:
    one = made(
        record(2, vector(0, 1, 0), text_vector=vector(1, 0)),
    )
    for row in (one.text_vectors[0], one.vision_vectors[0], one.text[0]):
        assert (row.row_id, row.tenant_id, row.video_id, row.scene_id) == ("scn_2:3", TENANT, VIDEO, "scn_2")
        assert (row.revision, row.start_ms, row.end_ms) == (3, 2250, 3000)
    [stored] = one.scenes
    assert (ids.row_id(stored.scene_id, stored.revision), stored.index) == ("scn_2:3", 2)
    body = scene_pb2.Scene.FromString(stored.body)
    assert (body.video_id, body.revision, body.file_name) == (VIDEO, 3, "강.mp4")
    assert one.language == "ko"
    np.testing.assert_array_equal(one.vision_vectors[0].vector, np.asarray([0, 1, 0], np.float32))


def test_a_view_is_a_row_and_all_of_a_scene_s_have_its_name() -> None:
    views = [vector(1, 0, 0), vector(0, 1, 0), vector(0, 0, 1)]
    one = made(record(0, *views), record(1, views[2]))
    assert [(row.row_id, row.view) for row in one.vision_vectors] == [
        ("scn_0:3", 0), ("scn_0:3", 1), ("scn_0:3", 2), ("scn_1:3", 0),
    ]  # fmt: skip
    assert [row.vector.tolist() for row in one.vision_vectors] == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert len(one.text) == len(one.scenes) == 2
    body = scene_pb2.Scene.FromString(one.scenes[0].body)
    assert [offset.seconds for offset in body.view_offsets] == [0, 1, 2]


def test_a_view_without_direction_leaves_the_others_their_places() -> None:
    one = made(record(0, vector(1, 0), vector(0, 0), vector(0, 1)))
    assert [(row.view, row.vector.tolist()) for row in one.vision_vectors] == [(0, [1, 0]), (2, [0, 1])]


def test_a_sidecar_of_an_older_version_has_one_view_and_no_time_of_it() -> None:
    one = made(artifact_pb2.SceneRecord(scene=scene(), vision_vector=vector(0, 1)))
    assert [(row.row_id, row.view, row.vector.tolist()) for row in one.vision_vectors] == [("scn_0:3", 0, [0, 1])]
    assert not scene_pb2.Scene.FromString(one.scenes[0].body).view_offsets


def test_views_without_their_times_and_more_than_there_may_be_are_refused() -> None:
    with pytest.raises(BadArtifact, match="1 views, 0 with a time"):
        made(artifact_pb2.SceneRecord(scene=scene(), vision_vectors=[vector(1)]))
    with pytest.raises(BadArtifact, match="4 views, 4 with a time"):
        made(record(0, *[vector(1)] * 4))


def test_a_transcript_is_joined_in_order_and_composed() -> None:
    decomposed = unicodedata.normalize("NFD", "고양이가 있어요")
    lines = [
        scene_pb2.TranscriptLine(start_offset=Duration(seconds=2), text=decomposed),
        scene_pb2.TranscriptLine(start_offset=Duration(seconds=3), text="네"),
    ]
    [row] = made(artifact_pb2.SceneRecord(scene=scene(transcript=lines))).text
    assert row.transcript.split() == ["고양이가", "있어요", "네"]
    assert unicodedata.is_normalized("NFC", row.transcript)


def test_tags_and_their_names_come_once_in_order() -> None:
    tags = [
        scene_pb2.Tag(tag="cat", names=["고양이", "cat"]),
        scene_pb2.Tag(tag="kitten", names=["고양이", "kitten"]),
        scene_pb2.Tag(tag="cat", names=["cat"]),
    ]
    [row] = made(artifact_pb2.SceneRecord(scene=scene(tags=tags))).text
    assert row.tags == ("cat", "kitten")
    assert row.tag_names == ("고양이", "cat", "kitten")


@pytest.mark.parametrize("packed", [b"", vector(0, 0, 0)])
def test_a_scene_without_direction_has_no_vector_but_is_there(packed: bytes) -> None:
    one = made(record(0, packed, text_vector=packed))
    assert one.text_vectors == one.vision_vectors == ()
    assert len(one.text) == len(one.scenes) == 1


@pytest.mark.parametrize(
    "packed",
    [b"\0\0\0", vector(1, 1), vector(0.5), vector(float("nan"), 0), vector(float("inf"))],
    ids=["no float32", "long", "short", "nan", "inf"],
)
def test_what_is_no_unit_vector_is_refused(packed: bytes) -> None:
    with pytest.raises(BadArtifact):
        made(artifact_pb2.SceneRecord(scene=scene(), text_vector=packed))
    with pytest.raises(BadArtifact):
        made(record(0, vector(1, 0), packed))


def test_vectors_of_different_length_are_refused() -> None:
    with pytest.raises(BadArtifact, match="length"):
        made(
            artifact_pb2.SceneRecord(scene=scene(0), text_vector=vector(1)),
            artifact_pb2.SceneRecord(scene=scene(1), text_vector=vector(1, 0)),
        )


@pytest.mark.parametrize("second", [scene(0), scene_pb2.Scene(index=1)], ids=["twice", "nameless"])
def test_every_scene_has_a_name_of_its_own(second: scene_pb2.Scene) -> None:
    with pytest.raises(BadArtifact):
        made(artifact_pb2.SceneRecord(scene=scene(0)), artifact_pb2.SceneRecord(scene=second))


def test_a_sidecar_is_shared_by_revisions_and_never_changed() -> None:
    shared = sidecar(artifact_pb2.SceneRecord(scene=scene()))
    before = shared.SerializeToString(deterministic=True)
    for revision in (1, 2):
        rows.rows(shared, tenant_id=TENANT, video_id=VIDEO, revision=revision, file_name="a.mp4")
    assert shared.SerializeToString(deterministic=True) == before


def test_what_is_no_sidecar_is_refused() -> None:
    with pytest.raises(BadArtifact):
        rows.parse(b"\xff\xff\xff")


def test_records_are_facts_then_tombstones_then_the_ending() -> None:
    there = made(artifact_pb2.SceneRecord(scene=scene(0)), artifact_pb2.SceneRecord(scene=scene(1))).scenes
    sent = rows.records(
        CONTEXT, "abc", there, known_scene_ids=["scn_9", "scn_1", "scn_8"], language="ko", start_ms=1000, now_ms=3500,
        attempt=2,
    )  # fmt: skip
    assert [(r.key, r.value is None) for r in sent] == [
        ("scn_0", False), ("scn_1", False), ("scn_8", True), ("scn_9", True), (VIDEO, False),
    ]  # fmt: skip
    event = codec.decode(sent[-1])
    assert isinstance(event, events_pb2.VideoIndexed)
    assert (event.scene_count, event.ending.counts["scenes"], event.ending.labels["language"]) == (2, 2, "ko")
    assert (event.ending.elapsed_ms, event.ending.attempts, event.ending.spec) == (2500, 2, "abc")
    assert (event.ending.manifest_key, event.ending.manifest_sha256) == ("", "")
    assert event.context == CONTEXT


def test_records_of_a_commit_are_made_the_same_again() -> None:
    there = made(artifact_pb2.SceneRecord(scene=scene(0))).scenes

    def once() -> object:
        return rows.records(CONTEXT, "abc", there, known_scene_ids=(), language="", start_ms=5, now_ms=3, attempt=1)

    assert once() == once()


def test_an_ending_of_another_stage_is_a_defect() -> None:
    with pytest.raises(TypeError):
        rows.video_indexed(CONTEXT, manifest_pb2.Manifest(stage=common_pb2.STAGE_ASR), scene_count=0)
