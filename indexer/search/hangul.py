"""Hangul: keys of a Latin keyboard -> what was meant by them. Pure; the letters themselves are ``contracts.jamo``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from contracts.jamo import compose

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    dict(
        zip(
            "qwertyuiopasdfghjklzxcvbnmQWERTOP",
            "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔㅁㄴㅇㄹㅎㅗㅓㅏㅣㅋㅌㅊㅍㅠㅜㅡㅃㅉㄸㄲㅆㅒㅖ",
            strict=True,
        )
    )
)
"""Key of a Latin keyboard -> letter. Shift changes no other. Source: KS X 5002 (dubeolsik) on QWERTY."""

_LATIN = re.compile(r"[A-Za-z]+")


def typed(text: str) -> str:
    """Return the letters that the keys of a text type, whether they make syllables or not: dkssu is ㅇㅏㄴㄴㅕ.

    What is no Latin letter stays as it is.
    """
    return _LATIN.sub(lambda run: "".join(KEYS.get(key) or KEYS[key.lower()] for key in run[0]), text)


def from_latin(text: str) -> str | None:
    """Return what was meant by keys of a Latin keyboard: dkssud is 안녕, rlacl is 김치.

    None without a Latin letter, and unless every run of them makes whole syllables: then it was not meant as Hangul.
    The reverse does not hold, for some English words do (``go`` is 해). What is no Latin letter stays as it is.
    """
    runs = _LATIN.findall(text)
    meant = {run: compose(typed(run)) for run in runs}
    if not runs or None in meant.values():
        return None
    return _LATIN.sub(lambda run: meant[run[0]] or "", text)
