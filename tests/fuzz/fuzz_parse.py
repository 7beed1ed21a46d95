"""Fuzz the query grammar: any text is taken apart or refused with the field's name.

``python tests/fuzz/fuzz_parse.py -runs=100000`` runs until then, or until it finds something.
"""

from __future__ import annotations

import sys
import unicodedata

import atheris

with atheris.instrument_imports():
    from contracts.errors import InvalidRequest
    from indexer.search.parse import MAX_EXCLUDED, MAX_PHRASES, MAX_QUERY_CHARS, Parsed, parse

NAMES = (("per_m", "민지"), ("per_k", "김민지"), ("per_a", "Ann"), ("per_i", "이"))
SIGNS = dict(enumerate((" ", " -", '"', "“", "”", " −", "@", "민지", " dkssud ", "가", "장면", "5", ".")))
"""Control characters, which are refused, stand for what the grammar knows: so it is met often."""


def taken(query: str, *, suffice: bool) -> Parsed | InvalidRequest:
    """Return how a query is read, or refused."""
    try:
        return parse(query, NAMES, exclusions_suffice=suffice)
    except InvalidRequest as refused:
        return refused


def one_input(data: bytes) -> None:
    """Take a made-up query apart."""
    said = atheris.FuzzedDataProvider(data)
    suffice = said.ConsumeBool()
    parsed = taken(said.ConsumeUnicode(sys.maxsize).translate(SIGNS), suffice=suffice)
    if isinstance(parsed, InvalidRequest):
        assert [violation.field for violation in parsed.violations] == ["query"]
        return
    texts = (parsed.words, parsed.meaning, parsed.read_as, *parsed.phrases, *parsed.excluded)
    assert all(unicodedata.is_normalized("NFC", text) for text in texts), "not composed"
    assert all(len(text) <= MAX_QUERY_CHARS for text in texts), "longer than what was typed may be"
    assert len(parsed.phrases) <= MAX_PHRASES, "too many phrases"
    assert len(parsed.excluded) <= MAX_EXCLUDED, "too many exclusions"
    assert parsed.words or parsed.phrases or parsed.mentions or (suffice and parsed.excluded), "nothing to look for"


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
