"""Text: what somebody wrote -> whether it is worth a closer look. Pure."""

from __future__ import annotations

MOST_COMPOSED = 4
"""Code points that NFC makes one of, at the most (a Greek letter with three marks)."""


def may_fit(text: str, most: int) -> bool:
    """Return whether a text may have ``most`` code points or fewer in NFC. Ask it before anything else is done to it.

    Marks of one letter are sorted in a time that grows with their square: 15 s for 80,000 in CPython 3.11, which no
    deadline interrupts.
    """
    return len(text) <= most * MOST_COMPOSED
