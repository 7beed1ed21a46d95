"""Page tokens: what is sealed comes back to its owner, for a while, and to nobody else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidRequest
from gateway.identity import Principal
from gateway.pages import PageTokens

ANN = Principal("team", "ann", 1)
TOKENS = PageTokens(b"0" * 32)


@given(st.binary(max_size=400), st.text(max_size=50))
def test_a_cursor_comes_back(cursor: bytes, scope: str) -> None:
    token = TOKENS.seal(ANN, scope, cursor, now_ms=1000)
    assert TOKENS.open(ANN, scope, token, now_ms=2000) == cursor
    assert token.isascii()
    assert "=" not in token


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=1, max_value=255))
def test_a_changed_token_is_refused(place: int, flip: int) -> None:
    sealed = bytearray(base64.urlsafe_b64decode(TOKENS.seal(ANN, "s", b"cursor", now_ms=0) + "=="))
    sealed[place % len(sealed)] ^= flip
    with pytest.raises(InvalidRequest) as error:
        TOKENS.open(ANN, "s", base64.urlsafe_b64encode(bytes(sealed)).decode().rstrip("="), now_ms=0)
    assert error.value.reason == "INVALID_PAGE_TOKEN"


@given(st.text(max_size=100))
def test_any_text_is_refused_and_nothing_else_raised(token: str) -> None:
    with pytest.raises(InvalidRequest):
        TOKENS.open(ANN, "s", token, now_ms=0)


@pytest.mark.parametrize(
    ("who", "scope", "key"),
    [
        (Principal("other", "ann", 1), "s", b"0"),
        (Principal("team", "bob", 1), "s", b"0"),
        (Principal("tea", "mann", 1), "s", b"0"),  # the parts do not run into each other
        (ANN, "t", b"0"),
        (ANN, "s", b"1"),
    ],
)
def test_a_token_is_of_one_owner_list_and_stack(who: Principal, scope: str, key: bytes) -> None:
    token = TOKENS.seal(ANN, "s", b"cursor", now_ms=0)
    with pytest.raises(InvalidRequest):
        PageTokens(key * 32).open(who, scope, token, now_ms=0)


def test_a_token_expires() -> None:
    token = TOKENS.seal(ANN, "s", b"cursor", now_ms=0, life_s=10)
    assert TOKENS.open(ANN, "s", token, now_ms=9_999) == b"cursor"
    with pytest.raises(InvalidRequest, match="expired"):
        TOKENS.open(ANN, "s", token, now_ms=10_000)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="31 bytes"):
        PageTokens(b"0" * 31)
