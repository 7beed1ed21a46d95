"""Tokens: a bearer JWT -> the principal, by the public keys in a JWKS file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt
import structlog

from contracts.errors import Unauthenticated
from contracts.ids import MAX_SUBJECT_LENGTH, TENANT_PATTERN
from gateway.identity import Principal

ALGORITHMS: Final = ("EdDSA", "RS256")
"""Asymmetric only: a gateway can verify tokens and never make one."""
_REQUIRED: Final = ("iss", "aud", "sub", "exp")
_LEEWAY_S: Final = 5
_MAX_TOKEN_LENGTH: Final = 16_384
_KEPT: Final = 1024  # tokens; then all are forgotten

_log = structlog.get_logger()

_CAUSES: Final[tuple[tuple[type[jwt.PyJWTError], str], ...]] = (
    (jwt.InvalidSignatureError, "BAD_SIGNATURE"),
    (jwt.InvalidIssuerError, "WRONG_ISSUER"),
    (jwt.InvalidAudienceError, "WRONG_AUDIENCE"),
    (jwt.MissingRequiredClaimError, "MISSING_CLAIM"),
    (jwt.ImmatureSignatureError, "NOT_YET_VALID"),
    (jwt.InvalidIssuedAtError, "NOT_YET_VALID"),
    (jwt.InvalidAlgorithmError, "WRONG_ALGORITHM"),
)


class KeyFile:
    """The keys of a JWKS file; read again when it has changed, so that keys can be rotated without a restart."""

    def __init__(self, path: Path) -> None:
        """Read the file. OSError and ValueError when there is no key in it: a gateway without keys starts in vain."""
        self._path = path
        self._seen = _fingerprint(path)
        self._keys = _read(path)

    def keys(self) -> Mapping[str, jwt.PyJWK]:
        """Return the keys by id: the same mapping until the file has changed."""
        self._refresh()
        return self._keys

    def _refresh(self) -> None:
        try:
            seen = _fingerprint(self._path)
            if seen != self._seen:
                self._keys, self._seen = _read(self._path), seen
        except (OSError, ValueError, jwt.PyJWTError) as error:
            # Half written, or gone for a moment: the keys that were good a moment ago still are.
            _log.error("key file unreadable", file=str(self._path), error_type=type(error).__name__)


class TokenVerifier:
    """Verifies tokens of one issuer for one audience."""

    def __init__(self, keys: KeyFile, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        # A caller sends the same token with every call, and verifying it costs as much as a small search.
        self._verified: dict[str, Principal] = {}
        self._verified_by: Mapping[str, jwt.PyJWK] = {}

    def verify(self, authorization: str | None) -> Principal:
        """Return who a call's ``authorization`` header speaks for.

        Raises:
            Unauthenticated: TOKEN_EXPIRED, or INVALID_TOKEN with metadata ``cause``. Permanent for that token.
        """
        if not authorization:
            raise _refused("MISSING", "send a token: authorization: Bearer …")
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_LENGTH:
            raise _refused("MALFORMED", "the authorization header is not of the form: Bearer …")
        keys = self._keys.keys()
        if keys is not self._verified_by or len(self._verified) >= _KEPT:
            self._verified, self._verified_by = {}, keys
        who = self._verified.get(token)
        if who is None or time.time() * 1000 >= who.expire_ms:
            who = self._verified[token] = self._read(token, keys)
        return who

    def _read(self, token: str, keys: Mapping[str, jwt.PyJWK]) -> Principal:
        try:
            claims = jwt.decode(
                token,
                _key(token, keys),
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_S,
                options={"require": list(_REQUIRED)},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired", reason="TOKEN_EXPIRED") from None
        except jwt.PyJWTError as error:
            raise _refused(_cause(error), "the token does not verify") from error
        return _principal(claims)


def _key(token: str, keys: Mapping[str, jwt.PyJWK]) -> jwt.PyJWK:
    """Return the key that a token names; where it names none, the only one there is."""
    key_id = jwt.get_unverified_header(token).get("kid")
    if key_id is None and len(keys) == 1:
        return next(iter(keys.values()))
    key = keys.get(key_id or "")
    if key_id is None or key is None:
        raise _refused("UNKNOWN_KEY", "the token is signed by a key that is not known here")
    return key


def _principal(claims: dict[str, Any]) -> Principal:
    tenant_id, subject = claims.get("tenant_id"), claims["sub"]
    if not isinstance(tenant_id, str) or not TENANT_PATTERN.fullmatch(tenant_id):
        raise _refused("MISSING_CLAIM", "the token names no tenant (tenant_id)")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_LENGTH:
        raise _refused("MISSING_CLAIM", f"the token names no user (sub) of 1 to {MAX_SUBJECT_LENGTH} characters")
    return Principal(tenant_id, subject, int(claims["exp"]) * 1000, _roles(claims.get("roles")))


def _roles(claim: object) -> frozenset[str]:
    """Return the names in a list; an issuer may mean something else by a claim of another form, and gives no role."""
    return frozenset(role for role in claim if isinstance(role, str)) if isinstance(claim, list) else frozenset()


def _cause(error: jwt.PyJWTError) -> str:
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "MALFORMED")


def _refused(cause: str, message: str) -> Unauthenticated:
    return Unauthenticated(message, metadata={"cause": cause})


def _fingerprint(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> dict[str, jwt.PyJWK]:
    keys = jwt.PyJWKSet.from_json(path.read_text(encoding="utf-8")).keys
    usable = {key.key_id or "": key for key in keys if key.algorithm_name in ALGORITHMS}
    if not usable:
        raise ValueError(f"{path} holds no key for {' or '.join(ALGORITHMS)}")
    return usable
