"""Fuzz page tokens: any text is a token of this list or a typed refusal; only what was sealed opens.

``python tests/fuzz/fuzz_page_token.py -runs=100000`` runs until then, or until it finds something.
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from contracts.errors import InvalidRequest
    from gateway.identity import Principal
    from gateway.pages import PageTokens

PAGES = PageTokens(b"k" * 32)
WHO = Principal("team", "ann", 1)
SCOPE = "SearchScenes:0"
CURSOR = b"rest of the list"
SEALED = PAGES.seal(WHO, SCOPE, CURSOR, now_ms=0)


def one_input(data: bytes) -> None:
    """Open a made-up token, and a real one in which something was changed."""
    said = atheris.FuzzedDataProvider(data)
    at = said.ConsumeIntInRange(0, len(SEALED))
    cut = said.ConsumeIntInRange(0, 8)
    made = said.ConsumeUnicode(sys.maxsize)
    for token in (made, SEALED[:at] + made + SEALED[at + cut :]):
        with contextlib.suppress(InvalidRequest):
            assert PAGES.open(WHO, SCOPE, token, now_ms=1) == CURSOR
            assert token.rstrip("=") == SEALED, "something that was not sealed opens"


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
