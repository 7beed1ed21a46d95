"""Keys: a home -> the Ed25519 pair that signs its tokens; a tenant and a user -> a token."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Final

from deploy.local.failure import DeployError
from deploy.local.home import Home, write_secret

ISSUER: Final = "heimdex-local"
AUDIENCE: Final = "heimdex"
_ALGORITHM: Final = "EdDSA"


def create_keys(home: Home) -> None:
    """Make the home's key pair (`keys/signing.pem`, 0600) and public JWKS (`keys/jwks.json`) unless they are there."""
    private_file, public_file = home.keys / "signing.pem", home.keys / "jwks.json"
    if private_file.exists() and public_file.exists():
        return
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": x[:16], "use": "sig", "alg": _ALGORITHM}
    with os.fdopen(os.open(private_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(pem)
    write_secret(public_file, {"keys": [jwk]})


def sign_token(home: Home, *, tenant: str, user: str, ttl_s: int, admin: bool = False) -> str:
    """Return a token (JWT) of this home for `user` of `tenant`, valid for `ttl_s` seconds from now.

    Args:
        admin: Whether it may administer the deployment too.

    Raises:
        DeployError: The home has no keys yet.
    """
    import jwt

    try:
        pem = (home.keys / "signing.pem").read_bytes()
        kid = json.loads((home.keys / "jwks.json").read_text(encoding="utf-8"))["keys"][0]["kid"]
    except FileNotFoundError as error:
        raise DeployError(f"there are no keys in {home.root}", "run `heimdex up` once, or name its --home") from error
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "tenant_id": tenant, "iat": now, "exp": now + ttl_s}
    if admin:
        claims["roles"] = ["admin"]
    return jwt.encode(claims, pem, algorithm=_ALGORITHM, headers={"kid": kid})
