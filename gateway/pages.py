"""Pages: where a list goes on -> an opaque, signed token, and back. Pure.

A token belongs to one tenant, user, method and query; it says nothing that its owner was not shown, so it is signed
and not encrypted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct

from contracts.errors import InvalidRequest
from gateway.identity import Principal
from gateway.validation import invalid

LIFE_S = 24 * 3600
_VERSION = 1
_HEAD = struct.Struct(">BQ")  # version, expiry in Unix ms
_MAC_BYTES = 16
_KEY_BYTES = 32


class PageTokens:
    """Makes and reads page tokens."""

    def __init__(self, key: bytes) -> None:
        """Take the key that every gateway of a stack shares. ValueError when it is shorter than 32 bytes."""
        if len(key) < _KEY_BYTES:
            raise ValueError(f"the page token key has {len(key)} bytes, less than {_KEY_BYTES}")
        self._key = key

    def seal(self, who: Principal, scope: str, cursor: bytes, *, now_ms: int, life_s: int = LIFE_S) -> str:
        """Return the token of a cursor.

        Args:
            scope: the method and everything of the query that must stay the same from page to page.
        """
        body = _HEAD.pack(_VERSION, now_ms + life_s * 1000) + cursor
        return base64.urlsafe_b64encode(body + self._mac(who, scope, body)).rstrip(b"=").decode()

    def open(self, who: Principal, scope: str, token: str, *, now_ms: int) -> bytes:
        """Return the cursor of a token. InvalidRequest(INVALID_PAGE_TOKEN) when it is not of this list or too old."""
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _refused("is malformed") from None
        body, mac = sealed[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
        if len(body) < _HEAD.size or not hmac.compare_digest(mac, self._mac(who, scope, body)):
            raise _refused("is malformed or of another list")
        _, expire_ms = _HEAD.unpack_from(body)
        if now_ms >= expire_ms:
            raise _refused("has expired: begin again without a token")
        return body[_HEAD.size :]

    def _mac(self, who: Principal, scope: str, body: bytes) -> bytes:
        said = b"".join(
            len(part).to_bytes(4) + part
            for part in (who.tenant_id.encode(), who.subject.encode(), scope.encode(), body)
        )
        return hmac.new(self._key, said, hashlib.sha256).digest()[:_MAC_BYTES]


def _refused(description: str) -> InvalidRequest:
    return invalid("page_token", description, reason="INVALID_PAGE_TOKEN")
