"""Corpus: a number -> a Korean sentence, query or scene, another one for every number; the same in every run.

Sentences are put together from lists by the digits of a permuted number, so that thousands are distinct and still share
their words as those of one library do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from google.protobuf.duration_pb2 import Duration

from adapters.models.vision.label_bridge import image_vector, tags
from contracts import ids
from contracts.ports import Float32
from heimdex.events.v1 import artifact_pb2
from heimdex.scene.v1 import scene_pb2

SCENES_OF_A_VIDEO = 100
SCENE_MS = 6_000


def _read(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(","))


_WHEN = _read("""
    어제 저녁에, 오늘 아침에, 지난 주말에, 작년 여름에, 이번 달 초에, 새벽 두 시쯤, 점심시간에, 퇴근길에,
    회의가 끝난 뒤, 비가 그친 다음, 첫눈이 오던 날, 명절 연휴에, 시험 전날, 해가 질 무렵, 방학 첫날, 삼 년 전에
""")
_WHERE = _read("""
    한강 공원에서, 부산 바닷가에서, 시골 할머니 집에서, 회사 옥상에서, 동네 빵집에서, 인천 공항에서,
    제주도 돌담길에서, 대학교 도서관에서, 병원 대기실에서, 지하철 이호선에서, 재래시장 골목에서,
    산꼭대기 쉼터에서, 초등학교 운동장에서, 낡은 극장에서, 호텔 연회장에서, 자동차 정비소에서, 서울 법원에서,
    미술관 로비에서, 야구 경기장에서, 포장마차에서
""")
_WHO = _read("""
    우리 팀장님이, 옆집 아저씨가, 신입 사원이, 막내 동생이, 담임 선생님이, 소방관들이, 외국인 관광객이,
    택시 기사가, 동네 이장님이, 유명한 배우가, 은퇴한 기자가, 젊은 요리사가, 간호사들이, 축구부 주장이,
    작은 이모가, 연구소 소장이, 시장 후보가, 사진작가가, 피아니스트가, 어린 쌍둥이가, 경찰관이, 빵집 주인이
""")
_WHAT = _read("""
    새로 산 자전거를, 오래된 사진첩을, 잃어버린 지갑을, 커다란 수박을, 손으로 쓴 편지를, 빨간 우산을,
    고장 난 시계를, 직접 만든 김치를, 하얀 강아지를, 두꺼운 계약서를, 낡은 기타를, 반짝이는 반지를,
    따뜻한 목도리를, 우승 트로피를, 무거운 여행 가방을, 전시회 입장권을, 할아버지의 라디오를, 종이비행기를,
    갓 구운 식빵을, 접이식 의자를, 망원경을, 설계 도면을, 노란 풍선을, 중고 카메라를, 등산 지도를, 도자기 찻잔을
""")
_DID = tuple(
    pair.split("/")
    for pair in _read("""
    자랑했습니다/자랑하는, 떨어뜨렸습니다/떨어뜨리는, 찾아냈습니다/찾아내는, 선물했습니다/선물하는,
    들고 왔습니다/들고 오는, 칭찬했습니다/칭찬하는, 살펴봤습니다/살펴보는, 빌려 갔습니다/빌려 가는,
    소개했습니다/소개하는, 숨겨 두었습니다/숨겨 두는, 나눠 가졌습니다/나눠 가지는, 되돌려 주었습니다/되돌려 주는,
    포장했습니다/포장하는, 옮겨 놓았습니다/옮겨 놓는
    """)
)
_THEN = _read("""
    다들 박수를 쳤어요, 아무도 그 까닭을 몰랐어요, 그 이야기는 신문에도 실렸어요, 저는 조금 부러웠어요,
    그래서 한참 웃었습니다, 덕분에 일이 잘 풀렸습니다, 나중에 알고 보니 실수였대요, 그날 이후로 모두 친해졌어요,
    영상으로 남겨 두길 잘했어요, 생각보다 시간이 오래 걸렸습니다, 결국 다음 주에 다시 하기로 했습니다,
    비용은 반씩 나누어 냈습니다
""")

_STRIDE = 7_368_787  # a prime that divides no total, so that every number has its own place
_LABELS = 1000


def sentence(number: int) -> str:
    """Return what is said in a scene: two sentences, about 57 characters; distinct for 0 <= number < 30 million."""
    did = [did for did, _ in _DID]
    when, where, who, what, how, then = _chosen(number, _WHEN, _WHERE, _WHO, _WHAT, did, _THEN)
    return f"{when} {where} {who} {what} {how}. {then}."


def _chosen(number: int, *lists: Sequence[str]) -> list[str]:
    """Return one of each list: the digits of the number's place among all combinations."""
    rest = number * _STRIDE % math.prod(map(len, lists))
    parts = []
    for choices in lists:
        rest, place = divmod(rest, len(choices))
        parts.append(choices[place])
    return parts


