"""Jamo: text -> the letters that it is typed with, its initial consonants, what goes on from a beginning. Pure.

Letters are compatibility jamo (ㄱ to ㅣ) as a dubeolsik keyboard has them, so whatever is typed of a word, finished or
not, is the beginning of the word's letters: 김칯 is ㄱㅣㅁㅊㅣㅊ. Text is in NFC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final

INITIALS: Final = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS: Final = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS: Final = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
"""Parts of a syllable, in their order. Source: The Unicode Standard, 3.12, Hangul syllable composition."""

_FIRST, _LAST = "가", "힣"

_CLUSTERS: Final = MappingProxyType(
    {"ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ", "ㄽ": "ㄹㅅ",
     "ㄾ": "ㄹㅌ", "ㄿ": "ㄹㅍ", "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ"}
)  # fmt: skip
_DIPHTHONGS: Final = MappingProxyType(
    {"ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ"}
)
_SPLIT: Final = str.maketrans({**_CLUSTERS, **_DIPHTHONGS})
"""What takes several keys. ㄲ ㄸ ㅃ ㅆ ㅉ ㅒ ㅖ are one, with Shift."""

_JOINED: Final = MappingProxyType({keys: whole for whole, keys in (*_CLUSTERS.items(), *_DIPHTHONGS.items())})
_DOUBLED: Final = MappingProxyType(dict(zip("ㄱㄷㅂㅅㅈ", "ㄲㄸㅃㅆㅉ", strict=True)))

_INITIALS_ONLY = re.compile(f"[{INITIALS}{''.join(_CLUSTERS)}]+")

# A consonant before a vowel begins the next syllable, so there is one way to read a row of letters.
_SYLLABLE = re.compile(
    f"([{INITIALS}])"
    f"({'|'.join(_DIPHTHONGS.values())}|[{VOWELS}])"
    f"((?:{'|'.join(_CLUSTERS.values())}|[{''.join(FINALS)}])(?![{VOWELS}]))?"
)
_SYLLABLES = re.compile(f"(?:{_SYLLABLE.pattern})+")


def jamo(text: str) -> str:
    """Return the letters of a text in the order in which they are typed: 김치찌 is ㄱㅣㅁㅊㅣㅉㅣ, 왔 is ㅇㅗㅏㅆ.

    What is no Hangul stays as it is.
    """
    return "".join("".join(_parts(char)) for char in text).translate(_SPLIT)


def compose(letters: str) -> str | None:
    """Return the text that is typed with these letters; None unless they are whole syllables, one at least."""
    return _SYLLABLE.sub(_composed, letters) if _SYLLABLES.fullmatch(letters) else None


def beginnings(text: str) -> tuple[str, ...]:
    """Return what the letters of a text may begin with, of which ``text`` is what has been typed so far.

    A plain consonant at the end may yet be doubled, by Shift or a second press: 김칮 goes on as 김치즈 or as 김치찌.
    """
    letters = jamo(text)
    doubled = _DOUBLED.get(letters[-1:])
    return (letters,) if doubled is None else (letters, letters[:-1] + doubled)


def initials(text: str) -> str:
    """Return the initial consonants of a text: 김치찌개 is ㄱㅊㅉㄱ.

    What is no syllable stays as it is, but a cluster is two: keyboards join ㄱㅅ to ㄳ.
    """
    return "".join(_parts(char)[0] for char in text).translate(_SPLIT)


def is_initials(text: str) -> bool:
    """Return whether a text is nothing but consonants, at least one."""
    return _INITIALS_ONLY.fullmatch(text) is not None


def folded(text: str) -> str:
    """Return a text without what does not decide what is being typed: case and spaces."""
    return "".join(text.casefold().split())


def continuations(texts: Iterable[str], begun: str) -> Iterator[str]:
    """Yield the texts that ``begun`` is the beginning of: by initials where it is nothing else, else by letters."""
    typed = folded(begun)
    found_by, openings = initials if is_initials(typed) else jamo, beginnings(typed)
    return (text for text in texts if found_by(folded(text)).startswith(openings))


def _parts(char: str) -> tuple[str, str, str]:
    """Return initial, vowel and final of a syllable; of anything else itself."""
    if not _FIRST <= char <= _LAST:
        return char, "", ""
    rest, final = divmod(ord(char) - ord(_FIRST), len(FINALS))
    initial, vowel = divmod(rest, len(VOWELS))
    return INITIALS[initial], VOWELS[vowel], FINALS[final]


def _composed(syllable: re.Match[str]) -> str:
    initial, vowel, final = (_JOINED.get(part, part) for part in syllable.groups(default=""))
    number = (INITIALS.index(initial) * len(VOWELS) + VOWELS.index(vowel)) * len(FINALS) + FINALS.index(final)
    return chr(ord(_FIRST) + number)
