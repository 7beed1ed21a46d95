"""English: a word in Latin letters -> whether English may have a word that begins and ends so. Pure.

Hangul typed on a Latin keyboard looks like no language: 안녕 is dkssud, and nothing English begins with dk. Words that
can be read both ways (``work`` is 재가, ``right`` is 갸홋) are told apart by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_BEGINNINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"a": "abcdefghiklmnpqrstuvwxz", "b": "aehiloruy", "c": "aehilmopruvyz", "d": "aeghijloruwy",
     "e": "abcdefgijlmnpqrstuvxy", "f": "aeiloprstuw", "g": "acehilnoruyz", "h": "adeiotuy", "i": "cdfglmnorst",
     "j": "adeiopsu", "k": "aehilnruy", "l": "aeilouy", "m": "aceinosuy", "n": "aeghiouy",
     "o": "abcdefghiklmnoprstuvwxyz", "p": "adehilnorstuy", "q": "u", "r": "aehiosuy", "s": "acehiklmnopqstuvwy",
     "t": "acehioruwy", "u": "bdfgklmnprst", "v": "abeiouy", "w": "aehiortuy", "x": "acegimpsy", "y": "aeiou",
     "z": "aeiou"}
)  # fmt: skip
_ENDINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"a": "abcdefghiklmnprstuvwxyz", "b": "aeinosty", "c": "aehikopstvy", "d": "abcdefiknosy",
     "e": "abcdefghklmnopqrstuwxyz", "f": "aefiosty", "g": "acehimnosvwy", "h": "aeilmnosty",
     "i": "abcdefgiklmnoprstxz", "j": "aio", "k": "aeiosuy", "l": "abcdefiklmnopsty", "m": "abdeilnopsuy",
     "n": "acdefgiknostuvxy", "o": "acdefghijklmnoprstuvwxy", "p": "aceghiloprstuy", "q": "lt",
     "r": "abcdefghiklmnoprstuy", "s": "aceghiklmnopstxy", "t": "acdefhiloprstuyz", "u": "abdegilmnoprstxy", "v": "aey",
     "w": "adeklnosy", "x": "aeity", "y": "aegklmoprsx", "z": "aeioyz"}
)  # fmt: skip
"""Letter -> letters that follow it where a word begins, and where one ends. Source: 17,000 English words (the
corrections that codespell 2.4 knows), and pairs of words that they lack, such as ``dwarf``, ``kiln`` and ``onyx``.
"""


def may_be_english(word: str) -> bool:
    """Return whether a word of Latin letters begins and ends as an English one may."""
    folded = word.lower()
    if len(folded) == 1:
        return True
    return folded[1] in _BEGINNINGS[folded[0]] and folded[-1] in _ENDINGS[folded[-2]]
