"""Affect tags: emotion -> what people search it by. A scene's tag needs p >= 0.6 on faces of >= 48 px."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Order of the expression model's output."""

MIN_PROBABILITY = 0.6
"""Below it an expression names nothing. Source: measured on portraits: smiles 0.62-1.00, undecided faces 0.26-0.6."""

MIN_FACE_PX = 48
"""Smallest side of a face that is read: the model's input is 64 px."""

NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "angry": ("화난 얼굴", "화남", "화난", "화내는", "분노", "성난", "angry", "anger"),
        "disgust": ("역겨운 표정", "역겨움", "혐오", "찡그린", "disgust", "disgusted"),
        "fear": ("무서워하는 얼굴", "두려움", "무서움", "겁먹은", "공포", "fear", "afraid", "scared"),
        "happy": (
            "웃는 얼굴",
            "웃음",
            "웃는",
            "미소",
            "행복",
            "행복한",
            "기쁨",
            "기쁜",
            "즐거운",
            "happy",
            "smile",
            "smiling",
            "joy",
        ),
        "sad": ("슬픈 얼굴", "슬픔", "슬픈", "우는", "울음", "눈물", "우울한", "sad", "crying", "sadness"),
        "surprise": ("놀란 얼굴", "놀람", "놀란", "깜짝", "surprise", "surprised"),
    }
)
"""Names by emotion; ``neutral`` is no tag: nobody searches it, and it would be on every scene."""