def query(number: int) -> str:
    """Return what somebody looks for, about 13 tokens of the encoder; distinct for 0 <= number < 18,000.

    Three ways to ask, by turns.
    """
    number, way = divmod(number, 3)
    doing = [doing for _, doing in _DID]
    things, people = [_noun(what, 1) for what in _WHAT], [_noun(who, 1) for who in _WHO]
    places = [_noun(where, 2) for where in _WHERE]
    if way == 0:
        return "{} {} {}".format(*_chosen(number, things, doing, people))
    if way == 1:
        return "{}에서 {} {}".format(*_chosen(number, places, doing, people))
    return "{} {} {}".format(*_chosen(number, places, _WHAT, doing))


def _noun(phrase: str, particle: int) -> str:
    """Return the last word of a phrase without its particle of so many syllables."""
    return phrase.rsplit(maxsplit=1)[-1][:-particle]


def queries(first: int, count: int) -> list[str]:
    """Return ``count`` queries from number ``first`` on, all distinct."""
    asked = list(dict.fromkeys(query(number) for number in range(first, first + count)))
    assert len(asked) == count
    return asked


@dataclass(frozen=True, slots=True)
class Film:
    """A video's worth of scenes: its id and the sidecar that the flow would have left."""

    video_id: str
    sidecar: artifact_pb2.Sidecar


def films(count: int, text_vectors: Float32, centred: Float32, *, text_model: str, vision_model: str) -> Iterator[Film]:
    """Yield ``count`` scenes, a hundred a video.

    Args:
        text_vectors: float32 (count, dim), of ``sentence(0)``, ``sentence(1)`` …
        centred: float32 (1000, 512), label vectors of the small profile less their mean.
    """
    for start in range(0, count, SCENES_OF_A_VIDEO):
        numbers = range(start, min(start + SCENES_OF_A_VIDEO, count))
        video_id = ids.new_id("vid")
        records = [_record(video_id, number - start, number, text_vectors[number], centred) for number in numbers]
        yield Film(
            video_id,
            artifact_pb2.Sidecar(
                text_model_version=text_model, vision_model_version=vision_model, scenes=records, language="ko"
            ),
        )


def _record(video_id: str, index: int, number: int, vector: Float32, centred: Float32) -> artifact_pb2.SceneRecord:
    start_ms, end_ms = index * SCENE_MS, (index + 1) * SCENE_MS
    seen = _probabilities(number)
    scene = scene_pb2.Scene(
        scene_id=ids.scene_id(video_id, start_ms, end_ms),
        video_id=video_id,
        index=index,
        start_offset=_duration(start_ms),
        end_offset=_duration(end_ms),
        transcript=[
            scene_pb2.TranscriptLine(
                start_offset=_duration(start_ms), end_offset=_duration(end_ms), text=sentence(number), confidence=0.9
            )
        ],
        tags=[
            scene_pb2.Tag(tag=tag.tag, names=tag.names, score=tag.score, kind=scene_pb2.TAG_KIND_VISION)
            for tag in tags(seen)
        ],
        keyframe=scene_pb2.Keyframe(
            offset=_duration(start_ms + SCENE_MS // 2), object_key="none", width_px=640, height_px=360
        ),
        view_offsets=[_duration(start_ms + SCENE_MS // 2)],
    )
    return artifact_pb2.SceneRecord(
        scene=scene, text_vector=_packed(vector), vision_vectors=[_packed(image_vector(seen, centred))]
    )


def _probabilities(number: int) -> Float32:
    """Return what a net might see in a scene: float32 (1000,), most of it on a few labels."""
    random = np.random.default_rng(number)
    probabilities = np.full(_LABELS, 1e-5)
    probabilities[random.choice(_LABELS, 6, replace=False)] += random.dirichlet([4, 2, 1, 1, 0.5, 0.5])
    return np.asarray(probabilities / probabilities.sum(), np.float32)


def _packed(vector: Float32) -> bytes:
    return vector.astype("<f4").tobytes()


@cache
def _duration(ms: int) -> Duration:
    made = Duration()
    made.FromMilliseconds(ms)
    return made
