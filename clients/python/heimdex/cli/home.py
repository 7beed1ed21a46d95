"""Home: what ``--home`` says -> a folder, or none where it says nothing."""

from __future__ import annotations

from pathlib import Path


def folder(text: str) -> Path | None:
    """Return the folder that ``--home`` names; None for the empty text.

    A script's ``--home "$UNSET"`` names none, as an empty ``HEIMDEX_HOME`` does; as a path it would be the current
    folder.
    """
    return Path(text) if text else None
