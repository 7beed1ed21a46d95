"""Keys: a key to write -> itself, if every object store takes it."""

from __future__ import annotations

from typing import Final

from contracts.errors import Internal

MAX_KEY_BYTES: Final = 1024
"""Source: Amazon S3 user guide, naming objects."""

MAX_PART_BYTES: Final = 227
"""Between slashes. Source: measured; versitygw 1.8 keeps keys as paths, and cannot replace a file of a longer name."""


def require_key(key: str) -> str:
    """Return ``key``: visible ASCII, parts by single slashes, none of them a dot or two.

    Raises: Internal (permanent) for any other: keys are made by us alone.
    """
    parts = key.split("/")
    visible = all("!" <= letter <= "~" for letter in key)
    named = all(0 < len(part) <= MAX_PART_BYTES and part not in {".", ".."} for part in parts)
    if not visible or not named or len(key) > MAX_KEY_BYTES:
        raise Internal(f"no key of an object: {key[:80]!r}")
    return key
