"""Sidecar: every scene once, with whatever was found in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts import ids
from contracts.errors import BadArtifact
from contracts.media import Span
from contracts.ports import Tag
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import artifact_pb2
from heimdex.scene.v1 import scene_pb2
from processors.affect.stage import Affect
from processors.asr.stage import SpokenUtterance
from processors.embeddings.stage import SceneVector
from processors.sidecar import artifact
from processors.sidecar.stage import Findings, Keyframe, Kind, join
from processors.vision.stage import Sight, View

VIDEO = "vid_x"
SPANS = (Span(0, 0, 1500), Span(1, 1500, 4000))
VECTOR = np.array([0.6, 0.8], np.float32)
VIEWS = (View(VECTOR[::-1].copy(), 2500), View(VECTOR, 1750))
LINE = SpokenUtterance(1600, 2000, "고양이", 0.75, ())
KEYFRAME = Keyframe("t/a/frame.jpg", 2750, 640, 360)
FOUND = Findings(
    lines=((), (LINE,)),
    vectors=(SceneVector(1, VECTOR),),
    keyframes={1: KEYFRAME},
    sights=(Sight(1, VIEWS, (Tag("cat", ("고양이",), 0.9), Tag("sofa", (), 0.5))),),
    affects=(Affect(1, (Tag("happy", (), 0.7), Tag("sad", (), 0.5))),),
    face_frames={1: 2},
)


def test_what_was_found_is_in_its_scene() -> None:
    silent, cat = join(VIDEO, SPANS, FOUND)
    assert (silent.scene_id, cat.scene_id) == (ids.scene_id(VIDEO, 0, 1500), ids.scene_id(VIDEO, 1500, 4000))
    assert (silent.lines, silent.tags, silent.keyframe, silent.face_frame_count) == ((), (), None, 0)
    assert silent.text_vector is None
    assert silent.views == ()
    assert (cat.lines, cat.keyframe, cat.face_frame_count) == ((LINE,), KEYFRAME, 2)
    assert cat.text_vector is VECTOR
    assert cat.views is VIEWS


def test_tags_are_best_first_and_of_equals_the_seen_before_the_felt() -> None:
    tags = join(VIDEO, SPANS, FOUND)[1].tags
    assert [(tag.tag.tag, tag.kind) for tag in tags] == [
        ("cat", Kind.VISION), ("happy", Kind.AFFECT), ("sofa", Kind.VISION), ("sad", Kind.AFFECT),
    ]  # fmt: skip


def test_scenes_of_which_nothing_is_known_are_there_all_the_same() -> None:
    records = join(VIDEO, SPANS, Findings(lines=((), ())))
    assert [record.span for record in records] == list(SPANS)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(FOUND, lines=((),)),
        replace(FOUND, vectors=(SceneVector(2, VECTOR),)),
        replace(FOUND, keyframes={-1: KEYFRAME}),
        replace(FOUND, sights=(Sight(7, VIEWS, ()),)),
        replace(FOUND, affects=(Affect(2, ()),)),
        replace(FOUND, face_frames={2: 1}),
    ],
    ids=["lines", "text", "keyframe", "sight", "affect", "faces"],
)
def test_what_belongs_to_no_scene_is_a_defect(wrong: Findings) -> None:
    with pytest.raises(BadArtifact):
        join(VIDEO, SPANS, wrong)


def test_scenes_out_of_order_are_a_defect() -> None:
    with pytest.raises(BadArtifact, match="order"):
        join(VIDEO, SPANS[::-1], FOUND)


def test_the_message_says_it_all() -> None:
    body = artifact.encode(
        VIDEO,
        join(VIDEO, SPANS, FOUND),
        language="ko",
        text_model_version="text.1",
        vision_model_version="vision.1",
        degraded=("asr", "faces"),
    )
    sidecar = artifact_pb2.Sidecar.FromString(body)
    degraded = [common_pb2.STAGE_ASR, common_pb2.STAGE_FACES]
    assert (sidecar.language, sidecar.text_model_version, sidecar.vision_model_version) == ("ko", "text.1", "vision.1")
    assert list(sidecar.degraded_stages) == degraded
    silent, cat = sidecar.scenes
    assert (silent.text_vector, list(silent.vision_vectors), silent.scene.HasField("keyframe")) == (b"", [], False)
    assert np.frombuffer(cat.text_vector, "<f4").tolist() == pytest.approx([0.6, 0.8])
    assert [np.frombuffer(vector, "<f4").tolist() for vector in cat.vision_vectors] == [
        pytest.approx([0.8, 0.6]), pytest.approx([0.6, 0.8]),
    ]  # fmt: skip
    scene = cat.scene
    assert [offset.ToMilliseconds() for offset in scene.view_offsets] == [2500, 1750]
    assert (scene.video_id, scene.revision, scene.file_name, scene.index) == (VIDEO, 0, "", 1)
    assert (scene.start_offset.ToMilliseconds(), scene.end_offset.ToMilliseconds()) == (1500, 4000)
    assert [(said.start_offset.ToMilliseconds(), said.text, said.confidence) for said in scene.transcript] == [
        (1600, "고양이", 0.75)
    ]
    assert scene.keyframe == scene_pb2.Keyframe(
        object_key="t/a/frame.jpg", width_px=640, height_px=360, offset=scene.keyframe.offset
    )
    assert scene.keyframe.offset.ToMilliseconds() == 2750
    assert scene.face_frame_count == 2
    assert list(scene.degraded_stages) == degraded
    assert [tag.kind for tag in scene.tags] == [1, 2, 1, 2]
